//! libkrun behind types: [`ffi`] has the calls, [`context`] what may be done with them.

pub mod context;
mod ffi;
