//! `reencrypt --wal`: WAL under a fresh key after somebody was shut out (PAINS B5, A17).

use std::time::Duration;

use stonewal::store::roles::Role;
use stonewal::store::{Append as _, Put, Read as _};

use super::world::{Finished, PASSPHRASE, World, switch, wal_file};

impl World {
    async fn keys(&self, line: &str) -> Finished {
        self.run(line, Role::Writer, None, &[("BACKUP_PASSPHRASE", PASSPHRASE)]).await
    }

    async fn fetch_as(&self, file: &str, name: &str) -> Finished {
        let to = self.path(file);
        std::fs::create_dir_all(&to).unwrap();
        let line = format!("wal fetch {name} {}", to.join("RECOVERYXLOG").display());
        let env = [("STONEWAL_WAL_FETCH_AHEAD", "0"), ("STONEWAL_WAL_DEADLINE", "2s")];
        self.run(&line, Role::Reader, Some(file), &env).await
    }
}

#[tokio::test]
async fn b05_copied_wal_opens_for_who_counts_and_not_for_who_was_revoked() {
    let Some(world) = World::new("b05_copied_wal").await else { return };
    let server = world.server("pg", 1, false).await;
    world.keys("keys add --recovery-file keys/second --name second").await.good();
    let mut names = Vec::new();
    for _ in 0..5 {
        names.push(switch(&server).await);
        world.push(&wal_file(&server, &names[names.len() - 1])).await.good();
    }
    let originals = world.objects("/wal/00000001/0").await;
    world.keys("keys add --recovery-file keys/third --name third").await.good();
    let listed = world.keys("keys list --json").await.good().json();
    let second = listed["recipients"].as_array().unwrap().iter().find(|one| one["name"] == "second").unwrap().clone();
    world.keys(&format!("keys revoke {}", second["id"].as_str().unwrap())).await.good();
    world.fetch_as("second", &names[0]).await.good();
    assert!(!world.fetch_as("third", &names[0]).await.status.success(), "it was added later");

    // Cut short anywhere, it leaves whole copies, and the next run does the rest.
    let env = [("BACKUP_PASSPHRASE", PASSPHRASE)];
    let mut child = world.start("reencrypt --wal", Role::Writer, None, &env);
    for _ in 0..600 {
        if world.objects("/wal/00000001/0").await.len() > originals.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child.kill().await.unwrap();
    let done = world.keys("reencrypt --wal --json").await.good().json()["wal"].clone();
    let (copied, already) = (done["copied"].as_u64().unwrap(), done["already"].as_u64().unwrap());
    assert!(copied + already == 5 && already >= 1, "{done}");
    let again = world.keys("reencrypt --wal --json").await.good().json()["wal"].clone();
    assert_eq!((again["copied"].as_u64(), again["already"].as_u64()), (Some(0), Some(5)), "{again}");
    let all = world.objects("/wal/00000001/0").await;
    assert_eq!(all.len(), 2 * originals.len(), "one copy each");
    let admin = world.s3(Role::Admin).await;
    for original in &originals {
        let copy = all.iter().find(|entry| entry.key == original.key).unwrap();
        let lock = async |version| admin.head(&original.key, version).await.unwrap().lock.unwrap().retain_until;
        assert!(copy.version != original.version && lock(&copy.version).await >= lock(&original.version).await);
    }

    let cost = world.run("cost --json", Role::Reader, Some("third"), &[]).await.good().json();
    assert!(cost["foreign"].as_array().unwrap().is_empty() && cost["unjudged"]["versions"] == 0, "{cost}");

    // The original on top again is what nobody revoked finds, and what everybody else reads past.
    let body = admin.get(&originals[0].key, &originals[0].version, 0..originals[0].bytes).await.unwrap();
    for name in &names {
        world.fetch_as("third", name).await.good();
        let fetched = std::fs::read(world.path("third/RECOVERYXLOG")).unwrap();
        assert!(fetched == std::fs::read(wal_file(&server, name)).unwrap(), "{name}");
    }
    assert!(!world.fetch_as("second", &names[2]).await.status.success(), "it opens for who was revoked");
    // Pushed again it is the same; nothing is out of place.
    world.push(&wal_file(&server, &names[1])).await.good();
    assert_eq!(world.objects("/wal/00000001/0").await.len(), all.len());
    for level in ["headers", "full"] {
        let line = format!("wal verify --level {level} --json");
        let told = world.run(&line, Role::Reader, Some("third"), &[]).await.good().json();
        assert_eq!(told["clusters"][0]["timelines"][0]["missing_count"], 0, "{told}");
    }
    admin.put(Put { key: originals[0].key.clone(), body, lock: None }).await.unwrap();
    let segment = &names[0];
    world.fetch_as("third", segment).await.good();
    let unchanged = world.keys("reencrypt --wal --json").await.good().json()["wal"].clone();
    assert_eq!((unchanged["copied"].as_u64(), unchanged["already"].as_u64()), (Some(0), Some(5)), "{unchanged}");
    let copy = all.iter().find(|entry| entry.key == originals[1].key).unwrap();
    let stored = admin.get(&copy.key, &copy.version, 0..copy.bytes).await.unwrap();
    a_damaged_copy_is_made_again(&world, &names, &stored).await;
    server.stop().await.unwrap();
}

/// From its original, and what is left of it is passed over.
async fn a_damaged_copy_is_made_again(world: &World, names: &[String], stored: &[u8]) {
    crate::support::rot(&world.path("store/buckets/backups/data"), stored);
    let mended = world.keys("reencrypt --wal --json").await.good().json()["wal"].clone();
    assert_eq!((mended["copied"].as_u64(), mended["already"].as_u64()), (Some(1), Some(4)), "{mended}");
    for name in names {
        world.fetch_as("third", name).await.good();
    }
    let unchanged = world.keys("reencrypt --wal --json").await.good().json()["wal"].clone();
    assert_eq!((unchanged["copied"].as_u64(), unchanged["already"].as_u64()), (Some(0), Some(5)), "{unchanged}");
}
