//! Counting over pages of every size, with what was planted.

use bytes::Bytes;

use super::*;
use crate::catalog::Replacement;
use crate::commands::retention::{Gathered, Superseded};
use crate::format::manifest::Kind;
use crate::format::names::WalName;
use crate::format::{KeyId, Tag, Timeline, WalFileName};
use crate::retention::{BackupFact, Facts, Own, Policy, Verified};
use crate::store::memory::Memory;
use crate::store::{Append as _, ListQuery, ObjectKey, Pages, Put, Read as _, VersionId};
use crate::verify::Findings;

const OLD: &str = "20260924T031500Z-5b0c6f2e";
const NEW: &str = "20261124T031500Z-5b0c6f2e";
const DAY: SignedDuration = SignedDuration::from_hours(24);

fn names() -> Names {
    Names::new("p").unwrap()
}

fn key(number: u8) -> KeyId {
    KeyId::new([number; 16])
}

fn fact(id: &str, arrived_at: Timestamp, number: u8) -> BackupFact {
    BackupFact {
        id: id.parse().unwrap(),
        kind: Kind::Dump,
        arrived_at,
        started_at: arrived_at,
        verified: Verified::Yes,
        base: None,
        keys: vec![key(number)],
        copy_of: None,
        replaced_by: None,
        held: false,
        bytes: 4,
    }
}

fn gathered(cluster: &str, backups: Vec<BackupFact>, now: Timestamp) -> Gathered {
    let (unfinished, unread, wal) = (Vec::new(), Vec::new(), Vec::new());
    Gathered {
        facts: Facts { cluster: cluster.parse().unwrap(), segment: None, backups, unfinished, unread, wal },
        begun_at: now,
        superseded: Superseded::default(),
        findings: Findings::default(),
    }
}

/// Of a cluster with a dump that is kept and one that expires, and of a folder in which nothing is.
fn plans(now: Timestamp) -> Plans {
    let policy = Policy {
        window: 35 * DAY,
        keep_last_dumps: 1,
        keep_last_bases: 1,
        daily: 0,
        weekly: 0,
        monthly: 0,
        yearly: 0,
        min_redundancy: 1,
        dumps: Own::default(),
        bases: Own::default(),
        keep: std::collections::BTreeSet::new(),
        unfinished: 7 * DAY,
        max: 400 * DAY,
        margin: 7 * DAY,
    };
    let mut plans = Plans::default();
    let backups = vec![fact(OLD, now - 60 * DAY, 1), fact(NEW, now, 2)];
    plans.add(&gathered("main", backups, now), &policy).unwrap();
    plans.add(&gathered("evil", Vec::new(), now), &policy).unwrap();
    plans
}

async fn put(store: &Memory, key: String, bytes: usize) {
    store.put(Put { key: ObjectKey::new(key), body: Bytes::from(vec![0; bytes]), lock: None }).await.unwrap();
}

/// Two dumps and what they stand on, and what somebody put there.
async fn planted(page: usize) -> Memory {
    let (store, names, tag) = (Memory::paged(page), names(), Tag::new([7; 8]));
    let cluster = "main".parse().unwrap();
    put(&store, names.repository(), 10).await;
    for (id, number) in [(OLD, 1), (NEW, 2)] {
        let id = id.parse().unwrap();
        put(&store, names.wrap(key(number), tag), 2).await;
        put(&store, names.chunk(&cluster, &id, &"dump".parse().unwrap(), 0, tag), 3).await;
        put(&store, names.manifest(&cluster, &id, tag), 1).await;
    }
    let new = NEW.parse().unwrap();
    put(&store, format!("{}dump/9-0707070707070707", names.backup(&cluster, &new)), 5).await;
    put(&store, names.repository(), 7).await;
    store.mark_deleted(&ObjectKey::new(names.manifest(&cluster, &new, tag)));
    put(&store, "p/Junk/x".into(), 6).await;
    put(&store, "p/main/evidence/x".into(), 2).await;
    put(&store, format!("p/evil/backups/{OLD}/dump/0-0707070707070707"), 100).await;
    store
}

async fn count(store: &Memory, plans: &Plans, prices: &Prices, now: Timestamp) -> Outcome {
    let names = names();
    let (retain, partial_retain) = (30 * DAY, 7 * DAY);
    let (is_retired, copies) = (|_: &str| false, Copies::default());
    let terms =
        Terms { names: &names, plans, copies: &copies, prices, is_retired: &is_retired, now, retain, partial_retain };
    let mut tally = Tally::new(terms);
    let mut pages = Pages::of(store, ListQuery { prefix: "p/".into(), by_folder: false });
    while let Some(page) = pages.next().await.unwrap() {
        page.entries.into_iter().for_each(|entry| tally.take(entry, None));
    }
    tally.told("s3://b/p/".into(), LocksBy::Projected, Uploads::default())
}

