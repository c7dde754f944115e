//! Whoever may write to the bucket cannot choose who reads: the newest roster that the root signed counts.

use std::sync::Arc;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::world::{PASSPHRASE, Scripted, back_up, bucket, cluster, host, lock, names, open, plain, secret};
use crate::catalog::{Error, FindingKind, Repository, open_bundle, outlive, publish_roster, put_bundle};
use crate::format::Tag;
use crate::format::roster::{Retired, Roster, RosterBundle, RosterRecipient};
use crate::format::signed::{self, Purpose};
use crate::keys::{Bundle, Identity, WriterKey};
use crate::limits::{COPIES_READ_MAX, ROSTER_BYTES_MAX, ROSTERS_READ_MAX};
use crate::store::memory::Memory;
use crate::store::{Append as _, ObjectKey, Put, Read as _};

/// The root, and a first roster that names one more recipient.
async fn world() -> (Arc<Memory>, Bundle, Roster, Identity) {
    let store = Arc::new(bucket(7));
    let root = open_bundle(&*store, &names(), secret(PASSPHRASE), None, "a test").await.unwrap();
    let added = Identity::generate();
    let since = store.clock().now();
    let identity = root.bundle.identity.recipient().to_string();
    let one = |recipient: String| RosterRecipient { recipient, name: None, since };
    let roster = Roster {
        format: Roster::FORMAT,
        repository: root.bundle.repository,
        generation: 1,
        made_at: since,
        recipients: vec![one(identity.clone()), one(added.recipient().to_string())],
        identity,
        bundles: vec![RosterBundle { fingerprint: root.fingerprint, name: None, since }],
        retired: Vec::new(),
    };
    (store, root.bundle, roster, added)
}

fn sealed(roster: &Roster, key: &WriterKey) -> Bytes {
    roster.encode(key.public(), |message| key.sign(message)).unwrap().into()
}

async fn put(store: &Memory, key: String, body: impl Into<Bytes>) {
    store.put(Put { key: ObjectKey::new(key), body: body.into(), lock: None }).await.unwrap();
}

fn recipients(repository: &Repository) -> usize {
    repository.with_keyring(|ring| ring.recipients().len())
}

#[tokio::test]
async fn a_host_follows_the_newest_roster_that_the_root_signed() {
    let (store, bundle, first, added) = world().await;
    let before = open(store.clone(), host()).await.unwrap();
    assert_eq!(recipients(&before), 2);
    publish_roster(&*store, &names(), &bundle.writer, &first, None).await.unwrap();
    let mut second = Roster { generation: 2, ..first.clone() };
    second.recipients.pop();
    publish_roster(&*store, &names(), &bundle.writer, &second, None).await.unwrap();

    // What an attacker can do: the older one again as if newer, one of their own, junk, markers.
    let stranger = WriterKey::generate().unwrap();
    let theirs =
        RosterRecipient { recipient: Identity::generate().recipient().to_string(), ..first.recipients[1].clone() };
    let forged = Roster { generation: 9, recipients: vec![first.recipients[0].clone(), theirs], ..first.clone() };
    for tag in ["", "-0101010101010101"] {
        put(&store, format!("{}{}{tag}", names().rosters(), 3), sealed(&first, &bundle.writer)).await;
        put(&store, format!("{}{}{tag}", names().rosters(), 9), sealed(&forged, &stranger)).await;
        put(&store, format!("{}{}{tag}", names().rosters(), 4), "junk").await;
        put(&store, format!("{}{}{tag}", names().rosters(), 2), sealed(&forged, &stranger)).await;
    }
    store.mark_deleted(&ObjectKey::new(names().roster(2, None)));
    let repository = open(store.clone(), host()).await.unwrap();
    assert_eq!(repository.roster().unwrap().generation, 2);
    assert_eq!(recipients(&repository), 1);
    assert!(before.follow_roster().await.unwrap() && !before.follow_roster().await.unwrap());
    assert_eq!(recipients(&before), 1);

    // Junk at the name of the next one costs a random part.
    let third = Roster { generation: 3, ..first };
    publish_roster(&*store, &names(), &bundle.writer, &third, None).await.unwrap();
    assert!(before.follow_roster().await.unwrap());
    assert_eq!(recipients(&before), 2);
    let readers = before.with_keyring(|ring| ring.recipients().to_vec());
    assert!(readers.contains(&added.recipient()));
}

