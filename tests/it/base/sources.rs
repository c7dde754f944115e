//! Sources of other kinds: standbys, segments of other sizes, branches after failovers, buckets under attack.

use std::sync::Arc;

use bytes::Bytes;
use stonewal::postgres::server::{OpenOptions, Server, hand_over, make_standby};
use stonewal::store::roles::Role;
use stonewal::store::{Append as _, ListQuery, ObjectKey, Prune as _, Put, Read as _, S3};

use super::archive::archiving;
use super::world::{PATIENCE, World, finished, usual, value};

const STEPS: &str = "SELECT string_agg(n::text, ',' ORDER BY n) FROM steps";

/// A copy of the source's cluster as a streaming standby.
async fn standby(world: &World) -> Server {
    let copy = world.path("standby-data");
    world.good_backup().await;
    world.restore_words(&copy, &["--target-immediate", "--wal", "none"]).await.good();
    std::fs::remove_file(copy.join("recovery.signal")).unwrap();
    let conf = std::fs::read_to_string(copy.join("postgresql.auto.conf")).unwrap();
    // Without what the restore added: a standby follows its primary.
    let kept: Vec<&str> = conf.lines().take_while(|line| !line.contains("set up by stonewal")).collect();
    std::fs::write(copy.join("postgresql.auto.conf"), kept.join("\n") + "\n").unwrap();
    hand_over(&copy).unwrap();
    make_standby(&copy, &world.source, "mirror", None).unwrap();
    let mut options = OpenOptions::new(&copy, world.path("standby"));
    options.bin_dir = Some(world.installed.bin_dir.clone());
    let mut server = Server::open(&options).await.unwrap();
    server.wait_open(PATIENCE).await.unwrap();
    server
}

#[tokio::test]
async fn a_base_of_a_standby_restores_like_any_other() {
    let Some(world) = World::new("a_base_of_a_standby").await else { return };
    world.sql("CREATE TABLE steps AS SELECT generate_series(1, 3) AS n").await;
    let server = standby(&world).await;
    world.sql("INSERT INTO steps VALUES (4)").await;
    let lsn = world.value("SELECT pg_current_wal_lsn()").await;
    while value(&server, &format!("SELECT pg_last_wal_replay_lsn() >= '{lsn}'")).await != "true" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    world.sql("CHECKPOINT").await;
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", server.port());
    let mut command = world.command(Role::Writer, "backup base");
    finished(command.env("REPLICATION_DATABASE_URL", url).spawn().unwrap()).await.good();
    world.run_as(Role::Reader, "show").await.good().says(&["a standby"]);
    let data = world.path("restored");
    world.restore_words(&data, &[]).await.good();
    assert!(!data.join("standby.signal").exists(), "it does not become a standby");
    world.verify_files(&data);
    let restored = world.recover(&data, "second").await;
    assert_eq!(value(&restored, STEPS).await, "1,2,3,4");
}

/// PAINS B12.
#[tokio::test]
async fn segments_of_one_and_of_64_megabytes() {
    let Some(installed) = usual("segments_of_one_and_of_64") else { return };
    for mib in [1, 64] {
        let world = World::on(&installed, |options| {
            archiving(options);
            options.wal_segment_mib = Some(mib);
        })
        .await;
        world.archive().await;
        world.sql("CREATE TABLE steps AS SELECT 1 AS n").await;
        world.good_backup().await;
        world.sql("CREATE TABLE bulk AS SELECT repeat(md5(i::text), 30) AS text FROM generate_series(1, 3000) i").await;
        world.sql("INSERT INTO steps VALUES (2)").await;
        world.value("SELECT pg_create_restore_point('here')").await;
        world.sql("INSERT INTO steps VALUES (3)").await;
        world.archived().await;
        for (name, wal) in [("r1", "repository"), ("r2", "local")] {
            let data = world.path(name);
            world.restore_words(&data, &["--target-name", "here", "--wal", wal]).await.good();
            let server = world.recover(&data, &format!("s{name}")).await;
            assert_eq!(value(&server, STEPS).await, "1,2", "{mib} MiB, {wal}");
            assert_eq!(value(&server, "SELECT count(*) FROM bulk").await, "3000");
        }
    }
}

