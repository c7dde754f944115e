//! The note that stands in a directory while it is being restored: a second run reads from it what the first one was doing.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::owner::Owner;
use crate::format::BackupId;

/// Name of the note.
pub(super) const NAME: &str = "stonewal.restore";

/// What is being restored there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    /// The backup.
    pub(super) backup: BackupId,
    /// System identifier of the cluster, as text.
    pub(super) system_identifier: String,
}

impl Marker {
    /// The note in a directory, if there is one and it can be read.
    pub(super) fn read(dir: &Path) -> Option<Self> {
        let text = std::fs::read(dir.join(NAME)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    pub(super) fn write(&self, dir: &Path, owner: Owner) -> std::io::Result<PathBuf> {
        let path = dir.join(NAME);
        std::fs::write(&path, serde_json::to_vec(self)?)?;
        owner.give(&path)?;
        Ok(path)
    }

    pub(super) fn remove(dir: &Path) -> std::io::Result<()> {
        match std::fs::remove_file(dir.join(NAME)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