#[tokio::test]
async fn of_two_changes_with_one_number_the_first_counts() {
    let (store, bundle, first, _) = world().await;
    publish_roster(&*store, &names(), &bundle.writer, &first, None).await.unwrap();
    // The answer was lost, and the same is stored again.
    publish_roster(&*store, &names(), &bundle.writer, &first, None).await.unwrap();
    let mut other = first.clone();
    other.recipients.pop();
    let error = publish_roster(&*store, &names(), &bundle.writer, &other, None).await.unwrap_err();
    assert!(matches!(error, Error::KeysChanged { orphan: None }), "{error}");
    assert_eq!(open(store, host()).await.unwrap().roster(), Some(first));
}

/// A roster of a later format may retire whom this one lets read: it is not passed over.
#[tokio::test]
async fn a_roster_of_a_later_format_stops_a_writer() {
    let (store, bundle, first, _) = world().await;
    let mut later = serde_json::to_value(Roster { format: 2, ..first }).unwrap();
    later["quorum"] = 2.into();
    let json = serde_json::to_vec(&later).unwrap();
    let sealed = signed::seal(Purpose::Roster, json, bundle.writer.public(), |message| bundle.writer.sign(message));
    put(&store, names().roster(1, None), sealed).await;
    let error = open(store, host()).await.unwrap_err();
    assert!(matches!(error, Error::Format(crate::format::Error::Version { version: 2, .. })), "{error}");
}

/// PAINS B5: however many passphrases were given up, the one that counts is found without trying them all.
#[tokio::test]
async fn the_passphrase_that_counts_opens_whatever_lies_before_it() {
    let (store, bundle, mut roster, _) = world().await;
    for n in 0..crate::limits::IDENTITY_BUNDLES_MAX {
        let body = Bytes::from(format!("planted {n}"));
        put(&store, names().identity(Bundle::fingerprint(&body), crate::keys::tag().unwrap()), body).await;
    }
    let next = Arc::new(bundle.successor(true, Vec::new(), store.clock().now()).unwrap());
    let (_, print) = put_bundle(&*store, &names(), &next, secret("slate"), None).await.unwrap();
    let access = || crate::catalog::Access::Passphrase(secret("slate"));
    assert!(open(store.clone(), access()).await.is_err(), "it is the tenth");
    let identity = next.identity.recipient().to_string();
    roster.recipients[0].recipient.clone_from(&identity);
    roster.identity = identity;
    roster.bundles[0].fingerprint = print;
    publish_roster(&*store, &names(), &bundle.writer, &roster, None).await.unwrap();
    let repository = open(store.clone(), access()).await.unwrap();
    let forged = repository.findings().iter().filter(|finding| finding.kind == FindingKind::ForgedKey).count();
    assert_eq!(forged, crate::limits::IDENTITY_BUNDLES_MAX + 1, "the planted ones, and one that no roster ever named");

    let plain = plain(3, 100_000);
    let never = CancellationToken::new();
    let host = open(store.clone(), host()).await.unwrap();
    back_up(&store, &host, Scripted::good(plain), 1, &never).await.unwrap();
    let (backup, _) = repository.latest(&cluster()).await.unwrap();
    repository.payload_key(&backup.clear().payload_key).await.unwrap();
}

/// Planted names cost a bounded number of reads, are told, and keep nobody from changing the keys or following the change.
#[tokio::test]
async fn i12_of_a_flood_of_rosters_few_are_read() {
    let (store, bundle, first, _) = world().await;
    publish_roster(&*store, &names(), &bundle.writer, &first, None).await.unwrap();
    assert!(open(store.clone(), host()).await.unwrap().look_for_roster().await.unwrap().1.is_none());
    for _ in 0..ROSTERS_READ_MAX {
        put(&store, names().roster(7, Some(crate::keys::tag().unwrap())), "junk").await;
    }
    let too_long = vec![b' '; usize::try_from(ROSTER_BYTES_MAX).unwrap() + 1];
    put(&store, names().roster(8, None), too_long).await;
    for generation in [2, 3] {
        let next = Roster { generation, ..first.clone() };
        publish_roster(&*store, &names(), &bundle.writer, &next, None).await.unwrap();
    }
    let repository = open(store, host()).await.unwrap();
    assert_eq!(repository.roster().unwrap().generation, 3);
    let told = |finding: &&crate::catalog::Finding| finding.key == names().rosters();
    assert_eq!(repository.findings().iter().filter(told).count(), 1, "{:?}", repository.findings());
}

