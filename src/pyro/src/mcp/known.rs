//! Names that a recipe may call tools, and the arguments that they take.

use super::tools;
use crate::recipe::KnownTool;

/// Tools of later versions: a recipe may name them, and a server does not have them.
const PLANNED: [&str; 10] = [
    "shell_open",
    "shell_read",
    "shell_write",
    "shell_signal",
    "shell_close",
    "service_start",
    "service_list",
    "service_status",
    "service_logs",
    "service_stop",
];

/// What is known of a tool, if there is one of that name.
pub fn known_tool(name: &str) -> Option<KnownTool> {
    match tools::find(name) {
        Some(tool) => Some(KnownTool::Built(tool.input().into())),
        None => PLANNED.contains(&name).then_some(KnownTool::Planned),
    }
}
