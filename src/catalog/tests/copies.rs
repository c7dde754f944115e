//! Copies of WAL under other data keys: who may make one, and which version counts whatever is laid over it (PAINS B5, A17).

use std::sync::Arc;

use bytes::Bytes;

use super::wal::{fetch, keep, key_of, name, piece, plant, run_of, sealed};
use super::world::{PASSPHRASE, bucket, cluster, host, lock, open, recovery, secret};
use crate::catalog::{Access, Error, Kept, Repository, WalObject};
use crate::format::Codec;
use crate::keys::{self, Identity};
use crate::limits::GUESSED_VERSIONS;
use crate::pipeline::{Encoding, Signer, WalRun, open_wal_whole};
use crate::store::memory::Memory;

/// The copy that counts of piece 1, and how many versions it takes the place of.
async fn counting(repository: &Repository) -> Option<(String, usize)> {
    let found = repository.replacement_of(&cluster(), &name(1)).await.unwrap()?;
    Some((found.copy.version.as_str().to_owned(), found.replaced.len()))
}

fn newest(store: &Memory) -> (String, Bytes) {
    let (_, version, body) = store.dump().into_iter().rfind(|(key, ..)| *key == key_of(1)).unwrap();
    (version.as_str().to_owned(), body)
}

#[tokio::test]
async fn i06_only_the_root_writer_makes_a_copy_of_wal() {
    let store = Arc::new(bucket(3));
    let root = open(store.clone(), Access::Passphrase(secret(PASSPHRASE))).await.unwrap();
    let (host, reader) = (open(store.clone(), host()).await.unwrap(), open(store.clone(), recovery()).await.unwrap());
    let wal = piece(1);
    keep(&store, &host, &sealed(&run_of(&host, 7), 1, &wal).await, &wal).await.unwrap();
    let original = root.wal_object(&cluster(), &name(1)).await.unwrap().unwrap();
    let made_at = lock().retain_until;

    let forged = run_of(&host, 7).seal_again(&original.head, wal.clone(), made_at).await.unwrap();
    plant(&store, &key_of(1), forged.object).await;
    assert_eq!(counting(&reader).await, None);
    let found = reader.wal_object(&cluster(), &name(1)).await.unwrap().unwrap();
    assert_eq!(found.version, original.version, "a host is not believed");

    let copy = run_of(&root, 7).seal_again(&original.head, wal.clone(), made_at).await.unwrap();
    let (of, told) = (original.head.header(), &copy.header);
    assert_eq!((told.written_at, told.plain, told.commits), (of.written_at, of.plain, of.commits));
    assert!(told.key != of.key && told.run != of.run && told.stream != of.stream);
    plant(&store, &key_of(1), copy.object.clone()).await;
    let (version, _) = newest(&store);
    assert_eq!(counting(&reader).await, Some((version.clone(), 1)), "of the original");
    let found = reader.wal_object(&cluster(), &name(1)).await.unwrap().unwrap();
    assert!(found.version.as_str() == version && fetch(&reader, 1).await == Some(wal.clone()));

    // Replays of either, and what is pushed again, change nothing.
    plant(&store, &key_of(1), copy.object).await;
    assert_eq!(counting(&reader).await, Some((version.clone(), 1)), "the older of equal bytes");
    plant(&store, &key_of(1), original.object.clone()).await;
    assert_eq!(counting(&reader).await, Some((version.clone(), 2)));
    assert_eq!(fetch(&reader, 1).await.as_ref(), Some(&wal));
    let again = sealed(&run_of(&host, 7), 1, &wal).await;
    assert_eq!(keep(&store, &host, &again, &wal).await.unwrap(), Kept::Already);

    // A copy of the copy names the first original, and takes the place of both.
    let copied = root.wal_object(&cluster(), &name(1)).await.unwrap().unwrap();
    let main = cluster();
    let counted = root.replacement_of(&main, &name(1)).await.unwrap().unwrap().copy;
    let first = root.wal_version(&main, &counted).await.unwrap();
    assert!(copied.head.header().copy_of.is_none(), "the replay of the original lies on top");
    let later = made_at + jiff::SignedDuration::from_hours(1);
    let second = run_of(&root, 7).seal_again(&first.head, wal.clone(), later).await.unwrap();
    assert_eq!(second.header.copy_of.unwrap().original, original.head.digest());
    plant(&store, &key_of(1), second.object).await;
    let (version, _) = newest(&store);
    assert_eq!(counting(&reader).await, Some((version, 4)), "two of the original, two of the first copy");
}

