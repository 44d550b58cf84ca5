//! Links that lead nowhere but to what is exported with them.

/// Whether a link stays inside; the error says why it may not. Its path begins where the export does.
///
/// Only a `..` at the beginning of a target is understood: what is above a directory that was walked
/// is known, what is above something behind a name may be anywhere, since that may be a link itself.
pub(super) fn check(path: &[u8], target: &[u8]) -> Result<(), String> {
    let shown = || crate::patch::display_path(target);
    if target.starts_with(b"/") {
        return Err(format!("it is a link to {}, which is elsewhere on the host", shown()));
    }
    let depth = path.iter().filter(|byte| **byte == b'/').count();
    let names = target.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    let up = names.clone().take_while(|name| *name == b"..").count();
    if up > depth || names.skip(up).any(|name| name == b"..") {
        return Err(format!("it is a link to {}, which may lead out of what is exported", shown()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn only_links_that_stay_inside_pass() {
        for (path, target) in [
            ("a", "b"),
            ("a", "./b//c/"),
            ("d/a", "../b"),
            ("d/e/a", "../../b/c"),
            ("d/e/a", ".././../b"),
            ("a", "..b"),
            ("", "b"),
        ] {
            assert_eq!(check(path.as_bytes(), target.as_bytes()), Ok(()), "{path} -> {target}");
        }
        for (path, target) in [
            ("a", "/etc/passwd"),
            ("a", "/workspace/b"),
            ("a", ".."),
            ("a", "./.."),
            ("d/a", "../.."),
            ("d/a", "../../b"),
            ("d/a", "b/../../.."),
            // Harmless if `b` is a directory, and not if it is a link to the top.
            ("d/e/a", "b/.."),
            ("", "../b"),
        ] {
            assert!(check(path.as_bytes(), target.as_bytes()).is_err(), "{path} -> {target}");
        }
    }
}
