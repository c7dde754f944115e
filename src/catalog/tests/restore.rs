//! Reading a backup back, and what must always hold of it.

use std::sync::Arc;

use super::world::{cluster, open, recovery};
use crate::catalog::{Backup, Finding, Repository};
use crate::format::Place;
use crate::format::StreamName;
use crate::observe::Progress;
use crate::pipeline::StreamReader;
use crate::store::Read;

/// What a reader released, and whether it was all.
#[derive(Debug)]
pub(super) struct Restored {
    pub(super) plain: Vec<u8>,
    pub(super) whole: bool,
}

/// Reads the stream of `backup` through `store`.
pub(super) async fn restore(store: Arc<dyn Read>, repository: &Repository, backup: &Backup) -> Restored {
    let mut restored = Restored { plain: Vec::new(), whole: false };
    let clear = backup.clear();
    let Ok(key) = repository.payload_key(&clear.payload_key).await else { return restored };
    let name: StreamName = "dump".parse().unwrap();
    let record = clear.stream(&name).unwrap().clone();
    let names = repository.names().clone();
    let place = Place { names, repository: clear.repository, cluster: cluster(), backup: clear.backup.clone() };
    let mut reader = StreamReader::new(store, place, record, &key, 2, Progress::new()).unwrap();
    loop {
        match reader.next().await {
            Ok(Some(plain)) => restored.plain.extend(plain),
            Ok(None) => break,
            Err(_) => return restored,
        }
    }
    restored.whole = reader.finish().is_ok();
    restored
}

/// The latest backup with the recovery file: its bytes and what was found beside it; `None` if there is none.
pub(super) async fn latest(store: Arc<dyn Read>) -> Option<(Vec<u8>, String, Vec<Finding>)> {
    let repository = open(store.clone(), recovery()).await.unwrap();
    let (backup, findings) = match repository.latest(&cluster()).await {
        Ok(found) => found,
        Err(crate::catalog::Error::NoBackup { .. }) => return None,
        Err(error) => panic!("{error}"),
    };
    repository.sealed_part(&backup.manifest).await.unwrap();
    let restored = restore(store, &repository, &backup).await;
    assert!(restored.whole, "a manifest exists and its backup cannot be restored");
    Some((restored.plain, backup.clear().backup.to_string(), findings))
}
