//! To whom files belong.

use super::SeedError;
use crate::diff::Lower;
use crate::home::Home;
use pyro_oci::Image;
use pyro_protocol::users::Users;

/// Most bytes read of a user database. One that an image carries is a few KiB.
const DATABASE_MAX: u64 = 4 << 20;

/// To whom the files belong in the workspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Owner {
    /// Whom commands of `image` run as. The caller holds the store.
    ///
    /// # Errors
    /// When the image has no such user, or cannot be read.
    pub fn of(home: &Home, image: &Image) -> Result<Self, SeedError> {
        let user = &image.config.user;
        if ["", "0", "root", "0:0", "root:root"].contains(&&**user) {
            // So it is everywhere, and the image need not be looked into.
            return Ok(Self::default());
        }
        let disk = home.store().disk(image)?;
        let lower = Lower::open(&disk.parts).map_err(crate::diff::DiffError::from)?;
        let read = |path| lower.read(path, DATABASE_MAX).map(Option::unwrap_or_default);
        let users = Users { passwd: read(b"etc/passwd")?, group: read(b"etc/group")? };
        let account = users.account(user).map_err(SeedError::User)?;
        Ok(Self { uid: account.uid, gid: account.gid() })
    }
}
