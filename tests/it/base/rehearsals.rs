//! A restore that is only to be looked at must not become what `latest` means.

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

impl World {
    async fn on_usual(test: &str) -> Option<Self> {
        Some(Self::on(&usual(test)?, archiving).await)
    }
}
