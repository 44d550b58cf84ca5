//! Raw Linux calls behind safe types.
