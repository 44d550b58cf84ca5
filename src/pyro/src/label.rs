//! Labels: what a user remembers of a workspace.

use pyro_workspace::{BadName, Name};

/// Longest value of a label, in bytes: it has to fit a line.
const VALUE_MAX: usize = 256;

/// A label.
///
/// # Errors
/// Why it cannot be one.
pub fn label(key: &str, value: &str) -> Result<(Name, String), String> {
    if value.len() > VALUE_MAX || value.chars().any(char::is_control) {
        return Err(format!("a label's value is one line of at most {VALUE_MAX} bytes"));
    }
    Ok((key.parse().map_err(|error: BadName| error.to_string())?, value.into()))
}
