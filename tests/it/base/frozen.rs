//! Backups in an archive tier: told by a plan, refused before the first byte.

use bytes::Bytes;
use stonewal::store::roles::Role;
use stonewal::store::{Append as _, ObjectKey, Put};

use super::archive::archiving;
use super::world::{World, usual};

/// PAINS B14.
#[tokio::test]
async fn b14_a_backup_in_an_archive_tier_is_told_by_the_plan_and_refused() {
    let Some(world) = World::new("b14_frozen").await else { return };
    world.good_backup().await;
    world.run_as(Role::Writer, &format!("backup dump --from {}", world.url())).await.good();
    let plain = world.restore("--plan --json").await.good().json();
    assert_eq!(plain["plan"]["classes"], serde_json::json!({}));
    world.store.freeze(Some("/base/0-"));
    let told = world.restore("--plan").await.ends(3);
    told.says(&["1 chunk in GLACIER", "archive tiers (1 in GLACIER)", "S3 RestoreObject"]);
    let data = world.path("thawed");
    let refused = world.restore(&format!("--dir {}", data.display())).await.ends(1);
    refused.says(&["/base/0-", "lies in an archive tier", "InvalidObjectState", "hint: request it from the archive"]);
    assert!(!data.exists(), "nothing was begun");
    // What was thawed is read, whatever the listing says.
    world.store.freeze(None);
    world.restore(&format!("--dir {}", data.display())).await.good();

    world.store.freeze(Some("/dump/0-"));
    let dump = world.run_as(Role::Reader, "restore dump --to-file dump.sql").await.ends(1);
    dump.says(&["/dump/0-", "lies in an archive tier", "hint: request it from the archive"]);
    assert!(!world.path("dump.sql").exists());
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
    refused.says(&[&middle, "lies in an archive tier", "hint: request it from the archive"]);
    assert!(!data.exists(), "nothing was begun");
    // The base alone needs none of it.
    world.restore(&format!("--dir {} --target-immediate", world.path("alone").display())).await.good();

    // All of it: nothing tells how far it reaches.
    world.store.freeze(Some("/wal/00000001/0"));
    let all = pieces.len();
    let told = world.restore(&format!("--plan --target-time {at}")).await.ends(1);
    told.says(&[
        &format!("but of the cluster's WAL, {all} in GLACIER cannot be read"),
        "hint: request it from the archive",
    ]);

    // Planted in an archive tier, under an alternate name of a piece that lies ready.
    let beside = ObjectKey::new(format!("{middle}-0707070707070707"));
    let junk = Put { key: beside, body: Bytes::from_static(b"junk"), lock: None };
    world.s3(Role::Attacker).await.put(junk).await.unwrap();
    world.store.freeze(Some("-0707070707070707"));
    let told = world.restore("--plan --json").await.good().json();
    assert_eq!(told["plan"]["wal_classes"], serde_json::json!({}), "{told}");
    world.restore(&format!("--dir {}", data.display())).await.good();
}
