//! Starts a microVM or a namespace machine, confined.