fn amount(versions: u64, bytes: u64) -> Amount {
    Amount { versions, bytes }
}

/// PAINS E1: what is paid for, by where it lies, what becomes of it and whose it is; over pages of one to seven versions.
#[tokio::test]
async fn i12_every_version_is_counted_once_over_any_pages() {
    for page in [1, 2, 3, 4, 5, 6, 7, 1000] {
        let store = planted(page).await;
        let now = store.clock().now();
        let told = count(&store, &plans(now), &Prices::default(), now).await;
        let of = |part| told.areas.iter().find(|area| area.place.as_ref().is_some_and(|place| place.part == part));
        let seen = [Part::Backups, Part::Keys, Part::Records, Part::Unknown].map(|part| {
            let area = of(part).unwrap();
            (area.current, area.noncurrent, area.markers)
        });
        let none = amount(0, 0);
        let expected = [
            (amount(4, 12), amount(1, 1), 1),
            (amount(2, 4), none, 0),
            (amount(1, 7), amount(1, 10), 0),
            (amount(3, 108), none, 0),
        ];
        assert_eq!(seen, expected, "pages of {page}");
        assert_eq!((told.areas.len(), told.total.markers), (4, 1));
        assert_eq!((told.total.current, told.total.noncurrent), (amount(10, 131), amount(2, 11)));
        assert_eq!(told.total.classes["STANDARD"], amount(12, 142));

        let shares = &told.shares;
        let all = [shares.kept.all, shares.expires.all, shares.left.all, shares.foreign.all];
        assert_eq!(all, [amount(5, 21), amount(3, 6), none, amount(4, 115)], "pages of {page}");
        assert_eq!((shares.kept.locked, shares.expires.locked), (amount(5, 21), amount(3, 6)));
        assert_eq!((shares.foreign.locked, shares.foreign.last_ends), (none, None), "nobody knows unless it is asked");
        let ends = shares.expires.last_ends.unwrap().duration_since(now);
        assert!(ends > 29 * DAY && ends < 31 * DAY, "{ends}");
        assert!(shares.kept.first_ends.unwrap().duration_since(now) > 34 * DAY, "as long as the plan keeps it");
        assert!(told.planned && told.total.per_month.is_none() && shares.kept.cost_until_then.is_none());

        let foreign: Vec<_> = told.foreign.iter().map(|f| (f.kind, f.count, f.bytes, f.example.as_str())).collect();
        let folder = format!("p/main/backups/{NEW}/");
        let evil = format!("p/evil/backups/{OLD}/dump/0-0707070707070707");
        let manifest = format!("{folder}manifest-0707070707070707");
        let expected = [
            (ForeignKind::UnknownName, 2, 8, "p/Junk/x"),
            (ForeignKind::UnknownCluster, 1, 100, evil.as_str()),
            (ForeignKind::LaterVersion, 1, 7, "p/repository"),
            (ForeignKind::DeleteMarker, 1, 0, manifest.as_str()),
            (ForeignKind::Stray, 1, 5, folder.as_str()),
        ];
        assert_eq!(foreign, expected, "pages of {page}");
    }
}

fn entry(key: &str, class: Option<&str>, at: Timestamp) -> Entry {
    Entry {
        key: ObjectKey::new(key),
        version: VersionId::new(key),
        last_modified: at,
        bytes: 1 << 30,
        etag: String::new(),
        delete_marker: false,
        is_latest: true,
        class: class.map(str::to_owned),
    }
}

fn direct<'a>(
    names: &'a Names,
    (plans, copies): (&'a Plans, &'a Copies),
    prices: &'a Prices,
    now: Timestamp,
) -> Tally<'a> {
    let (retain, partial_retain) = (30 * DAY, 7 * DAY);
    Tally::new(Terms { names, plans, copies, prices, is_retired: &|_| false, now, retain, partial_retain })
}

