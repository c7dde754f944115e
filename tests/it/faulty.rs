//! The faulty store does what its fault model says, over a real client and a scripted server.

use std::time::{Duration, Instant};

use stonewal::store::faulty::{Fault, Faulty, Rates};
use stonewal::store::{Append as _, Error, ObjectKey, Prune as _, Put, Read as _, S3, VersionId};

use crate::support::options;
use crate::support::scripted::{Reply, Scripted};

const OBJECT: [u8; 1_000] = [0x5a; 1_000];

async fn store() -> (Scripted, S3) {
    let server = Scripted::start(|_, request| match request.method.as_str() {
        "GET" => Reply::range_of(&OBJECT, request),
        "DELETE" => Reply::new(204),
        _ => Reply::stored("v1"),
    })
    .await;
    let store = S3::connect(options(server.endpoint(), "vault", "a", "b")).await.expect("client");
    (server, store)
}

fn put() -> Put {
    Put { key: ObjectKey::new("k"), body: "body".into(), lock: None }
}

#[tokio::test]
async fn errors_come_before_or_after_the_effect() {
    let (server, store) = store().await;
    let faulty = Faulty::scripted(store, [Fault::Before, Fault::After, Fault::After]);
    assert!(matches!(faulty.put(put()).await, Err(Error::Unreachable { .. })));
    assert_eq!(server.seen().len(), 0, "before: nothing happened");
    assert!(faulty.put(put()).await.is_err());
    assert_eq!(server.seen().len(), 1, "after: it happened");
    let (key, version) = (ObjectKey::new("k"), VersionId::new("v1"));
    assert!(faulty.delete_version(&key, &version, false).await.is_err_and(|error| !error.is_permanent()));
    assert_eq!(server.seen().len(), 2);
    assert_eq!(faulty.put(put()).await.expect("the script is over").version, version);
    let expected =
        [("put", Fault::Before), ("put", Fault::After), ("delete_version", Fault::After), ("put", Fault::None)];
    assert_eq!(faulty.log(), expected);
}

#[tokio::test]
async fn reads_are_shortened_or_altered_by_one_bit() {
    let (_server, store) = store().await;
    let faulty = Faulty::scripted(store, [Fault::Truncate, Fault::Corrupt, Fault::Delay(Duration::from_millis(300))]);
    let (key, version) = (ObjectKey::new("k"), VersionId::new("v1"));
    let short = faulty.get(&key, &version, 0..1_000).await.expect("truncated");
    assert!(short.len() < 1_000 && OBJECT.starts_with(&short));
    let altered = faulty.get(&key, &version, 0..1_000).await.expect("corrupt");
    let bits: u32 = altered.iter().zip(OBJECT).map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!((altered.len(), bits), (1_000, 1));
    let started = Instant::now();
    assert_eq!(faulty.get(&key, &version, 0..1_000).await.expect("late")[..], OBJECT);
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_seed_repeats_and_rates_are_kept() {
    let rates = Rates { before: 100, after: 50, truncate: 50, corrupt: 50, ..Rates::default() };
    let mut logs = Vec::new();
    for seed in [7, 7, 8] {
        let (_server, store) = store().await;
        let faulty = Faulty::seeded(store, seed, rates);
        for _ in 0..1_000 {
            // An empty range: no request, only the draw.
            drop(faulty.get(&ObjectKey::new("k"), &VersionId::new("v1"), 0..0).await);
        }
        logs.push(faulty.log());
    }
    assert_eq!(logs[0], logs[1]);
    assert_ne!(logs[0], logs[2]);
    let count = |wanted| logs[0].iter().filter(|(_, fault)| *fault == wanted).count();
    assert!((60..=150).contains(&count(Fault::Before)), "{}", count(Fault::Before));
    assert!((25..=85).contains(&count(Fault::After)), "{}", count(Fault::After));
    assert!(count(Fault::None) > 650 && count(Fault::Delay(Duration::ZERO)) == 0);
}
