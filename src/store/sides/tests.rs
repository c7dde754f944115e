//! Two buckets in memory: what one does not give, the other does, and silence is no absence.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::store::faulty::{Fault, Faulty, Rates};
use crate::store::memory::Memory;
use crate::store::{Append as _, Entry, Pages, Put};

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(name)
}

async fn put(store: &Memory, name: &str, body: &'static [u8]) -> VersionId {
    let put = Put { key: key(name), body: Bytes::from_static(body), lock: None };
    store.put(put).await.unwrap().version
}

fn pin(version: &VersionId, body: &[u8]) -> Pin {
    let digest = ring::digest::digest(&ring::digest::SHA256, body);
    Pin { version: version.clone(), bytes: body.len() as u64, sha256: digest.as_ref().try_into().unwrap() }
}

fn both(here: impl Read + 'static, there: impl Read + 'static) -> Sides {
    Sides::new(vec![Side::new("here", Arc::new(here)), Side::new("there", Arc::new(there))])
}

/// A side of which nothing is heard.
fn dead(store: Memory) -> Faulty<Memory> {
    Faulty::seeded(store, 0, Rates { before: 1000, ..Rates::default() })
}

/// Key, side and version of all that a listing gives, and its folders.
async fn listed(store: &dyn Read, query: ListQuery) -> (Vec<(String, usize, String)>, Vec<String>) {
    let (mut entries, mut folders, mut pages) = (Vec::new(), Vec::new(), Pages::of(store, query));
    while let Some(page) = pages.next().await.unwrap() {
        let told = |entry: Entry| (entry.key.to_string(), entry.version.side(), entry.version.to_string());
        entries.extend(page.entries.into_iter().map(told));
        folders.extend(page.prefixes);
    }
    (entries, folders)
}

