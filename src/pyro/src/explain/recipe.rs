//! What is wrong with a mode.

use crate::error::UserError;
use crate::recipe::LoadError;
use serde_json::json;

/// Why there is no such mode, with the next step.
pub fn recipe_error(error: &LoadError) -> UserError {
    match error {
        LoadError::Unknown { .. } => UserError::new("not_found", error).hint("pyro mode list"),
        LoadError::Name { .. } => UserError::new("recipe", error).hint("give it another name"),
        LoadError::Io { .. } => UserError::new("recipe", error).hint("mend or remove that file"),
        LoadError::Broken { path, source } => {
            let hint = "mend or remove that file; pyro mode show repro-fix shows a mode that works";
            let place = json!({"path": path, "line": source.line, "field": source.field});
            UserError { details: Some(place), ..UserError::new("recipe", error).hint(hint) }
        }
    }
}
