//! Junk that lies in wait at the name of the WAL that comes next, hidden by a delete marker: the genuine piece becomes a later
//! version of it. It is locked, held and copied like any other (invariants I4, I11; PAINS A16, F2, F3).

use std::time::Duration;

use bytes::Bytes;
use jiff::SignedDuration;
use stonewal::store::roles::Role;
use stonewal::store::{Append as _, Archive, Entry, ObjectKey, Put, Read as _};

use super::archive::archiving;
use super::copies::replica;
use super::replicas::Pair;
use super::world::{World, usual, value};
use crate::support::proxy::Weather;

const DAY: Duration = Duration::from_hours(24);

impl World {
    /// Lays so much junk under a name, and a marker over it.
    async fn lie_in_wait(&self, key: &str, count: usize) {
        let attacker = self.s3(Role::Attacker).await;
        for _ in 0..count {
            let put = Put { key: ObjectKey::new(key), body: Bytes::from_static(b"planted"), lock: None };
            attacker.put(put).await.unwrap();
        }
        crate::support::hide(&self.store, "backups", key).await;
    }

    /// The genuine version of a name, and what was planted there.
    async fn sorted(&self, key: &str) -> (Entry, Vec<Entry>) {
        let all = self.versions(key).await.into_iter().filter(|entry| !entry.delete_marker);
        let (mut genuine, planted): (Vec<_>, Vec<_>) = all.partition(|entry| entry.bytes > 100);
        assert_eq!(genuine.len(), 1, "{key}");
        (genuine.remove(0), planted)
    }
}

/// Archives segments of 1 MiB.
async fn small_segments(test: &str) -> Option<World> {
    let smaller = |options: &mut stonewal::postgres::server::ServerOptions| {
        archiving(options);
        options.wal_segment_mib = Some(1);
    };
    let world = World::on(&usual(test)?, smaller).await;
    world.archive().await;
    Some(world)
}

#[tokio::test]
async fn i11_wal_behind_a_planted_name_is_locked_held_and_copied() {
    let Some(world) = small_segments("i11_planted_wal").await else { return };
    world.sql("CREATE TABLE steps (n int)").await;
    let base = world.good_backup().await;
    // The segment that is written now, and the next one; more junk there than a listing holds.
    let file = world.value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())").await;
    let number = u64::from_str_radix(&file[16..], 16).unwrap();
    let key = |n: u64| format!("prod/main/wal/00000001/{:016X}-{:016X}", n << 20, (n + 1) << 20);
    let keys = [key(number), key(number + 1)];
    for (key, count) in keys.iter().zip([1, 9]) {
        assert!(world.versions(key).await.is_empty(), "{key} is not of the future");
        world.lie_in_wait(key, count).await;
    }
    for n in 1..=3 {
        world.sql(&format!("INSERT INTO steps VALUES ({n})")).await;
        world.archived().await;
    }
    for (key, count) in keys.iter().zip([1, 9]) {
        assert_eq!(world.sorted(key).await.1.len(), count, "{key}");
    }

    // A lock that is too short is noticed.
    let soon = world.s3(Role::Admin).await.clock().now() + SignedDuration::from_secs(20);
    crate::support::shorten(&world.store, "backups", &keys[1], soon).await;
    world.expire(Role::Reader, "verify --locks").await.ends(3).says(&["SHORT", &keys[1]]);
    world.store.advance_clock(34 * DAY);
    world.expire(Role::Retainer, "retention extend").await.good();
    // What is planted beside the genuine one, and locked by nobody, is no alarm.
    let beside = ObjectKey::new(format!("{}-0707070707070707", keys[0]));
    let junk = Put { key: beside, body: Bytes::from_static(b"planted"), lock: None };
    world.s3(Role::Attacker).await.put(junk).await.unwrap();
    world.expire(Role::Reader, "verify --locks").await.good().says(&["1 of 1 backup locked long enough"]);
    let admin = world.s3(Role::Admin).await;
    admin.bucket_state().await.unwrap();
    let soon = admin.clock().now() + SignedDuration::from_hours(24 * 2);
    let locked_until =
        async |entry: &Entry| admin.head(&entry.key, &entry.version).await.unwrap().lock.map(|lock| lock.retain_until);
    for key in &keys {
        let (genuine, planted) = world.sorted(key).await;
        let until = locked_until(&genuine).await;
        assert!(until.is_some_and(|until| until > soon), "{key} is locked until {until:?}, {soon} is soon");
        for junk in planted {
            assert_eq!(locked_until(&junk).await, None, "junk is nobody's business");
        }
    }

    for (line, held) in [("add", true), ("remove", false)] {
        let flags = if held { "--wal-until latest" } else { "" };
        world.expire(Role::Retainer, &format!("hold {line} {base} {flags}")).await.good();
        for key in &keys {
            let (genuine, planted) = world.sorted(key).await;
            assert_eq!(world.is_held(&genuine).await, held, "{key}");
            assert!(!world.is_held(&planted[0]).await, "{key}");
        }
    }

    // Without any key: whatever may be the genuine one is copied.
    let pair = Pair::around(world).await;
    pair.configure(Role::Writer, &pair.far.endpoint());
    replica(&pair, "copy far").await.good();
    assert_eq!(replica(&pair, "verify far --deep").await.good().json()["missing"], 0);
    pair.proxy.set(Weather::Refuse);
    let data = pair.world.path("restored");
    pair.run_far(&format!("restore base --from-replica far --dir {}", data.display())).await.good();
    let server = pair.world.recover(&data, "log").await;
    assert_eq!(value(&server, "SELECT string_agg(n::text, ',' ORDER BY n) FROM steps").await, "1,2,3");
}

