//! What must hold on every kind of machine, in the same words: the test programs of both include this,
//! and say what their `pyro()` is.

mod disk;
mod files;
mod hostile;
mod machine;
mod workspace;
