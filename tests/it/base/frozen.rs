//! Backups in an archive tier: told by a plan, refused before the first byte.

use stonewal::store::roles::Role;

use super::world::World;

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
