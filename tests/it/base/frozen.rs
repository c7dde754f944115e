//! Backups in an archive tier: told by a plan, refused before the first byte, thawed where that is asked for.

use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use stonewal::store::roles::Role;
use stonewal::store::{Append as _, Archive, ObjectKey, Put};

use super::archive::archiving;
use super::world::{PATIENCE, World, finished, usual};

const HINT: &str = "hint: `stonewal restore … --thaw` requests";

impl World {
    /// Waits until the store was asked whether a thaw is over: what waits for one has begun to.
    async fn waiting(&self) {
        let looks = || {
            let log = std::fs::read_to_string(self.path("requests.jsonl")).unwrap();
            let after = log.rsplit_once("RestoreObject").map(|(_, after)| after.contains("HeadObject"));
            after.unwrap_or(false)
        };
        let patience = async {
            while !looks() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, patience).await.unwrap();
    }
}

/// PAINS B14.
#[tokio::test]
async fn b14_a_backup_in_an_archive_tier_is_told_by_the_plan_and_refused() {
    let Some(world) = World::new("b14_frozen").await else { return };
    world.good_backup().await;
    let plain = world.restore("--plan --json").await.good().json();
    assert_eq!(plain["plan"]["classes"], serde_json::json!({}));
    world.store.freeze(Some("/base/0-"));
    world.store.thaw_after(Duration::from_hours(4));
    let told = world.restore("--plan").await.ends(3);
    told.says(&[
        "1 chunk in GLACIER",
        "archive tiers (1 in GLACIER)",
        "S3 RestoreObject",
        "standard 3 to 5 hours, bulk",
    ]);
    let data = world.path("thawed");
    let restore = format!("--dir {}", data.display());
    let refused = world.restore(&restore).await.ends(1);
    refused.says(&["/base/0-", "lies in an archive tier", "InvalidObjectState", HINT]);

    // What would be refused after the wait is refused before it, and nothing is asked for.
    let taken = world.path("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("notes"), "mine").unwrap();
    world.restore(&format!("--dir {} --thaw", taken.display())).await.ends(1).says(&["it is not empty"]);
    let plan = world.restore("--plan --json").await.ends(3).json();
    assert_eq!(plan["plan"]["frozen"][0]["requested"], 0, "{plan}");

    // Requested, waited for, interrupted, and found again.
    let waits = world.start(Role::Reader, &format!("restore base {restore} --thaw --thaw-days 2"));
    world.waiting().await;
    let pid = Pid::from_raw(i32::try_from(waits.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let interrupted = finished(waits).await.ends(130);
    interrupted.says(&["1 of 1 objects still lie in archive tiers", "hint: run the same command again"]);
    assert!(!data.exists(), "nothing was begun");
    let plan = world.restore("--plan --thaw --json").await.ends(3).json();
    assert_eq!(plan["plan"]["frozen"][0]["requested"], 1, "{plan}");
    assert_eq!(plan["plan"]["frozen"][0]["takes"]["bulk"], "5 to 12 hours", "{plan}");
    world.store.advance_clock(Duration::from_hours(5));
    // What was thawed is read, whatever the listing says.
    world.restore(&format!("{restore} --thaw")).await.good();
    let plan = world.restore("--plan --json").await.good().json();
    assert_eq!(plan["plan"]["classes"]["GLACIER"], 1, "{plan}");
    assert_eq!(plan["plan"]["frozen"], serde_json::json!([]), "{plan}");
    world.store.advance_clock(Duration::from_hours(3 * 24));
    world.restore("--plan").await.ends(3).says(&["archive tiers (1 in GLACIER)"]);
    world.run_as(Role::Auditor, "restore base --plan --thaw").await.ends(1).says(&["allow s3:RestoreObject"]);
}

/// PAINS B14: of a dump as of a base; and tiers within a class, of which listings say nothing.
#[tokio::test]
async fn b14_a_dump_in_an_archive_tier_is_told_refused_and_thawed() {
    let Some(world) = World::new("b14_frozen_dump").await else { return };
    world.run_as(Role::Writer, &format!("backup dump --from {}", world.url())).await.good();
    let dump = async |line: &str| world.run_as(Role::Reader, &format!("restore dump {line}")).await;
    dump("--plan").await.ends(0).says(&["plan of a restore of dump"]);
    world.store.freeze_in(Some("/dump/0-"), Archive::DeepArchiveAccess);
    dump("--plan").await.ends(3).says(&[
        "1 chunk in INTELLIGENT_TIERING",
        "1 chunk in DEEP_ARCHIVE_ACCESS",
        "bulk up to 48 hours",
    ]);
    dump("--to-file dump.sql").await.ends(1).says(&["/dump/0-", "lies in an archive tier", HINT]);
    assert!(!world.path("dump.sql").exists());
    dump("--to-file dump.sql --thaw --thaw-tier expedited").await.ends(2).says(&["expedited retrieval is not offered"]);
    std::fs::write(world.path("taken.sql"), "mine").unwrap();
    dump("--to-file taken.sql --thaw").await.ends(1).says(&["it exists already"]);
    dump("--plan").await.ends(3).says(&["1 chunk in DEEP_ARCHIVE_ACCESS"]);
    // Another stream of the same backup.
    dump("--to-file roles.sql --globals-only").await.good();

    // It takes longer than the first look.
    world.store.thaw_after(Duration::from_secs(2));
    dump("--to-file dump.sql --thaw --thaw-tier bulk").await.good();
    assert!(world.path("dump.sql").exists());
    dump("--plan").await.ends(0);
}

/// PAINS B14: the WAL behind a base counts as its chunks do, and what was planted frozen beside what lies ready stops nobody.
#[tokio::test]
async fn b14_wal_in_an_archive_tier_is_told_by_the_plan_and_refused() {
    let Some(installed) = usual("b14_frozen_wal") else { return };
    let world = World::on(&installed, archiving).await;
    world.archive().await;
    world.good_backup().await;
    world.sql("CREATE TABLE steps (n int)").await;
    let clock = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let at = world.value(clock).await;
    for _ in 0..4 {
        world.sql("INSERT INTO steps VALUES (1)").await;
        world.archived().await;
    }
    let ready = world.restore("--plan --json").await.good().json();
    assert_eq!(ready["plan"]["wal_classes"], serde_json::json!({}));

    // One in the middle, behind the base.
    let mut pieces = world.versions("/wal/00000001/0").await;
    pieces.retain(|piece| !piece.key.as_str().contains('.'));
    let middle = pieces[pieces.len() - 2].key.to_string();
    world.store.freeze(Some(&middle));
    // What was planted beside it lies ready, says that it holds as much or more, and is not ours.
    let (folder, span) = middle.rsplit_once('/').unwrap();
    for name in [format!("{}-FFFFFFFFFFFFFFFF", &span[..16]), span.to_owned()] {
        let key = ObjectKey::new(format!("{folder}/partial/{name}-0808080808080808"));
        let junk = Put { key, body: Bytes::from_static(b"junk"), lock: None };
        world.s3(Role::Attacker).await.put(junk).await.unwrap();
    }
    world.restore("--plan").await.ends(3).says(&[
        "1 WAL object in GLACIER",
        "WAL that recovery replays lies in archive tiers (1 in GLACIER)",
        "S3 RestoreObject",
    ]);
    let data = world.path("thawed");
    let refused = world.restore(&format!("--dir {}", data.display())).await.ends(1);
    refused.says(&[&middle, "lies in an archive tier", HINT]);
    assert!(!data.exists(), "nothing was begun");
    world.restore(&format!("--dir {} --wal local --thaw", world.path("local").display())).await.good();
    // The base alone needs none of it.
    world.restore(&format!("--dir {} --target-immediate", world.path("alone").display())).await.good();

    // All of it: nothing tells how far it reaches.
    world.store.freeze(Some("/wal/00000001/0"));
    let all = pieces.len();
    let told = world.restore(&format!("--plan --target-time {at}")).await.ends(1);
    told.says(&[
        &format!("but of the cluster's WAL, {all} in GLACIER cannot be read"),
        "hint: `stonewal restore base … --thaw` requests",
    ]);
    world.store.thaw_after(Duration::from_hours(4));
    let told = world.restore(&format!("--plan --thaw --target-time {at}")).await.ends(1);
    told.says(&["it was requested", "hint: plan again when it is readable"]);
    world.store.advance_clock(Duration::from_hours(5));
    let moment = world.path("moment");
    world.restore(&format!("--dir {} --thaw --target-time {at}", moment.display())).await.good();

    // Planted in an archive tier, under an alternate name of a piece that lies ready.
    let beside = ObjectKey::new(format!("{middle}-0707070707070707"));
    let junk = Put { key: beside, body: Bytes::from_static(b"junk"), lock: None };
    world.s3(Role::Attacker).await.put(junk).await.unwrap();
    world.store.freeze(Some("-0707070707070707"));
    let told = world.restore("--plan --json").await.good().json();
    assert_eq!(told["plan"]["wal_classes"], serde_json::json!({}), "{told}");
    world.restore(&format!("--dir {}", data.display())).await.good();
}
