//! The configuration of a seed's `.git`: what its files need, remotes without credentials, and who
//! commits. Nothing else of the host's.

use super::cache::Key;
use super::git::{Git, GitError};
use super::url::without_credentials;

/// How files of the working tree and of the repository differ; without them, `git status` would.
const CORE: [&str; 6] = ["autocrlf", "eol", "filemode", "symlinks", "sparsecheckout", "sparsecheckoutcone"];

/// Who commits where the repository does not say: git refuses to guess in a machine without a name.
const IDENTITY: [(&str, &str); 2] = [("name", "pyro"), ("email", "pyro@localhost")];

/// What git knows from all of its configuration files, last ones last.
#[derive(Debug, Default)]
pub(super) struct Settings(Vec<Setting>);

#[derive(Debug)]
struct Setting {
    /// Whether the repository itself says it.
    local: bool,
    section: String,
    /// Any bytes; none for `section.name`.
    subsection: Option<Vec<u8>>,
    name: String,
    value: Vec<u8>,
}

impl Settings {
    pub fn read(git: &Git) -> Result<Self, GitError> {
        Ok(Self::parse(&git.read(&["config", "--list", "-z", "--show-scope"])?))
    }

    /// `SCOPE<zero>SECTION[.SUBSECTION].NAME<line break>VALUE<zero>`
    fn parse(output: &[u8]) -> Self {
        let mut words = output.split(|byte| *byte == 0);
        let mut settings = Vec::new();
        while let (Some(scope), Some(setting)) = (words.next(), words.next()) {
            let end = setting.iter().position(|byte| *byte == b'\n');
            let (key, value) = end.map_or((setting, &b"true"[..]), |at| (&setting[..at], &setting[at + 1..]));
            let dot = key.iter().position(|byte| *byte == b'.');
            let last = key.iter().rposition(|byte| *byte == b'.');
            let (Some(dot), Some(last)) = (dot, last) else { continue };
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            settings.push(Setting {
                local: matches!(scope, b"local" | b"worktree"),
                section: text(&key[..dot]),
                subsection: (dot < last).then(|| key[dot + 1..last].to_vec()),
                name: text(&key[last + 1..]),
                value: value.to_vec(),
            });
        }
        Self(settings)
    }

    /// The value that counts.
    pub fn last(&self, section: &str, name: &str) -> Option<&[u8]> {
        let is_it = |it: &&Setting| it.section == section && it.subsection.is_none() && it.name == name;
        self.0.iter().rfind(is_it).map(|it| &it.value[..])
    }

    /// All of it.
    pub fn add_to(&self, key: &mut Key) {
        for Setting { section, subsection, name, value, .. } in &self.0 {
            let subsection = subsection.as_deref().unwrap_or_default();
            [section.as_bytes(), subsection, name.as_bytes(), value].iter().for_each(|part| key.add(part));
        }
    }