/// PAINS F3: the content decides, whatever the version ids, and however many versions were planted around it.
#[tokio::test]
async fn f03_what_is_pinned_is_found_by_its_content() {
    let (here, there) = (Memory::default(), Memory::paged(7));
    let pinned = pin(&put(&here, "k", b"genuine").await, b"genuine");
    for _ in 0..3 {
        put(&there, "k", b"planted").await;
    }
    put(&there, "k", b"genuine").await;
    for _ in 0..100 {
        put(&there, "k", b"other length").await;
        put(&there, "k", b"PLANTED").await;
        put(&there, "k/longer", b"genuine").await;
    }
    assert_eq!(there.pinned(&key("k"), &pinned).await.unwrap(), "genuine");
    let absent = there.pinned(&key("l"), &pinned).await.unwrap_err();
    assert!(matches!(absent, Error::NotFound { .. }), "{absent}");
    let late = pin(&pinned.version, b"missing");
    assert!(matches!(here.pinned(&key("k"), &late).await, Err(Error::Corrupt { .. })));
    let late = pin(&VersionId::new("elsewhere"), b"missing");
    assert!(matches!(there.pinned(&key("k"), &late).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn f03_bytes_that_differ_on_one_side_come_from_the_other_and_are_told() {
    let (here, there) = (Memory::default(), Memory::default());
    let pinned = pin(&put(&here, "k", b"genuine").await, b"genuine");
    put(&there, "k", b"genuine").await;
    here.alter(&key("k"), |_| b"rotten!".to_vec());
    let sides = both(here, there);
    assert_eq!(sides.pinned(&key("k"), &pinned).await.unwrap(), "genuine");
    let altered = sides.altered();
    assert_eq!((altered.len(), altered[0].side.as_str(), altered[0].key.as_str()), (1, "here", "k"));
    assert_eq!(sides.unheard(), 0, "it was heard");
}

/// Invariant I10: a replica may lag, so what it lacks is absent only if the bucket says so too.
#[tokio::test]
async fn i10_a_side_that_fails_makes_absence_unknown() {
    let (here, there) = (Memory::default(), Memory::default());
    let pinned = pin(&put(&here, "k", b"genuine").await, b"genuine");
    let query = || ListQuery { prefix: String::new(), by_folder: false };
    for sides in [both(dead(here.clone()), there.clone()), both(there.clone(), dead(here.clone()))] {
        let mark = sides.unheard();
        assert!(sides.all_heard(mark).is_ok());
        assert_eq!(listed(&sides, query()).await.0, [], "what is heard is told");
        let unheard = sides.all_heard(mark).unwrap_err();
        assert!(matches!(unheard, Error::Unheard { .. }) && !unheard.is_permanent(), "{unheard}");
        assert!(matches!(sides.pinned(&key("k"), &pinned).await, Err(Error::Unheard { .. })));
        let mark = sides.unheard();
        assert!(sides.newest(&key("k"), 9).await.unwrap().is_none());
        assert!(sides.all_heard(mark).is_err());
    }
    let sides = both(here, there);
    let mark = sides.unheard();
    assert!(sides.newest(&key("gone"), 9).await.unwrap().is_none() && sides.all_heard(mark).is_ok());
    let nobody = both(dead(Memory::default()), dead(Memory::default()));
    assert!(nobody.list_page(&query(), None).await.is_err() && nobody.newest(&key("k"), 9).await.is_err());
}

/// A bucket that is dead must not cost its time-out for each of many objects.
#[tokio::test]
async fn f03_a_dead_side_is_passed_over() {
    let (here, there) = (Memory::default(), Memory::default());
    let pinned = pin(&put(&here, "k", b"genuine").await, b"genuine");
    put(&there, "k", b"genuine").await;
    let silent = Arc::new(dead(here));
    let sides = Sides::new(vec![Side::new("here", silent.clone()), Side::new("there", Arc::new(there))]);
    for _ in 0..100 {
        assert_eq!(sides.pinned(&key("k"), &pinned).await.unwrap(), "genuine");
    }
    assert_eq!(silent.log().len(), 3, "it was asked until it was clear");
    assert_eq!(sides.failing()[0].times, 100);
}

/// A side that dies in the middle of a listing hides nothing of the other, and is missed.
#[tokio::test]
async fn i10_a_listing_outlives_a_side() {
    let (here, there) = (Memory::paged(2), Memory::paged(2));
    for name in ["a", "b", "c", "d", "e"] {
        put(&here, name, b"x").await;
        put(&there, name, b"x").await;
    }
    let dying = Faulty::scripted(here, [Fault::None, Fault::Before, Fault::Before, Fault::Before]);
    let sides = both(dying, there);
    let mark = sides.unheard();
    let (entries, _) = listed(&sides, ListQuery { prefix: String::new(), by_folder: false }).await;
    let there: Vec<_> = entries.iter().filter(|(_, side, _)| *side == 1).map(|(key, ..)| key.as_str()).collect();
    assert_eq!(there, ["a", "b", "c", "d", "e"]);
    assert!(sides.all_heard(mark).is_err());
}

proptest! {
    /// Whatever lies where, in whatever pages: every version once, in key order, all of one key and side together, newest first.
    #[test]
    fn a_merged_listing_is_the_union(
        here in prop::collection::vec("[ab]{1,2}(/[ab])?", 0..14),
        there in prop::collection::vec("[ab]{1,2}(/[ab])?", 0..14),
        pages in (1..5_usize, 1..5_usize),
        by_folder: bool,
        after in prop::option::of("[ab]{1,2}"),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let stores = [Memory::paged(pages.0), Memory::paged(pages.1)];
            for (store, names) in stores.iter().zip([&here, &there]) {
                for name in names {
                    put(store, name, b"x").await;
                }
            }
            let query = ListQuery { prefix: String::new(), by_folder };
            let sides = both(stores[0].clone(), stores[1].clone());
            let mut merged = (Vec::new(), Vec::new());
            let mut pages = Pages::after(&sides, query.clone(), after.clone());
            while let Some(page) = pages.next().await.unwrap() {
                merged.0.extend(page.entries.into_iter().map(|e| (e.key.to_string(), e.version.side(), e.version.to_string())));
                merged.1.extend(page.prefixes);
            }
            let (mut wanted, mut folders) = (Vec::new(), BTreeSet::new());
            for (side, store) in stores.iter().enumerate() {
                let mut pages = Pages::after(store, query.clone(), after.clone());
                while let Some(page) = pages.next().await.unwrap() {
                    wanted.extend(page.entries.into_iter().map(|e| (e.key.to_string(), side, e.version.to_string())));
                    folders.extend(page.prefixes);
                }
            }
            wanted.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
            prop_assert_eq!(merged.0, wanted);
            prop_assert_eq!(merged.1, folders.into_iter().collect::<Vec<_>>());
            Ok(())
        })?;
    }
}
