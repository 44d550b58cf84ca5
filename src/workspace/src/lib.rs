//! Workspaces: records, machines, commands.
