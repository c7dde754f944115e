//! What manifests say of the bytes of their chunks: a copy of something that rotted here would be a copy of nothing.

use std::collections::HashMap;

use crate::catalog::{Repository, each_entry};
use crate::commands::Result;
use crate::format::manifest::{ClearPart, Manifest};
use crate::format::names::Names;
use crate::format::{BackupId, ClusterName, Digest, signed};
use crate::limits::{MANIFEST_BYTES_MAX, REPLICA_CANDIDATES};
use crate::store::{Entry, Read};

/// The digests of one backup's chunks; keys come in order, so one backup is held at a time.
pub(super) struct Pinned<'a> {
    store: &'a dyn Read,
    names: &'a Names,
    /// With keys only genuine manifests count.
    genuine: Option<&'a Repository>,
    folder: String,
    /// By the whole key: whoever may write can give what they plant the random part of a genuine chunk.
    digests: HashMap<String, Vec<Digest>>,
}

impl<'a> Pinned<'a> {
    pub(super) fn of(store: &'a dyn Read, names: &'a Names, genuine: Option<&'a Repository>) -> Self {
        Self { store, names, genuine, folder: String::new(), digests: HashMap::new() }
    }

    /// What the bytes of the chunk called `key` may come to; nothing if no manifest names it. Without keys anybody's manifest counts,
    /// so that what comes of this may be told and must stop nothing; where there are more manifests than are read, none counts.
    pub(super) async fn digests(&mut self, key: &str) -> Result<Vec<Digest>> {
        let Some((cluster, backup)) = self.place(key) else { return Ok(Vec::new()) };
        let folder = self.names.backup(&cluster, &backup);
        if folder != self.folder {
            self.digests.clear();
            self.load(&cluster, &backup).await?;
            self.folder = folder;
        }
        Ok(self.digests.get(key).cloned().unwrap_or_default())
    }

    fn place(&self, key: &str) -> Option<(ClusterName, BackupId)> {
        let (cluster, rest) = key.strip_prefix(self.names.prefix())?.split_once("/backups/")?;
        let (backup, _) = rest.split_once('/')?;
        Some((cluster.parse().ok()?, backup.parse().ok()?))
    }

    async fn load(&mut self, cluster: &ClusterName, backup: &BackupId) -> Result<()> {
        if let Some(repository) = self.genuine {
            if let Some(found) = repository.look(cluster, backup).await?.0 {
                self.take(cluster, backup, found.clear());
            }
            return Ok(());
        }
        let mut manifests: Vec<Entry> = Vec::new();
        each_entry(self.store, &self.names.manifests(cluster, backup), |entry| {
            if !entry.delete_marker && entry.bytes <= MANIFEST_BYTES_MAX && manifests.len() <= REPLICA_CANDIDATES {
                manifests.push(entry);
            }
        })
        .await?;
        // Any of them may be the genuine one, also the one that would not be read.
        if manifests.len() > REPLICA_CANDIDATES {
            return Ok(());
        }
        for entry in manifests {
            let bytes = match self.store.get(&entry.key, &entry.version, 0..entry.bytes).await {
                Ok(bytes) => bytes,
                Err(error) if error.is_about_the_object() => continue,
                Err(error) => return Err(error.into()),
            };
            let Some(writer) = signed::signer(&bytes) else { continue };
            if let Ok(manifest) = Manifest::decode(&bytes, &[writer]) {
                self.take(cluster, backup, manifest.clear());
            }
        }
        Ok(())
    }

    fn take(&mut self, cluster: &ClusterName, backup: &BackupId, clear: &ClearPart) {
        for stream in &clear.streams {
            for (number, chunk) in (0_u32..).zip(&stream.chunks) {
                let key = self.names.chunk(cluster, backup, &stream.name, number, chunk.tag);
                let known = self.digests.entry(key).or_default();
                if !known.contains(&chunk.sha256) {
                    known.push(chunk.sha256);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::memory::Memory;
    use crate::store::{Append as _, ObjectKey, Put};

    const FOLDER: &str = "pg/main/backups/20261124T031500Z-5b0c6f2e";
    const MANIFEST: &[u8] = include_bytes!("../../../tests/vectors/backups/base-by-host/09.bin");

    async fn put(store: &Memory, name: &str, body: &'static [u8]) {
        let key = ObjectKey::new(format!("{FOLDER}/{name}"));
        store.put(Put { key, body: Bytes::from_static(body), lock: None }).await.unwrap();
    }

    /// How many digests a chunk may have.
    async fn digests(store: &Memory, name: &str) -> usize {
        let names = Names::new("pg").unwrap();
        let mut pinned = Pinned::of(store, &names, None);
        pinned.digests(&format!("{FOLDER}/{name}")).await.unwrap().len()
    }

    /// PAINS F3.
    #[tokio::test]
    async fn f03_digests_are_of_whole_names_and_not_of_a_choice_of_manifests() {
        let store = Memory::default();
        put(&store, "manifest-6589fc1833cb9598", MANIFEST).await;
        for (name, known) in [
            ("base/0-148ff6f7568a7aed", 1),
            ("base/1-ca336b9d69dc6fbc", 1),
            ("base/7-148ff6f7568a7aed", 0),
            ("planted/0-148ff6f7568a7aed", 0),
        ] {
            assert_eq!(digests(&store, name).await, known, "{name}");
        }
        for n in 1..REPLICA_CANDIDATES {
            put(&store, &format!("manifest-{n:016x}"), b"planted").await;
        }
        assert_eq!(digests(&store, "base/0-148ff6f7568a7aed").await, 1);
        put(&store, "manifest-ffffffffffffffff", b"planted").await;
        assert_eq!(digests(&store, "base/0-148ff6f7568a7aed").await, 0, "any of them may be the genuine one");
    }
}
