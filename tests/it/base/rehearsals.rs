//! A restore that is only to be looked at must not become what `latest` means.

use stonewal::store::roles::Role;

use super::archive::archiving;
use super::world::{World, usual, value};

#[tokio::test]
async fn a_rehearsal_does_not_archive_beside_its_source() {
    let Some(world) = World::on_usual("a_rehearsal").await else { return };
    world.archive().await;
    world.good_backup().await;
    world.archived().await;
    let data = world.path("warned");
    world.restore_words(&data, &[]).await.ends(3).says(&["archive_mode is on", "--no-archive"]);
    let data = world.path("rehearsal");
    let restored = world.restore_words(&data, &["--no-archive"]).await.good();
    assert!(!restored.stderr.contains("archive_mode is on"), "{restored:?}");
    let own = |options: &mut stonewal::postgres::server::OpenOptions| {
        options.settings.retain(|(name, _)| name != "archive_mode");
    };
    let mut server = world.open_with(&data, "second", own).await.unwrap();
    server.wait_writable(super::world::PATIENCE).await.unwrap();
    assert_eq!(value(&server, "SELECT current_setting('archive_mode')").await, "off");
    value(&server, "SELECT pg_switch_wal()").await;
    let plan = world.restore("--plan --json").await.good().json();
    assert_eq!(plan["plan"]["timeline"], 1, "the source goes on being the latest");
}

/// A rehearsal that was let archive is what "latest" means from then on: everybody who plans is told, and how to get back.
#[tokio::test]
async fn a_rehearsal_that_archives_is_told_by_name_and_fork() {
    let Some(world) = World::on_usual("a_divergence").await else { return };
    world.archive().await;
    world.good_backup().await;
    world.archived().await;
    assert!(!world.restore("--plan").await.good().stderr.contains("parted"));
    let data = world.path("rehearsal");
    world.restore_words(&data, &[]).await.ends(3).says(&["archive_mode is on", "--no-archive"]);
    let own = |options: &mut stonewal::postgres::server::OpenOptions| {
        options.settings.retain(|(name, _)| name != "archive_mode");
    };
    let mut rehearsal = world.open_with(&data, "second", own).await.unwrap();
    rehearsal.wait_writable(super::world::PATIENCE).await.unwrap();
    let last = value(&rehearsal, "SELECT pg_walfile_name(pg_switch_wal())").await;
    for tries in 0.. {
        let archived = value(&rehearsal, &format!("SELECT last_archived_wal >= '{last}' FROM pg_stat_archiver")).await;
        if archived == "true" {
            break;
        }
        assert!(tries < 600, "{}", rehearsal.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(world.restore("--plan --json").await.good().json()["plan"]["timeline"], 2, "it is the latest now");
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    world.sql("CREATE TABLE goes_on (n int)").await;
    world.archived().await;

    let told =
        ["timelines 1 and 2 parted at 0/", "timeline 1 has the newer WAL", "--target-timeline 1", "--no-archive"];
    world.restore("--plan").await.ends(3).says(&told);
    world.run_as(Role::Auditor, "retention plan").await.ends(3).says(&told);
    world.run_as(Role::Auditor, "status --offline").await.says(&["diverging: timelines 1 and 2 parted"]).says(&told);
    let named = world.restore("--plan --target-timeline 1").await.good();
    assert!(!named.stderr.contains("parted"), "{named:?}");
}

impl World {
    async fn on_usual(test: &str) -> Option<Self> {
        Some(Self::on(&usual(test)?, archiving).await)
    }
}
