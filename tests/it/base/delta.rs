//! Restoring over what is there.

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

use stonewal::postgres::server::Stop;

use super::world::{World, names, value};

const SUM: &str = "SELECT count(*) || ' ' || sum(length(body)) FROM ledger";

#[tokio::test]
async fn delta_keeps_what_fits_and_mends_the_rest() {
    let Some(world) = World::new("delta").await else { return };
    world
        .sql("CREATE TABLE ledger AS SELECT i, repeat(md5(i::text), 20) AS body FROM generate_series(1, 20000) i")
        .await;
    world.good_backup().await;
    let expected = world.value(SUM).await;
    let data = world.path("restored");
    world.restore(&format!("--dir {}", data.display())).await.good();

    // Run, write, stop: then touch, change, cut, delete and add files.
    let mut server = world.recover(&data, "second").await;
    server
        .execute("postgres", "DELETE FROM ledger WHERE i % 2 = 0; CREATE TABLE extra AS SELECT 1 AS n")
        .await
        .unwrap();
    let path = value(&server, "SELECT pg_relation_filepath('ledger')").await;
    let running = world.restore(&format!("--dir {} --delta", data.display())).await.ends(1);
    running.says(&["a PostgreSQL server runs on it"]);
    server.shut_down(Stop::Fast).await.unwrap();
    drop(server);
    let ledger = std::fs::OpenOptions::new().write(true).open(data.join(&path)).unwrap();
    ledger.write_all_at(b"garbage", 12345).unwrap();
    std::fs::File::create(data.join("base/stray")).unwrap().write_all(b"x").unwrap();
    std::fs::remove_file(data.join("base/1/PG_VERSION")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", data.join("base/1/link")).unwrap();
    // The lock file of a server in another container, or of one that crashed: which of them it is cannot be told.
    std::fs::write(data.join("postmaster.pid"), format!("{}\n{}\n", i32::MAX, data.display())).unwrap();
    let unseen = world.restore(&format!("--dir {} --delta", data.display())).await.ends(1);
    unseen.says(&["names a process that cannot be seen from here", "remove postmaster.pid"]);
    assert!(data.join("global/pg_control").exists() && data.join("base/stray").exists(), "nothing was touched");
    std::fs::remove_file(data.join("postmaster.pid")).unwrap();
    let before = world.requests();

    let done = world.restore(&format!("--dir {} --delta --json", data.display())).await.good().json();
    let restored = &done["restored"];
    let number = |name: &str| restored[name].as_u64().unwrap();
    assert!(number("files_kept") > 500 && number("bytes_kept") > 10 << 20, "{restored}");
    assert!(number("files") > 0 && number("removed") > 0, "{restored}");
    assert!(number("bytes") < number("bytes_kept") + number("bytes"), "{restored}");
    assert!(world.requests() > before);
    assert!(!data.join("base/stray").exists() && !data.join("base/1/link").is_symlink());
    world.verify_files(&data);
    let server = world.recover(&data, "third").await;
    assert_eq!(value(&server, SUM).await, expected);
    assert_eq!(value(&server, "SELECT to_regclass('extra') IS NULL").await, "true");
}

/// Nothing is removed from a directory that is not verifiably this cluster.
#[tokio::test]
async fn delta_touches_no_other_cluster() {
    let Some(world) = World::new("delta_touches").await else { return };
    world.good_backup().await;
    let other = World::new("delta_touches").await.unwrap();
    let mut server = other.source;
    server.shut_down(Stop::Fast).await.unwrap();
    let flags = format!("--dir {} --delta", server.data_dir().display());
    world.restore(&flags).await.ends(1).says(&["it holds the cluster with system identifier"]);
    assert!(server.data_dir().join("global/pg_control").exists());
    let plain = world.path("plain");
    std::fs::create_dir(&plain).unwrap();
    std::fs::write(plain.join("thesis"), "mine").unwrap();
    let ended = world.restore(&format!("--dir {} --delta", plain.display())).await.ends(1);
    ended.says(&["it is not a PostgreSQL data directory, so nothing in it may be removed"]);
    assert_eq!(std::fs::read_to_string(plain.join("thesis")).unwrap(), "mine");
}

/// An empty directory that somebody made is replaced by one like it, whether the restore succeeds or not.
#[tokio::test]
async fn b11_an_empty_target_keeps_its_owner_and_mode() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
    let Some(world) = World::new("b11_an_empty_target").await else { return };
    world.good_backup().await;
    let owner = std::fs::metadata(world.source.data_dir()).unwrap();
    // Only root can give a directory to another group for a test.
    let group = if rustix::process::geteuid().is_root() { owner.gid() + 1 } else { owner.gid() };
    let data = world.path("made");
    std::fs::create_dir(&data).unwrap();
    let set = |mode: u32| {
        chown(&data, Some(owner.uid()), Some(group)).unwrap();
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let found = || {
        let metadata = std::fs::metadata(&data).unwrap();
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
    };
    set(0o750);
    bend_chunks(&world);
    let ended = world.restore(&format!("--dir {}", data.display())).await;
    assert!(ended.code != 0 && ended.code != 3 && names(&data).is_empty(), "{ended:?}");
    assert_eq!(found(), (owner.uid(), group, 0o750), "after a failure");
    bend_chunks(&world);
    world.restore(&format!("--dir {}", data.display())).await.good();
    assert_eq!(found(), (owner.uid(), group, 0o750));
    world.recover(&data, "second").await;

    let data = world.path("open");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    world.restore(&format!("--dir {}", data.display())).await.good();
    assert_eq!(std::fs::metadata(&data).unwrap().mode() & 0o7777, 0o700, "PostgreSQL refuses 0755");
}

/// Changes a byte in everything large that is stored, or changes it back.
pub(super) fn bend_chunks(world: &World) {
    let mut bent = 0;
    for entry in std::fs::read_dir(world.path("store/buckets/backups/data")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if bytes.len() > 1 << 20 {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            bent += 1;
        }
    }
    assert!(bent > 0);
}
