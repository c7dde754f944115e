//! Recovery stops where WAL may exist and cannot be had: only what is proven absent ends it.

use std::path::Path;

use super::archive::archiving;
use super::world::{PATIENCE, World, usual};

async fn world_with_wal(test: &str) -> Option<World> {
    let world = World::on(&usual(test)?, archiving).await;
    world.archive().await;
    world.sql("CREATE TABLE steps AS SELECT 1 AS n").await;
    world.good_backup().await;
    world.sql("INSERT INTO steps VALUES (2)").await;
    world.archived().await;
    Some(world)
}

/// The server ends by itself, unpromoted, and its signal file waits for the next start.
async fn stops(world: &World, data: &Path, name: &str) {
    if let Ok(mut server) = world.open_with(data, name, |_| {}).await {
        let ended = server.wait_ended(PATIENCE).await;
        assert!(ended.is_err() || !server.log().contains("selected new timeline"), "{}", server.log());
    }
    assert!(data.join("recovery.signal").exists(), "recovery must not have ended");
    assert!(!data.join("pg_wal/00000002.history").exists(), "nothing was promoted");
}

#[tokio::test]
async fn without_its_script_recovery_stops_and_goes_on_later() {
    let Some(world) = world_with_wal("without_its_script").await else { return };
    let data = world.path("r");
    world.restore_words(&data, &[]).await.good();
    let (script, aside) = (data.join("pg_wal/stonewal.recovery/fetch"), world.path("aside"));
    std::fs::rename(&script, &aside).unwrap();
    stops(&world, &data, "s1").await;
    std::fs::rename(&aside, &script).unwrap();
    let server = world.recover(&data, "s2").await;
    assert_eq!(super::world::value(&server, "SELECT count(*) FROM steps").await, "2");
}

#[tokio::test]
async fn local_wal_that_cannot_be_copied_stops_recovery() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(world) = world_with_wal("local_wal_that_cannot_be_copied").await else { return };
    let data = world.path("r");
    world.restore_words(&data, &["--wal", "local"]).await.good();
    let (wal, aside) = (data.join("pg_wal/stonewal.wal"), world.path("aside"));
    std::fs::rename(&wal, &aside).unwrap();
    stops(&world, &data, "s1").await;
    std::fs::rename(&aside, &wal).unwrap();

    let mode = |mode| {
        for entry in std::fs::read_dir(&wal).unwrap() {
            std::fs::set_permissions(entry.unwrap().path(), std::fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    mode(0o000);
    stops(&world, &data, "s2").await;
    mode(0o600);
    let server = world.recover(&data, "s3").await;
    assert_eq!(super::world::value(&server, "SELECT count(*) FROM steps").await, "2");
}

/// What the plan counts on and cannot be read is an error of the restore, not zeros in its WAL.
#[tokio::test]
async fn local_wal_that_is_damaged_in_the_store_ends_the_restore() {
    let Some(world) = world_with_wal("local_wal_that_is_damaged").await else { return };
    let bucket = world.path("store/buckets/backups");
    let mut damaged = 0;
    for entry in std::fs::read_dir(bucket.join("meta")).unwrap() {
        let meta = entry.unwrap().path();
        if !std::fs::read_to_string(&meta).unwrap().contains("/wal/") {
            continue;
        }
        let body = bucket.join("data").join(meta.file_stem().unwrap());
        let mut bytes = std::fs::read(&body).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&body, bytes).unwrap();
        damaged += 1;
    }
    assert!(damaged > 0);
    let data = world.path("r");
    let ended = world.restore_words(&data, &["--wal", "local"]).await;
    assert!(ended.code != 0 && ended.code != 3, "{ended:?}");
    assert!(!data.exists(), "nothing is published");
}