    fn of<'a>(&'a self, section: &'a str, subsection: Option<&'a [u8]>) -> impl Iterator<Item = &'a Setting> {
        self.0.iter().filter(move |it| it.section == section && it.subsection.as_deref() == subsection)
    }

    fn subsections(&self, section: &str) -> Vec<&[u8]> {
        let of = self.0.iter().filter(|it| it.section == section);
        let mut names: Vec<&[u8]> = of.filter_map(|it| it.subsection.as_deref()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Names of filters, whose programs must not be started.
    pub fn filters(&self) -> Vec<&[u8]> {
        self.subsections("filter")
    }

    /// Whether objects may be missing, because a remote promised them.
    pub fn is_partial(&self) -> bool {
        self.0.iter().any(|it| it.section == "remote" && it.name == "promisor" && it.value == b"true")
    }

    /// The file of the seed. What a branch follows is no part of it: of the remote's branches a seed has none, and
    /// git would say that they are gone.
    pub fn render(&self, object_format: &str) -> Vec<u8> {
        let mut file = ConfigFile::default();
        let partial = self.is_partial();
        let extended = object_format != "sha1" || partial;
        file.section("core", None);
        file.set("repositoryformatversion", if extended { b"1" } else { b"0" });
        file.set("bare", b"false");
        file.set("logallrefupdates", b"true");
        for name in CORE {
            let plain = |it: &&Setting| it.name == name && it.value.iter().all(u8::is_ascii_alphanumeric);
            if let Some(last) = self.of("core", None).filter(plain).last() {
                file.set(name, &last.value);
            }
        }
        // The files of a seed keep times and sizes, but not what only this host knows of them: so git
        // need not read a file to see that it is unchanged.
        file.set("checkstat", b"minimal");
        file.set("trustctime", b"false");
        if extended {
            file.section("extensions", None);
            file.set("objectformat", object_format.as_bytes());
        }
        for remote in self.subsections("remote") {
            self.remote(&mut file, remote);
        }
        file.section("user", None);
        for (name, fallback) in IDENTITY {
            let own = self.of("user", None).filter(|it| it.local && it.name == name).last();
            file.set(name, own.map_or(fallback.as_bytes(), |own| &own.value));
        }
        file.0
    }

    fn remote(&self, file: &mut ConfigFile, remote: &[u8]) {
        let address = |it: &Setting| without_credentials(std::str::from_utf8(&it.value).ok()?);
        let mut lines = Vec::new();
        for setting in self.of("remote", Some(remote)).filter(|it| it.local) {
            match &*setting.name {
                "url" | "pushurl" => {
                    lines.extend(address(setting).map(|url| (&*setting.name, url.into_bytes())))
                }
                "fetch" | "promisor" => lines.push((&*setting.name, setting.value.clone())),
                _ => {}
            }
        }
        if lines.iter().any(|(name, _)| *name == "url") {
            file.section("remote", Some(remote));
            lines.iter().for_each(|(name, value)| file.set(name, value));
        }
    }
}

/// A configuration file in the making.
#[derive(Default)]
struct ConfigFile(Vec<u8>);

impl ConfigFile {
    fn section(&mut self, name: &str, subsection: Option<&[u8]>) {
        self.0.extend_from_slice(b"[");
        self.0.extend_from_slice(name.as_bytes());
        if let Some(subsection) = subsection {
            self.0.extend_from_slice(b" ");
            self.quoted(subsection);
        }
        self.0.extend_from_slice(b"]\n");
    }

    fn set(&mut self, name: &str, value: &[u8]) {
        self.0.extend_from_slice(format!("\t{name} = ").as_bytes());
        self.quoted(value);
        self.0.push(b'\n');
    }

    fn quoted(&mut self, text: &[u8]) {
        self.0.push(b'"');
        for byte in text {
            match byte {
                b'"' | b'\\' => self.0.extend_from_slice(&[b'\\', *byte]),
                b'\n' => self.0.extend_from_slice(b"\\n"),
                _ => self.0.push(*byte),
            }
        }
        self.0.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: &[&str], expected: &str) {
        let output: Vec<u8> =
            settings.iter().flat_map(|it| format!("{it}\0").replace('|', "\0").into_bytes()).collect();
        let rendered = Settings::parse(&output).render("sha1");
        let rendered = String::from_utf8(rendered).unwrap();
        let (start, rest) = rendered.split_once("\ttrustctime = \"false\"\n").unwrap();
        assert!(start.starts_with("[core]\n\trepositoryformatversion = "), "{start}");
        assert_eq!(rest, expected);
    }

    const NOBODY: &str = "[user]\n\tname = \"pyro\"\n\temail = \"pyro@localhost\"\n";

    #[test]
    fn only_what_a_seed_needs_is_taken_over() {
        let unwanted = [
            "global|alias.x\n!rm -rf /",
            "global|credential.helper\nstore",
            "local|http.https://example.org/.extraheader\nAuthorization: secret",
            "local|core.hookspath\n/elsewhere",
            "local|core.fsmonitor\n/elsewhere",
            "global|user.name\nSomebody",
            "global|remote.other.url\nhttps://example.org/other",
            "local|remote.bare.fetch\n+refs/*:refs/*",
            "local|novalue",
        ];
        check(&unwanted, NOBODY);
        check(
            &[
                "local|remote.a.b\"\\.url\nhttps://me:secret@example.org/x?y",
                "local|remote.a.b\"\\.pushurl\ngit@example.org:x",
                "local|remote.a.b\"\\.fetch\n+refs/heads/*:refs/remotes/o/*",
                "local|remote.a.b\"\\.proxy\nsecret",
                "local|branch.main.remote\norigin",
                "local|branch.main.merge\nrefs/heads/main",
                "local|branch.other.remote\norigin",
                "local|user.name\nA \"B\"\nC",
                "worktree|user.email\na@b",
            ],
            "[remote \"a.b\\\"\\\\\"]\n\turl = \"https://example.org/x\"\n\tpushurl = \"git@example.org:x\"\n\
             \tfetch = \"+refs/heads/*:refs/remotes/o/*\"\n\
             [user]\n\tname = \"A \\\"B\\\"\\nC\"\n\temail = \"a@b\"\n",
        );
    }

    #[test]
    fn the_last_of_several_settings_counts() {
        let output = b"system\0core.autocrlf\ntrue\0local\0core.autocrlf\ninput\0local\0core.eol\nl f\0";
        let file = Settings::parse(output).render("sha256");
        let file = String::from_utf8(file).unwrap();
        assert!(file.contains("\tautocrlf = \"input\"\n") && !file.contains("eol"), "{file}");
        assert!(
            file.contains("version = \"1\"") && file.contains("[extensions]\n\tobjectformat = \"sha256\"\n")
        );
    }
}
