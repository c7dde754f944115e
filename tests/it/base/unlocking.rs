//! `verify --locks`, holds to a moment and the reason of a status, over the command line, with WAL.

use std::time::Duration;

use serde_json::Value;
use stonewal::store::roles::Role;
use stonewal::store::{Read as _, Retain as _};

use super::archive::archiving;
use super::world::{World, usual};

const DAY: Duration = Duration::from_hours(24);

impl World {
    async fn unlocking(&self, code: i32) -> Value {
        self.run_as(Role::Auditor, "verify --locks --json").await.ends(code).json()["clusters"][0].clone()
    }
}

/// PAINS A16: WAL that a base is rolled forward through counts among what it needs; running `retention extend` mends.
#[tokio::test]
async fn a16_wal_behind_a_base_that_is_unlocked_too_soon_is_found() {
    let Some(installed) = usual("a16_wal") else { return };
    let world = World::on(&installed, archiving).await;
    world.archive().await;
    let base = world.good_backup().await;
    world.sql("CREATE TABLE steps (n int)").await;
    world.archived().await;
    // Locked for as long as the window, when it began: an hour on, that is an hour short of what the plan asks.
    world.store.advance_clock(Duration::from_hours(1));
    let told = world.unlocking(0).await;
    assert_eq!(
        (&told["backups"][0]["backup"], &told["backups"][0]["standing"]),
        (&base.into(), &"due".into()),
        "{told:#}"
    );
    world
        .run_as(Role::Auditor, "verify --locks")
        .await
        .ends(0)
        .says(&["1 of 1 backup locked long enough", "due: the next"]);

    // 28 days on, seven are left of 35: within the margin.
    world.store.advance_clock(28 * DAY);
    let told = world.unlocking(3).await;
    assert_eq!(told["backups"][0]["standing"], "short", "{told:#}");
    world.run_as(Role::Auditor, "verify --locks").await.ends(3).says(&["SHORT", "`stonewal retention extend`"]);
    world.run_as(Role::Auditor, "status --offline").await.says(&["lock-ends"]);
    world.run_as(Role::Admin, "retention extend").await.good();
    assert_eq!(world.unlocking(0).await["backups"][0]["standing"], "good");

    // WAL that was stored since has a lock of its own; the base is long locked.
    world.sql("INSERT INTO steps VALUES (1)").await;
    world.archived().await;
    world.store.advance_clock(DAY);
    let told = world.unlocking(0).await;
    let first = &told["backups"][0]["first"];
    assert_eq!((&first["part"], &told["backups"][0]["standing"]), (&"wal".into(), &"due".into()), "{told:#}");
    // The status asks the WAL at both ends of the way.
    let (key, at) = (first["key"].as_str().unwrap(), told["at"].as_str().unwrap());
    let soon = at.parse::<jiff::Timestamp>().unwrap() + jiff::SignedDuration::from_hours(48);
    crate::support::shorten(&world.store, "backups", key, soon).await;
    world.run_as(Role::Auditor, "status --offline").await.says(&["lock-ends", key]);

    // Bad input: nothing to verify, and flags that do not go together.
    world.run_as(Role::Auditor, "verify --locks --immutability none").await.ends(2);
    world.run_as(Role::Auditor, "verify --locks --level list").await.ends(2).says(&["cannot be used with"]);
    world.run_as(Role::Auditor, "verify --locks --cluster nobody").await.ends(3).says(&["there was no backup"]);
}

/// PAINS A16: a key that is unlocked before the base that needs it makes the status yellow, with a name for alerts.
#[tokio::test]
async fn a16_a_key_that_is_unlocked_before_its_base_is_yellow() {
    let Some(world) = World::new("a16_status").await else { return };
    world.good_backup().await;
    let reasons = async || {
        let told = world.run_as(Role::Reader, "status --offline --json").await.json();
        let names: Vec<String> =
            told["reasons"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap().to_owned()).collect();
        let at: jiff::Timestamp = told["at"].as_str().unwrap().parse().unwrap();
        (names, told["bucket"]["locks"].clone(), at)
    };
    let (names, locks, at) = reasons().await;
    assert!(names.is_empty() && locks["short"].is_null(), "{names:?} {locks:#}");
    assert!(locks["asked"].as_u64().is_some_and(|asked| (4..10).contains(&asked)), "{locks:#}");
    let key = world.versions("/keys/").await.remove(0).key;
    let until = at + jiff::SignedDuration::from_hours(20 * 24);
    crate::support::shorten(&world.store, "backups", key.as_str(), until).await;
    let (names, locks, _) = reasons().await;
    assert_eq!(names, ["lock-short"], "{locks:#}");
    assert_eq!(locks["short"]["key"], key.as_str(), "{locks:#}");
    world.run_as(Role::Admin, "retention extend").await.good();
    assert_eq!(reasons().await.0, [""; 0]);
}

