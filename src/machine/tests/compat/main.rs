//! Machines of namespaces, driven over their real socket.

mod commands;
mod support;
