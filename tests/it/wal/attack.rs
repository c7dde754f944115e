//! Someone who may write and delete whatever is not locked, at names that everyone can guess.

use bytes::Bytes;
use stonewal::store::roles::Role;
use stonewal::store::{Append as _, ObjectKey, Put, Read as _};

use super::world::{World, switch, wal_file};

async fn plant(world: &World, key: &str, body: &[u8]) {
    let put = Put { key: ObjectKey::new(key), body: Bytes::copy_from_slice(body), lock: None };
    world.s3(Role::Attacker).await.put(put).await.unwrap();
}

async fn hide(world: &World, key: &str) {
    crate::support::hide(&world.store, "backups", key).await;
}

#[tokio::test]
async fn i04_overlays_markers_and_planted_names_change_nothing() {
    let Some(world) = World::new("i04_overlays_markers").await else { return };
    let server = world.server("pg", 1, false).await;
    let mut names = Vec::new();
    for _ in 0..4 {
        names.push(switch(&server).await);
    }
    let key = |n: u64| format!("prod/main/wal/00000001/{:016X}-{:016X}", n << 20, (n + 1) << 20);
    let number = |name: &str| u64::from_str_radix(&name[16..], 16).unwrap();
    // Planted before the genuine ones: at the name itself, and with a marker over it.
    plant(&world, &key(number(&names[2])), b"planted before").await;
    plant(&world, &key(number(&names[3])), b"planted before").await;
    hide(&world, &key(number(&names[3]))).await;
    plant(&world, "prod/main/cluster", b"{}").await;
    for name in &names {
        world.push(&wal_file(&server, name)).await.good();
    }
    // And after them: junk, a neighbour's genuine bytes, nothing; then markers over all of it.
    let neighbour = world.objects(&key(number(&names[1]))).await.remove(0);
    let genuine =
        world.s3(Role::Admin).await.get(&neighbour.key, &neighbour.version, 0..neighbour.bytes).await.unwrap();
    for name in &names {
        for junk in [&b"junk"[..], b"", &genuine, &genuine[..600]] {
            plant(&world, &key(number(name)), junk).await;
            plant(&world, &format!("{}-00000000000000ff", key(number(name))), junk).await;
        }
    }
    for name in &names[..2] {
        hide(&world, &key(number(name))).await;
    }
    for name in &names {
        world.fetch(name, "restored").await.good();
        assert!(
            world.fetched("restored") == std::fs::read(wal_file(&server, name)).unwrap(),
            "{name} came out otherwise"
        );
        // Pushed again it is the same, whatever lies there.
        world.push(&wal_file(&server, name)).await.good();
    }
    // Beyond the end: junk that would be the next segment is not WAL, and one far away is not a gap.
    plant(&world, &key(number(&names[3]) + 1), b"not WAL").await;
    plant(&world, &key(number(&names[3]) + 1000), b"not WAL").await;
    let next = format!("{}{:08X}", &names[3][..16], number(&names[3]) + 1);
    let said = world.fetch(&next, "restored").await;
    assert_eq!(said.code(), Some(1), "{}", said.stderr);
    // What begins like ours may have been ours.
    plant(&world, &key(number(&names[3]) + 1), &genuine).await;
    let said = world.fetch(&next, "restored").await;
    assert_eq!(said.code(), Some(126), "{}", said.stderr);

    // The same far behind the end: whether WAL goes on there cannot be said, so it is not said that it ends here.
    let far = format!("{}{:08X}", &names[3][..16], number(&names[3]) + 3);
    plant(&world, &key(number(&names[3]) + 5), &genuine).await;
    let said = world.fetch(&far, "restored").await;
    assert_eq!(said.code(), Some(126), "{}", said.stderr);

    let verified = world.run("wal verify --level headers --json", Role::Reader, Some("recovery"), &[]).await;
    assert_eq!(verified.code(), Some(3), "noise, no damage: {}", verified.stderr);
    assert_eq!(verified.json()["clusters"][0]["timelines"][0]["missing_count"], 0);
    server.stop().await.unwrap();
}