/// A bucket whose piece 1 only somebody else opens: the root writer, a reader, that piece and its content.
async fn of_another() -> (Arc<Memory>, Repository, Repository, WalObject, Bytes) {
    let store = Arc::new(bucket(1000));
    let root = open(store.clone(), Access::Passphrase(secret(PASSPHRASE))).await.unwrap();
    let (host, reader) = (open(store.clone(), host()).await.unwrap(), open(store.clone(), recovery()).await.unwrap());
    let (wal, former) = (piece(1), Identity::generate());
    let signer = host.with_keyring(|ring| {
        let certificate = ring.certificate().map(<[u8]>::to_vec);
        Signer { writer: ring.writer().unwrap().clone(), certificate }
    });
    let encoding = Encoding { codec: Codec::Gzip, level: 1 };
    let place = run_of(&host, 7).place().clone();
    let run = WalRun::begin(place, &[former.recipient()], signer, encoding, lock().retain_until).unwrap();
    keep(&store, &host, &sealed(&run, 1, &wal).await, &wal).await.unwrap();
    let original = reader.wal_object(&cluster(), &name(1)).await.unwrap().unwrap();
    let refused = reader.openable_wal(original.clone()).await.unwrap_err();
    assert!(matches!(refused, Error::Keys(keys::Error::NotARecipient { .. })), "{refused}");
    (store, root, reader, original, wal)
}

/// Who was added after the WAL was sealed opens the copy alone: also where the original lies over it again.
#[tokio::test]
async fn i04_a_replay_of_the_original_does_not_shut_out_who_opens_the_copy() {
    let (store, root, reader, original, wal) = of_another().await;
    let copy = run_of(&root, 7).seal_again(&original.head, wal.clone(), lock().retain_until).await.unwrap();
    assert_eq!(copy.header.codec, Codec::Gzip, "as the original");
    for body in [copy.object, original.object.clone(), Bytes::from_static(b"junk")] {
        plant(&store, &key_of(1), body).await;
        let found = reader.wal_object(&cluster(), &name(1)).await.unwrap().unwrap();
        let (found, key) = reader.openable_wal(found).await.unwrap();
        assert_eq!(open_wal_whole(&found.head, found.object, &key).await.unwrap(), wal);
    }
}

/// PAINS A17: where a copy lies between the versions that are looked at, its head over another body does not count in its place.
#[tokio::test]
async fn i04_in_a_flood_the_head_of_a_copy_does_not_stand_for_it() {
    let (store, root, reader, original, wal) = of_another().await;
    for _ in 1..GUESSED_VERSIONS {
        plant(&store, &key_of(1), &b"junk"[..]).await;
    }
    let copy = run_of(&root, 7).seal_again(&original.head, wal.clone(), lock().retain_until).await.unwrap().object;
    plant(&store, &key_of(1), copy.clone()).await;
    let (version, _) = newest(&store);
    let mut bent = copy.to_vec();
    *bent.last_mut().unwrap() ^= 1;
    for _ in 0..GUESSED_VERSIONS {
        assert_eq!(counting(&reader).await, Some((version.clone(), 1)));
        plant(&store, &key_of(1), bent.clone()).await;
    }
    assert_eq!(counting(&reader).await, None, "it is not among the oldest and the newest");
    let counted = reader.counting_wal(&cluster(), name(1)).await.unwrap().unwrap();
    assert_eq!(counted.version, original.version);
    let (found, key) = reader.openable_wal(original).await.unwrap();
    assert_eq!(found.version.as_str(), version);
    assert_eq!(open_wal_whole(&found.head, found.object, &key).await.unwrap(), wal);
    // Whole, it counts wherever it lies.
    plant(&store, &key_of(1), copy).await;
    assert_eq!(counting(&reader).await, Some((newest(&store).0, 1)));
}