/// PAINS B2: recovered twice within one segment, so that three timelines share it; a point on each comes back.
#[tokio::test]
async fn b02_a_point_on_every_branch_comes_back() {
    let Some(installed) = usual("b02_a_point_on_every_branch") else { return };
    let mut world = World::on(&installed, archiving).await;
    world.archive().await;
    world.sql("CREATE TABLE steps AS SELECT 1 AS n").await;
    world.good_backup().await;
    // Each branch: a step of its own, then the server crashes and goes on, on the next timeline.
    for branch in 2..=3 {
        world.sql(&format!("INSERT INTO steps VALUES ({branch})")).await;
        promote_in_place(&mut world).await;
        let timeline = world.value("SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)").await;
        assert_eq!(timeline, format!("{branch:08X}"));
    }
    world.sql("INSERT INTO steps VALUES (4)").await;
    world.archived().await;

    for (timeline, expected) in [("1", "1,2"), ("2", "1,2,3"), ("3", "1,2,3,4"), ("latest", "1,2,3,4")] {
        let data = world.path(&format!("r{timeline}"));
        world.restore_words(&data, &["--target-timeline", timeline]).await.good();
        let server = world.recover(&data, &format!("s{timeline}")).await;
        assert_eq!(value(&server, STEPS).await, expected);
    }
}

/// Crashed, started as a standby of nobody, promoted: as failover tools do it.
async fn promote_in_place(world: &mut World) {
    world.source.kill().await.unwrap();
    let data = world.source.data_dir().to_owned();
    std::fs::write(data.join("standby.signal"), "").unwrap();
    hand_over(&data).unwrap();
    world.source.restart().await.unwrap();
    world.source.wait_open(PATIENCE).await.unwrap();
    world.source.promote().await.unwrap();
}

/// I4: whoever has every right but the bypass lays junk and markers over everything; the restore does not change.
#[tokio::test]
async fn i04_a_restore_of_an_overlaid_bucket_is_the_same() {
    let Some(installed) = usual("i04_a_restore_of_an_overlaid_bucket") else { return };
    let world = World::on(&installed, archiving).await;
    world.archive().await;
    world.sql("CREATE TABLE steps AS SELECT 1 AS n").await;
    world.good_backup().await;
    world.sql("INSERT INTO steps VALUES (2)").await;
    world.archived().await;

    let attacker = attacker(&world).await;
    let query = ListQuery { prefix: "prod/".into(), by_folder: false };
    let page = attacker.list_page(&query, None).await.unwrap();
    let keys: Vec<ObjectKey> = page.entries.iter().map(|entry| entry.key.clone()).collect();
    assert!(page.next.is_none() && keys.len() > 8);
    for key in &keys {
        let body = Bytes::from_static(b"stwlwal1 junk of somebody else");
        attacker.put(Put { key: key.clone(), body, lock: None }).await.unwrap();
        if key.as_str().len() % 2 == 0 {
            attacker.hide(key).await.unwrap();
        }
    }
    for entry in &page.entries {
        assert!(attacker.delete_version(&entry.key, &entry.version, false).await.is_err(), "{} is locked", entry.key);
    }
    let data = world.path("restored");
    world.restore_words(&data, &[]).await.ends(3).says(&["tampering"]);
    world.verify_files(&data);
    let server = world.recover(&data, "second").await;
    assert_eq!(value(&server, STEPS).await, "1,2");
}

async fn attacker(world: &World) -> Arc<S3> {
    use secrecy::ExposeSecret as _;
    let credentials = world.store.credentials(Role::Attacker).unwrap();
    let (endpoint, secret) = (world.store.endpoint(), credentials.secret_key.expose_secret().to_owned());
    Arc::new(
        S3::connect(crate::support::options(&endpoint, "backups", &credentials.access_key, &secret)).await.unwrap(),
    )
}
