//! What becomes of the originals of WAL that was copied under other keys.

use std::time::Duration;

use stonewal::store::roles::Role;
use stonewal::store::{Entry, Read as _, Retain as _};

use super::archive::archiving;
use super::world::{World, finished, usual, value};

const NEXT: &str = "SENTINEL-passphrase number two";

/// PAINS B5, A16, A17: locks follow the copies, holds keep originals, the others go when their locks have ended, and recovery
/// finds what it needs.
#[tokio::test]
async fn a17_originals_of_copied_wal_go_when_their_locks_have_ended() {
    let Some(installed) = usual("a17_originals_of_copied_wal") else { return };
    let world = World::on(&installed, archiving).await;
    world.archive().await;
    world.sql("CREATE TABLE steps (n int)").await;
    let base = world.good_backup().await;
    world.sql("INSERT INTO steps VALUES (1)").await;
    world.archived().await;
    let originals = copied_beside_a_hold(&world, &base).await;

    let admin = world.s3(Role::Admin).await;
    let versions = async |original: &Entry| -> Vec<Entry> {
        world.versions("/wal/00000001/0").await.into_iter().filter(|entry| entry.key == original.key).collect()
    };
    let until = async |entry: &Entry| {
        let lock = admin.head(&entry.key, &entry.version).await.unwrap().lock;
        lock.unwrap().retain_until
    };
    // The newest two are WAL of the base and behind it.
    let is_piece = |entry: &&Entry| entry.key.as_str().rsplit('/').next().unwrap().contains('-');
    let mut pieces: Vec<Entry> = originals.iter().filter(is_piece).cloned().collect();
    pieces.sort_by_key(|entry| entry.key.to_string());
    let (last, held) = (pieces.pop().unwrap(), pieces.pop().unwrap());
    let before = (until(&last).await, until(&versions(&last).await[0]).await);
    world.store.advance_clock(Duration::from_hours(24 * 34));
    world.expire(Role::Retainer, "retention extend").await.good();
    let of_last = versions(&last).await;
    assert_eq!(of_last.len(), 2);
    // What refuses a HEAD does not say that it is for the clock.
    admin.bucket_state().await.unwrap();
    assert!(until(&of_last[0]).await > before.1, "the copy is locked for longer");
    assert_eq!(until(&last).await, before.0, "the original is not");
    admin.set_hold(&held.key, &held.version, true).await.unwrap();
    let stored = admin.get(&last.key, &of_last[0].version, 0..of_last[0].bytes).await.unwrap();

    let early = world.expire(Role::Pruner, "retention apply --delete --json").await.good().json();
    assert!(early["replaced"].as_u64().unwrap() > 0 && versions(&last).await.len() == 2, "{early}");
    world.store.advance_clock(Duration::from_hours(24 * 2));
    let plan = world.expire(Role::Reader, "retention plan --json").await.good().json();
    assert!(plan["clusters"][0]["replaced"]["objects"].as_u64().unwrap() > 0, "{plan}");
    world.expire(Role::Pruner, "retention apply").await.good().says(&["WAL that was copied", "nothing was changed"]);
    assert_eq!(versions(&last).await.len(), 2);
    let rotten = crate::support::rot(&world.path("store/buckets/backups/data"), &stored);
    world
        .expire(Role::Pruner, "retention apply --delete")
        .await
        .good()
        .says(&[last.key.as_str(), "its original stays"]);
    assert_eq!(versions(&last).await.len(), 2, "the original of a damaged copy");
    std::fs::write(rotten, &stored).unwrap();
    world.expire(Role::Pruner, "retention apply --delete").await.good().says(&[held.key.as_str(), "legal hold"]);
    let left = versions(&last).await;
    assert!(left.len() == 1 && left[0].version == of_last[0].version, "the copy is left: {left:?}");
    assert!(versions(&held).await.iter().any(|entry| entry.version == held.version), "a hold keeps the original");

    let data = world.path("restored");
    world.restore(&format!("--dir {}", data.display())).await.good();
    let server = world.recover(&data, "recovered").await;
    assert_eq!(value(&server, "SELECT string_agg(n::text, ',' ORDER BY n) FROM steps").await, "1");
}

/// Copies all WAL under other keys; gives the originals. A hold lies on them meanwhile, and goes with that of the base.
async fn copied_beside_a_hold(world: &World, base: &str) -> Vec<Entry> {
    world.expire(Role::Retainer, &format!("hold add {base}")).await.good();
    let mut rotate = world.command(Role::Admin, "keys rotate --identity");
    finished(rotate.env("BACKUP_PASSPHRASE_NEW", NEXT).spawn().unwrap()).await.good();
    let originals: Vec<Entry> = world.versions("/wal/00000001/0").await;
    let mut copy = world.command(Role::Admin, "reencrypt --wal --json");
    let copied = finished(copy.env("BACKUP_PASSPHRASE", NEXT).spawn().unwrap()).await.good().json()["wal"].clone();
    assert!(copied["copied"].as_u64().unwrap() >= originals.len() as u64 && copied["left_count"] == 0, "{copied}");
    let held = async || {
        let held = originals.iter().map(|original| world.is_held(original));
        futures::future::join_all(held).await.into_iter().filter(|held| *held).count()
    };
    assert!(held().await > 0);
    world.expire(Role::Retainer, &format!("hold remove {base}")).await.good();
    assert_eq!(held().await, 0);
    originals
}
