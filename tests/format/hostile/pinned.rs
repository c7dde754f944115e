//! The first line: what the manifest pins. No altered chunk even reaches the seal.

use std::sync::Arc;

use bytes::Bytes;
use stonewal::format::{Codec, DataKey};
use stonewal::keys::{data_key, repository_id};
use stonewal::observe::Progress;
use stonewal::pipeline::{Error, StreamReader};
use stonewal::store::memory::Memory;
use stonewal::store::{Append as _, ObjectKey, Prune as _, Put, VersionId};

use crate::support::backup::{target, write};
use crate::support::set::drain;
use crate::support::{place, run, sql};

/// A stream of several chunks in a bucket; `bend` gets the bucket and its keys in order, and says which chunk it hit.
async fn after(bend: impl AsyncFn(&Memory, &[ObjectKey]) -> usize) -> (Vec<u8>, Result<(), Error>, usize, Vec<u8>) {
    let (store, place) = (Arc::new(Memory::default()), place(repository_id().unwrap()));
    let key: DataKey = data_key().unwrap();
    let plain = sql(4 << 20);
    let record = write(&target(&store, &place, 15_000), "dump", Codec::Gzip, &key, &plain).await;
    assert!(record.chunks.len() > 3, "{} chunks", record.chunks.len());
    let keys = (0..).zip(&record.chunks).map(|(number, chunk)| {
        ObjectKey::new(place.names.chunk(&place.cluster, &place.backup, &record.name, number, chunk.tag))
    });
    let hit = bend(&store, &keys.collect::<Vec<_>>()).await;
    let (released, end) = drain(StreamReader::new(store, place, record, &key, 2, Progress::new()).unwrap()).await;
    (released, end, hit << 20, plain)
}

fn refuses(case: &str, (released, end, limit, plain): (Vec<u8>, Result<(), Error>, usize, Vec<u8>), missing: bool) {
    assert!(released.len() <= limit && plain.starts_with(&released), "{case}: {} bytes released", released.len());
    match end {
        Err(Error::MissingChunk { .. }) if missing => {}
        // A body that is too short for the range is the store's to report.
        Err(Error::AlteredChunk { .. } | Error::Store(stonewal::store::Error::Corrupt { .. })) if !missing => {}
        other => panic!("{case}: {other:?}"),
    }
}

#[test]
fn i05_pinned_chunks_may_not_change() {
    let flip = after(async |store, keys| {
        store.alter(&keys[2], |body| {
            let mut body = body.to_vec();
            body[100] ^= 1;
            body
        });
        2
    });
    refuses("a flipped bit", run(flip), false);
    let cut = after(async |store, keys| {
        store.alter(&keys[1], |body| body[..body.len() - 1].to_vec());
        1
    });
    refuses("cut short", run(cut), false);
    let swapped = after(async |store, keys| {
        let (a, b) = (store.first(&keys[0]).unwrap().0, store.first(&keys[1]).unwrap().0);
        store.alter(&keys[0], |_| b.to_vec());
        store.alter(&keys[1], |_| a.to_vec());
        0
    });
    refuses("two chunks swapped", run(swapped), false);
}

#[test]
fn i05_a_pinned_chunk_may_not_vanish() {
    let gone = after(async |store, keys| {
        let (_, version, _) = store.dump().into_iter().find(|(key, ..)| *key == keys[2]).unwrap();
        store.delete_version(&keys[2], &version, false).await.unwrap();
        2
    });
    refuses("a chunk deleted", run(gone), true);
}

/// Junk over every key and delete markers on top change nothing.
#[test]
fn i04_later_versions_and_markers_are_not_read() {
    let noise = after(async |store, keys| {
        for key in keys {
            let junk = Put { key: key.clone(), body: Bytes::from_static(b"junk"), lock: None };
            assert_ne!(store.put(junk).await.unwrap().version, VersionId::null());
            store.mark_deleted(key);
        }
        0
    });
    let (released, end, _, plain) = run(noise);
    end.unwrap();
    assert!(released == plain);
}

/// What comes after the last byte of the pinned length is not read either.
#[test]
fn i05_an_appended_chunk_is_read_to_its_pinned_length() {
    let longer = after(async |store, keys| {
        store.alter(&keys[1], |body| [body, b"more"].concat());
        0
    });
    let (released, end, _, plain) = run(longer);
    end.unwrap();
    assert!(released == plain);
}