/// PAINS E4: what is asked counts, whoever set the lock; money is of what has a price, and the rest is named.
#[test]
fn e04_locks_that_were_asked_count_and_classes_have_their_prices() {
    let (names, now) = (names(), "2027-01-01T00:00:00Z".parse().unwrap());
    let (plans, copies) = (plans(now), Copies::default());
    let prices = Prices { usual: Some(0.5), by_class: [("GLACIER".to_owned(), 0.25)].into() };
    let mut tally = direct(&names, (&plans, &copies), &prices, now);
    let chunk = |id: &str| format!("p/main/backups/{id}/dump/0-0707070707070707");
    let until = |until: Timestamp| Some(Protection { until: Some(until), held: false });
    let year = "2028-01-01T06:00:00Z".parse().unwrap();
    tally.take(entry("p/Junk/x", None, now), until(year));
    tally.take(entry("p/Junk/y", Some("DEEP_ARCHIVE"), now), until(year));
    tally.take(entry(&chunk(OLD), Some("GLACIER"), now), Some(Protection { until: None, held: true }));
    tally.take(entry(&chunk(NEW), None, now), Some(Protection::default()));
    let told = tally.told(String::new(), LocksBy::Asked, Uploads::default());
    let foreign = &told.shares.foreign;
    assert_eq!((foreign.locked.versions, foreign.last_ends), (2, Some(year)));
    assert!(
        (foreign.cost_until_then.unwrap() - 6.0).abs() < 1e-9,
        "twelve months of one that has a price: {foreign:?}"
    );
    assert_eq!((told.shares.expires.held.versions, told.shares.expires.locked.versions), (1, 0));
    assert_eq!(told.shares.kept.locked.versions, 0, "the plan would have it locked, and it is not");
    assert!((told.total.per_month.unwrap() - 1.25).abs() < 1e-9, "{:?}", told.total);
    assert_eq!(told.unpriced.into_iter().collect::<Vec<_>>(), ["DEEP_ARCHIVE"]);
    let archived = told.total.classes.iter().map(|(class, amount)| (class.as_str(), amount.versions));
    assert_eq!(archived.collect::<Vec<_>>(), [("DEEP_ARCHIVE", 1), ("GLACIER", 1), ("STANDARD", 2)]);
}

/// Without keys sizes are told and nothing is judged but names; folders of any number of clusters take room for a thousand.
#[test]
fn i12_without_keys_a_flood_of_clusters_is_counted_together() {
    let (names, now, plans, prices) = (names(), Timestamp::UNIX_EPOCH, Plans::default(), Prices::default());
    let copies = Copies::default();
    let mut tally = direct(&names, (&plans, &copies), &prices, now);
    for number in 0..COST_CLUSTERS_MAX + 2 {
        tally.take(entry(&format!("p/c{number:06}/backups/{NEW}/dump/0-0707070707070707"), None, now), None);
    }
    let told = tally.told(String::new(), LocksBy::Projected, Uploads::default());
    assert_eq!((told.areas.len(), told.planned, told.foreign.len()), (COST_CLUSTERS_MAX + 1, false, 0));
    let last = told.areas.last().unwrap();
    assert!(last.place.as_ref().is_some_and(|place| place.part == Part::MoreClusters) && last.current.versions == 2);
    assert_eq!(told.shares.left.all.versions, told.total.current.versions);
}

/// PAINS B5, E1: of WAL that `reencrypt --wal` copied the copy is what is kept, and what it took the place of may go. What somebody laid
/// over both is foreign; where nobody looked, nothing is said of either.
#[test]
fn b05_copies_of_wal_are_ours_and_their_originals_expire() {
    let (names, now): (_, Timestamp) = (names(), "2027-01-01T00:00:00Z".parse().unwrap());
    let (plans, prices, cluster) = (plans(now), Prices::default(), "main".parse().unwrap());
    let timeline = Timeline::from_name("00000002").unwrap();
    let file = WalName::File { timeline, name: WalFileName::History(timeline), tag: None };
    let version = |number: i32| Entry {
        version: VersionId::new(format!("v{number}")),
        ..entry(&names.wal(&cluster, &file), None, now - (10 - number) * DAY)
    };
    let told = |copies: &Copies| {
        let mut tally = direct(&names, (&plans, copies), &prices, now);
        for number in [4, 3, 2, 1] {
            tally.take(version(number), None);
        }
        let told = tally.told(String::new(), LocksBy::Projected, Uploads::default());
        let shares = [&told.shares.kept, &told.shares.expires, &told.shares.foreign].map(|share| share.all.versions);
        (shares, told.foreign.first().map(|foreign| (foreign.kind, foreign.count)), told.unjudged.versions)
    };
    let mut copies = Copies::default();
    assert_eq!(told(&copies), ([4, 0, 0], None, 3), "nobody looked");
    assert!(copies.take(&Replacement { copy: version(3), replaced: vec![version(1), version(2)] }));
    copies.looked_at(&cluster);
    assert_eq!(told(&copies), ([1, 2, 1], Some((ForeignKind::LaterVersion, 1)), 0));
}
