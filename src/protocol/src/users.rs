//! Who `USER[:GROUP]` is, by the texts of an image's `/etc/passwd` and `/etc/group`.
//!
//! The rules are those of container runtimes: names come before numbers, a number needs no
//! entry, and supplementary groups are looked up only where no group was asked for. Host and guest
//! both ask: what the host puts into a workspace belongs to whom commands run as.

/// Most supplementary groups: the kernel's own limit.
const GROUPS_MAX: usize = 65_536;

/// A user as commands see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// User.
    pub uid: u32,
    /// All groups, the primary one first.
    pub groups: Vec<u32>,
    /// Login name, if the database has one.
    pub name: Option<Vec<u8>>,
    /// Home directory.
    pub home: Vec<u8>,
}

impl Account {
    /// The primary group.
    #[must_use]
    pub fn gid(&self) -> u32 {
        self.groups.first().copied().unwrap_or_default()
    }
}

/// The contents of the two files.
#[derive(Clone, Debug, Default)]
pub struct Users {
    /// `/etc/passwd`.
    pub passwd: Vec<u8>,
    /// `/etc/group`.
    pub group: Vec<u8>,
}

impl Users {
    /// Resolves `USER[:GROUP]`; empty is root.
    ///
    /// # Errors
    /// What there is not.
    pub fn account(&self, wanted: &str) -> Result<Account, String> {
        let (user, group) = match wanted.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (wanted, None),
        };
        let user = if user.is_empty() { "0" } else { user };
        let entry = self.user(user);
        let (uid, primary, name, home) = match entry {
            Some(entry) => (entry.uid, entry.gid, Some(entry.name), entry.home),
            None => {
                (number(user).ok_or_else(|| format!("no user '{user}' in the image"))?, 0, None, &b"/"[..])
            }
        };
        let groups = match group {
            Some(group) => {
                vec![self.group(group).ok_or_else(|| format!("no group '{group}' in the image"))?]
            }
            None => self.memberships(name, primary),
        };
        let home = if home.is_empty() { b"/" } else { home };
        Ok(Account { uid, groups, name: name.map(<[u8]>::to_vec), home: home.to_vec() })
    }

    fn user(&self, wanted: &str) -> Option<User<'_>> {
        let by_name = self.users().find(|user| user.name == wanted.as_bytes());
        by_name.or_else(|| number(wanted).and_then(|uid| self.users().find(|user| user.uid == uid)))
    }

    fn users(&self) -> impl Iterator<Item = User<'_>> {
        lines(&self.passwd).filter_map(|line| {
            let mut fields = line.split(|&byte| byte == b':');
            let name = fields.next()?;
            let uid = decimal(fields.nth(1)?)?;
            let gid = decimal(fields.next()?)?;
            let home = fields.nth(1).unwrap_or_default();
            Some(User { name, uid, gid, home })
        })
    }

    fn group(&self, wanted: &str) -> Option<u32> {
        let by_name = self.groups().find(|group| group.name == wanted.as_bytes()).map(|group| group.gid);
        by_name.or_else(|| number(wanted))
    }

    fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        lines(&self.group).filter_map(|line| {
            let mut fields = line.split(|&byte| byte == b':');
            let name = fields.next()?;
            let gid = decimal(fields.nth(1)?)?;
            Some(Group { name, gid, members: fields.next().unwrap_or_default() })
        })
    }

    /// The primary group and those that list `name`.
    fn memberships(&self, name: Option<&[u8]>, primary: u32) -> Vec<u32> {
        let mut gids = vec![primary];
        if let Some(name) = name {
            let listed = self.groups().filter(|group| group.has(name)).map(|group| group.gid);
            gids.extend(listed.filter(|&gid| gid != primary).take(GROUPS_MAX - 1));
        }
        gids
    }
}

struct User<'a> {
    name: &'a [u8],
    uid: u32,
    gid: u32,
    home: &'a [u8],
}

struct Group<'a> {
    name: &'a [u8],
    gid: u32,
    members: &'a [u8],
}

impl Group<'_> {
    fn has(&self, name: &[u8]) -> bool {
        self.members.split(|&byte| byte == b',').any(|member| member == name)
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty() && line[0] != b'#')
}

fn decimal(field: &[u8]) -> Option<u32> {
    number(str::from_utf8(field).ok()?)
}

/// A user or group number; the highest one means "unchanged" to the kernel and names nobody.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&number| digits && number != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n# comment\nbroken line\nnode:x:1000:1001::/home/node:/bin/sh\n42:x:7:7::/seven:\nnohome:x:8:8\n";
    const GROUP: &[u8] = b"root:x:0:\nnode:x:1001:\ndocker:x:99:other,node\nwheel:x:98:nodes\n";

    fn check(wanted: &str, expected: Result<(u32, &[u32], &str), &str>) {
        let database = Users { passwd: PASSWD.to_vec(), group: GROUP.to_vec() };
        let found = database.account(wanted).map(|account| {
            assert_eq!(account.gid(), account.groups[0]);
            (account.uid, account.groups, String::from_utf8(account.home).unwrap())
        });
        let expected = expected
            .map(|(uid, groups, home)| (uid, groups.to_vec(), home.to_owned()))
            .map_err(str::to_owned);
        assert_eq!(found, expected, "for {wanted:?}");
    }

    #[test]
    fn users_resolve_as_container_runtimes_do_it() {
        check("", Ok((0, &[0], "/root")));
        check("0", Ok((0, &[0], "/root")));
        check("node", Ok((1000, &[1001, 99], "/home/node")));
        check("1000", Ok((1000, &[1001, 99], "/home/node")));
        check("node:docker", Ok((1000, &[99], "/home/node")));
        check("node:5", Ok((1000, &[5], "/home/node")));
        check("node:", Ok((1000, &[1001, 99], "/home/node")));
        check(":docker", Ok((0, &[99], "/root")));
        check("4000", Ok((4000, &[0], "/")));
        check("4000:6", Ok((4000, &[6], "/")));
        check("42", Ok((7, &[7], "/seven")));
        check("nohome", Ok((8, &[8], "/")));
        check("nobody", Err("no user 'nobody' in the image"));
        check("node:nobody", Err("no group 'nobody' in the image"));
        check("-1", Err("no user '-1' in the image"));
        check("4294967295", Err("no user '4294967295' in the image"));
        check("99999999999", Err("no user '99999999999' in the image"));
    }

    #[test]
    fn without_a_database_root_is_still_root() {
        let root = Users::default().account("").unwrap();
        assert_eq!((root.uid, root.gid(), root.name, root.home), (0, 0, None, b"/".to_vec()));
    }
}
