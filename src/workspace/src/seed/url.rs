//! Addresses of remotes, without what would let others in.

/// The address without user names that may be tokens, passwords and queries. Nothing for a remote
/// helper's own words (`ext::sh -c …`), which may hold anything.
pub(crate) fn without_credentials(url: &str) -> Option<String> {
    if let Some((helper, rest)) = url.split_once("::")
        && !helper.contains(['/', ':', '@', '.'])
    {
        let stripped = rest.contains("://").then(|| without_credentials(rest)).flatten()?;
        return Some(format!("{helper}::{stripped}"));
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        // `user@host:path`: the user is part of the address, unless it comes with a password.
        return Some(match url.split_once('@') {
            Some((user, host)) if user.contains(':') && !user.contains('/') => host.to_owned(),
            _ => url.to_owned(),
        });
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user, host) =
        authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    // With ssh the user names the account of the service; elsewhere it may be a token.
    let user = user.filter(|_| scheme.contains("ssh"));
    let user = user.map(|user| format!("{}@", user.split(':').next().unwrap_or_default()));
    Some(format!("{scheme}://{}{host}{path}", user.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::without_credentials;

    #[test]
    fn credentials_go_and_the_address_stays() {
        let table = [
            ("https://example.org/a/b.git", "https://example.org/a/b.git"),
            ("https://me:secret@example.org:8443/a", "https://example.org:8443/a"),
            ("https://token@example.org/a", "https://example.org/a"),
            ("https://me:se@cret@example.org/a", "https://example.org/a"),
            ("https://example.org/a?token=secret#secret", "https://example.org/a"),
            ("https://me:secret@example.org", "https://example.org"),
            ("https://example.org/a@b", "https://example.org/a@b"),
            ("ssh://git@example.org:22/a", "ssh://git@example.org:22/a"),
            ("ssh://git:secret@example.org/a", "ssh://git@example.org/a"),
            ("git+ssh://git:secret@example.org/a", "git+ssh://git@example.org/a"),
            ("git@example.org:a/b.git", "git@example.org:a/b.git"),
            ("me:secret@example.org:a", "example.org:a"),
            ("/srv/git/a@b:c", "/srv/git/a@b:c"),
            ("../elsewhere", "../elsewhere"),
            ("file:///srv/a.git", "file:///srv/a.git"),
            ("foreign::https://me:secret@example.org/a", "foreign::https://example.org/a"),
        ];
        for (url, expected) in table {
            assert_eq!(without_credentials(url).as_deref(), Some(expected), "{url}");
        }
        assert_eq!(without_credentials("ext::sh -c 'login secret'"), None);
        assert_eq!(without_credentials("foreign::secret"), None);
    }
}
