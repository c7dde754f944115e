//! Whose files a restore writes. PostgreSQL refuses a data directory that is not its own, and it does not run as root.

use std::os::unix::fs::{MetadataExt as _, chown, fchown};
use std::path::Path;

use crate::commands::{Error, Result};
use crate::postgres::users;

/// User and group of everything written; `None` = whoever we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner(Option<(u32, u32)>);

impl Owner {
    /// As root: the owner of an existing target, else the user `postgres`. Otherwise ourselves.
    pub(super) fn of(target: &Path) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self(None));
        }
        if let Ok(metadata) = std::fs::metadata(target)
            && metadata.uid() != 0
        {
            return Ok(Self(Some((metadata.uid(), metadata.gid()))));
        }
        let user = users::named("postgres").ok_or_else(|| Error::Target {
            path: target.to_owned(),
            why: "PostgreSQL does not run as root, and this host has no user postgres to own it".into(),
            way_out: "run the restore as the user that PostgreSQL will run as, or create the directory and give it to that user".into(),
        })?;
        Ok(Self(Some((user.uid, user.gid))))
    }

    /// Whether the files are to be somebody else's than ours.
    pub(super) fn is_another(self) -> bool {
        self.0.is_some()
    }

    /// Whether a directory of `user` keeps its owner and group: PostgreSQL reads what is its own.
    pub(super) fn keeps(self, user: u32) -> bool {
        self.0.is_none_or(|(own, _)| own == user)
    }

    /// Gives it a path, not what a link there points to.
    pub(super) fn give(self, path: &Path) -> std::io::Result<()> {
        match self.0 {
            None => Ok(()),
            Some((user, group)) if path.is_symlink() => std::os::unix::fs::lchown(path, Some(user), Some(group)),
            Some((user, group)) => chown(path, Some(user), Some(group)),
        }
    }

    /// Gives it an open file.
    pub(super) fn give_file(self, file: &std::fs::File) -> std::io::Result<()> {
        self.0.map_or(Ok(()), |(user, group)| fchown(file, Some(user), Some(group)))
    }
}
