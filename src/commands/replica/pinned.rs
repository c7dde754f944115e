//! What manifests say of the bytes of their chunks: a copy of something that rotted here would be a copy of nothing.

use std::collections::HashMap;

use crate::catalog::{Repository, each_entry};
use crate::commands::Result;
use crate::format::manifest::{ClearPart, Manifest};
use crate::format::names::Names;
use crate::format::{BackupId, ClusterName, Digest, Tag, signed};
use crate::limits::{MANIFEST_BYTES_MAX, REPLICA_CANDIDATES};
use crate::store::{Entry, Read};

/// The digests of one backup's chunks; keys come in order, so one backup is held at a time.
pub(super) struct Pinned<'a> {
    store: &'a dyn Read,
    names: &'a Names,
    /// With keys only genuine manifests count.
    genuine: Option<&'a Repository>,
    folder: String,
    digests: HashMap<Tag, Vec<Digest>>,
}

impl<'a> Pinned<'a> {
    pub(super) fn of(store: &'a dyn Read, names: &'a Names, genuine: Option<&'a Repository>) -> Self {
        Self { store, names, genuine, folder: String::new(), digests: HashMap::new() }
    }

    /// What the bytes of the chunk called `key` may come to; nothing if no manifest names it. Without keys anybody's manifest says
    /// something, so that any of them may be right: whoever plants one keeps nothing from being copied.
    pub(super) async fn digests(&mut self, key: &str) -> Result<Vec<Digest>> {
        let Some((cluster, backup, tag)) = self.place(key) else { return Ok(Vec::new()) };
        let folder = self.names.backup(&cluster, &backup);
        if folder != self.folder {
            self.digests.clear();
            self.load(&cluster, &backup).await?;
            self.folder = folder;
        }
        Ok(self.digests.get(&tag).cloned().unwrap_or_default())
    }

    fn place(&self, key: &str) -> Option<(ClusterName, BackupId, Tag)> {
        let (cluster, rest) = key.strip_prefix(self.names.prefix())?.split_once("/backups/")?;
        let (backup, rest) = rest.split_once('/')?;
        let (_, tag) = rest.rsplit_once('/')?.1.split_once('-')?;
        Some((cluster.parse().ok()?, backup.parse().ok()?, tag.parse().ok()?))
    }

    async fn load(&mut self, cluster: &ClusterName, backup: &BackupId) -> Result<()> {
        if let Some(repository) = self.genuine {
            if let Some(backup) = repository.look(cluster, backup).await?.0 {
                self.take(backup.clear());
            }
            return Ok(());
        }
        let mut manifests: Vec<Entry> = Vec::new();
        each_entry(self.store, &self.names.manifests(cluster, backup), |entry| {
            if !entry.delete_marker && entry.bytes <= MANIFEST_BYTES_MAX {
                manifests.push(entry);
                manifests.sort_by_key(|entry| entry.last_modified);
                manifests.truncate(REPLICA_CANDIDATES);
            }
        })
        .await?;
        for entry in manifests {
            let bytes = match self.store.get(&entry.key, &entry.version, 0..entry.bytes).await {
                Ok(bytes) => bytes,
                Err(error) if error.is_about_the_object() => continue,
                Err(error) => return Err(error.into()),
            };
            let Some(writer) = signed::signer(&bytes) else { continue };
            if let Ok(manifest) = Manifest::decode(&bytes, &[writer]) {
                self.take(manifest.clear());
            }
        }
        Ok(())
    }

    fn take(&mut self, clear: &ClearPart) {
        for chunk in clear.streams.iter().flat_map(|stream| &stream.chunks) {
            let known = self.digests.entry(chunk.tag).or_default();
            if !known.contains(&chunk.sha256) {
                known.push(chunk.sha256);
            }
        }
    }
}