/// PAINS A16, B14: listings say nothing of tiers within a class. Ours lies in one; what was stored over it later is the same bytes, and is
/// not taken for it. Junk that was put straight into an archive tier before ours is told, and is no short lock.
#[tokio::test]
async fn i11_what_lies_frozen_beside_what_can_be_read_is_told_and_locked() {
    let Some(world) = small_segments("i11_planted_frozen").await else { return };
    world.sql("CREATE TABLE steps (n int)").await;
    world.good_backup().await;
    let file = world.value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())").await;
    let number = u64::from_str_radix(&file[16..], 16).unwrap();
    let key = format!("prod/main/wal/00000001/{:016X}-{:016X}", number << 20, (number + 1) << 20);
    world.lie_in_wait(&key, 1).await;
    world.sql("INSERT INTO steps VALUES (1)").await;
    world.archived().await;
    let (genuine, planted) = world.sorted(&key).await;

    world.store.freeze_version(&key, planted[0].version.as_str(), Archive::Glacier);
    let told = world.expire(Role::Reader, "verify --locks").await.ends(3);
    assert!(!told.stdout.contains("SHORT"), "{told:?}");
    told.says(&["tampering: ", "lies in an archive tier (GLACIER) before the version that seems genuine"]);

    let admin = world.s3(Role::Admin).await;
    let bytes = admin.get(&genuine.key, &genuine.version, 0..genuine.bytes).await.unwrap();
    let replay = Put { key: genuine.key.clone(), body: bytes, lock: None };
    world.s3(Role::Attacker).await.put(replay).await.unwrap();
    world.store.freeze_version(&key, genuine.version.as_str(), Archive::ArchiveAccess);
    let until = async || admin.head(&genuine.key, &genuine.version).await.unwrap().lock.unwrap().retain_until;
    let before = until().await;
    world.store.advance_clock(34 * DAY);
    world.expire(Role::Retainer, "retention extend").await.good();
    // What refuses a HEAD does not say that it is for the clock.
    admin.bucket_state().await.unwrap();
    assert!(until().await > before, "ours is locked for longer, frozen as it is");
}