/// PAINS A16, F2: WAL carries its keys; wraps of them that were added for a later recipient lie elsewhere, named by no manifest, and
/// are locked and held all the same.
#[tokio::test]
async fn i11_wraps_of_wal_that_were_added_later_are_locked_and_held() {
    let Some(installed) = usual("i11_added_wraps") else { return };
    let world = World::on(&installed, archiving).await;
    world.archive().await;
    let base = world.good_backup().await;
    world.archived().await;
    let first = world.versions("/keys/").await.len();
    world.run_as(Role::Admin, "keys add --recovery-file second --past").await.good();
    let wraps = world.versions("/keys/").await;
    // Two of the base, and at least one key of WAL.
    assert!(wraps.len() > 2 * first, "{first} {}", wraps.len());
    world.store.advance_clock(DAY);
    world.run_as(Role::Admin, "retention extend").await.good();
    let admin = world.s3(Role::Admin).await;
    for wrap in &wraps {
        let until = admin.lock_of(&wrap.key, &wrap.version).await.unwrap().unwrap().retain_until;
        let needed = admin.clock().now() + jiff::SignedDuration::from_hours(41 * 24);
        assert!(until > needed, "{} only until {until}", wrap.key);
    }
    for (line, held) in [("hold add", true), ("hold remove", false)] {
        world.run_as(Role::Admin, &format!("{line} {base}")).await.good();
        for wrap in &wraps {
            assert_eq!(world.is_held(wrap).await, held, "{line}: {}", wrap.key);
        }
    }
}

/// PAINS F2: the WAL to a moment, and no further.
#[tokio::test]
async fn f02_a_hold_takes_the_wal_to_a_moment() {
    let Some(installed) = usual("f02_moment") else { return };
    let world = World::on(&installed, archiving).await;
    world.archive().await;
    world.sql("CREATE TABLE steps (n int)").await;
    let base = world.good_backup().await;
    let mut moments = Vec::new();
    for _ in 0..3 {
        world.sql("INSERT INTO steps VALUES (1)").await;
        moments.push(
            world
                .value("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
                .await,
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
        world.archived().await;
    }
    let hold = |wal_until: &str| format!("hold add {base} --wal-until {wal_until}");
    world.run_as(Role::Admin, &hold("noon")).await.ends(2).says(&["is none of next-base, latest, none, and no moment"]);
    let late = world.run_as(Role::Admin, &hold("2100-01-01T00:00:00Z")).await.ends(1);
    late.says(&["no transaction after 2100-01-01T00:00:00Z is stored"]);
    world.run_as(Role::Admin, &hold("2020-01-01T00:00:00Z")).await.ends(1).says(&["recovery is possible from"]);
    world.run_as(Role::Admin, &hold(&moments[1])).await.good();
    let mut held = Vec::new();
    for entry in world.versions("/wal/").await {
        if entry.key.as_str().contains(".history") || entry.key.as_str().contains(".backup") {
            continue;
        }
        held.push(world.is_held(&entry).await);
    }
    // WAL lies in the order of its positions: a beginning of it is held, and not all.
    let count = held.iter().filter(|held| **held).count();
    assert!((2..held.len()).contains(&count), "{held:?}");
    let end = held.iter().rposition(|held| *held).unwrap();
    assert!(held[..=end].iter().rev().take(count).all(|held| *held), "{held:?}");
    // Of two bases that are held, the one that stays keeps the WAL that it needs.
    let second = world.good_backup().await;
    world.archived().await;
    for line in [format!("add {base}"), format!("add {second}"), format!("remove {base}")] {
        let flags = if line.starts_with("add") { "--wal-until latest" } else { "" };
        world.run_as(Role::Admin, &format!("hold {line} {flags}")).await.good();
    }
    let wal = world.versions("/wal/00000001/").await;
    let last = wal.iter().rfind(|entry| !entry.key.as_str().contains('.')).unwrap();
    assert!(world.is_held(last).await && !world.is_held(&wal[0]).await, "{wal:?}");
    world.run_as(Role::Admin, &format!("hold remove {second}")).await.good();
    for entry in world.versions("/wal/").await {
        assert!(!world.is_held(&entry).await, "{}", entry.key);
    }
}