/// PAINS B5: whoever may write and hide lies in wait under the next number, alone or among any number of others: the change counts,
/// hosts follow it, and so does the one after that.
#[tokio::test]
async fn i04_i12_a_number_that_was_planted_and_hidden_stops_no_change() {
    let (_, bundle, first, _) = world().await;
    for flood in [0, COPIES_READ_MAX as u64] {
        let store = Arc::new(bucket(1000));
        publish_roster(&*store, &names(), &bundle.writer, &first, None).await.unwrap();
        for number in 0..flood {
            // Any numbers, and the next one.
            put(&store, names().roster(1000 + number, None), "junk").await;
            put(&store, names().roster(2, Some(Tag::new(number.to_be_bytes()))), "junk").await;
        }
        for generation in [2, 3] {
            let name = names().roster(generation, None);
            put(&store, name.clone(), "planted").await;
            store.mark_deleted(&ObjectKey::new(name));
            let next = Roster { generation, ..first.clone() };
            publish_roster(&*store, &names(), &bundle.writer, &next, None).await.unwrap();
            // The answer was lost.
            publish_roster(&*store, &names(), &bundle.writer, &next, None).await.unwrap();
            let before = store.reads();
            let repository = open(store.clone(), host()).await.unwrap();
            assert_eq!(repository.roster().unwrap().generation, generation, "{flood}");
            assert!(store.reads() - before <= 3 * 512 + 50, "{} reads", store.reads() - before);
        }
        // Where theirs lie on both sides of it in numbers, whoever changes the keys still finds what counts.
        for number in 0..flood {
            put(&store, names().roster(2, Some(Tag::new((number + 1_000_000).to_be_bytes()))), "junk").await;
        }
        let fourth = Roster { generation: 4, ..first.clone() };
        publish_roster(&*store, &names(), &bundle.writer, &fourth, None).await.unwrap();
        let stale = Roster { made_at: fourth.made_at + jiff::SignedDuration::from_secs(1), ..fourth };
        let error = publish_roster(&*store, &names(), &bundle.writer, &stale, None).await.unwrap_err();
        assert!(matches!(error, Error::KeysChanged { orphan: None }), "{error}");
    }
}

/// What nobody would read is not written.
#[tokio::test]
async fn a_roster_that_would_be_too_long_is_refused() {
    let (store, bundle, mut roster, _) = world().await;
    let until = roster.made_at;
    let gone = Retired { what: "age1".repeat(16), name: None, since: until, until };
    roster.retired = vec![gone; 3000];
    let error = publish_roster(&*store, &names(), &bundle.writer, &roster, None).await.unwrap_err();
    assert!(matches!(error, Error::Format(crate::format::Error::Absurd { .. })), "{error}");
    roster.retired.truncate(1000);
    publish_roster(&*store, &names(), &bundle.writer, &roster, None).await.unwrap();
}

/// Whoever may write can put any number of objects below the number of the roster, of its very length: a host renews its lock
/// all the same, and reads a bounded number of them.
#[tokio::test]
async fn i11_i12_a_roster_is_renewed_among_any_number_of_planted_ones() {
    let (store, bundle, roster, _) = world().await;
    publish_roster(&*store, &names(), &bundle.writer, &roster, None).await.unwrap();
    let genuine = sealed(&roster, &bundle.writer);
    let repository = open(store.clone(), host()).await.unwrap();
    let copies = |store: &Memory| {
        let rosters = store.keys().into_iter().filter(|key| key.as_str().starts_with(&names().rosters()));
        let of = rosters.filter_map(|key| store.first(&key)).filter(|(body, _)| *body == genuine);
        of.filter(|(_, lock)| lock.is_some()).count()
    };
    for number in 0..2 * COPIES_READ_MAX as u64 {
        let junk = vec![b'x'; genuine.len()];
        // Of its number, and of others that begin with it.
        put(&store, names().roster(1, Some(Tag::new(number.to_be_bytes()))), junk.clone()).await;
        put(&store, names().roster(1000 + number, None), junk).await;
    }
    let before = store.reads();
    assert_eq!(outlive(&*store, &repository, lock(), std::time::Duration::from_hours(24 * 400)).await.unwrap(), []);
    assert_eq!(copies(&store), 1, "one locked copy was added");
    assert!(store.reads() - before <= COPIES_READ_MAX as u64 + 16, "{} reads", store.reads() - before);
}
