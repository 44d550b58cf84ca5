//! Names that a recipe may call tools, and the arguments that they take.

use crate::recipe::KnownTool;

/// Tools of later versions: a recipe may name them, and a server does not have them.
const PLANNED: &[&str] = &[
    "vm_run",
    "workspace_create",
    "workspace_list",
    "workspace_update",
    "workspace_status",
    "workspace_sync_push",
    "workspace_exec",
    "workspace_logs",
    "workspace_summary",
    "workspace_file_list",
    "workspace_file_read",
    "workspace_file_write",
    "workspace_patch_apply",
    "workspace_diff",
    "workspace_export",
    "workspace_reset",
    "workspace_delete",
    "workspace_start",
    "workspace_stop",
    "workspace_fork",
    "workspace_commit",
    "workspace_disk_export",
    "workspace_disk_list",
    "workspace_disk_read",
    "snapshot_create",
    "snapshot_list",
    "snapshot_delete",
    "env_list",
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
    PLANNED.contains(&name).then_some(KnownTool::Planned)
}
