//! A database host follows the roster with every push: nobody copies files to it (PAINS B5, B16).

use bytes::Bytes;
use stonewal::store::roles::Role;
use stonewal::store::{Append as _, ObjectKey, Put, Read as _};

use super::world::{PASSPHRASE, World, switch, wal_file};

#[tokio::test]
async fn b05_what_is_pushed_after_a_recipient_was_added_opens_for_it() {
    let Some(world) = World::new("push_follows").await else { return };
    let server = world.server("pg", 1, false).await;
    let keys = |line| world.run(line, Role::Writer, None, &[("BACKUP_PASSPHRASE", PASSPHRASE)]);
    let check = || world.run("keys check --json", Role::Reader, Some("second"), &[]);
    let before = switch(&server).await;
    world.push(&wal_file(&server, &before)).await.good();
    keys("keys add --recovery-file keys/second --name second").await.good();
    let after = switch(&server).await;
    world.push(&wal_file(&server, &after)).await.good();
    let found = check().await;
    assert_eq!(found.code(), Some(5), "{found:?}");
    let found = found.json();
    assert_eq!((found["keys"].as_u64(), found["opened"].as_u64()), (Some(2), Some(1)), "{found}");
    assert!(found["closed"][0]["of"].as_str().unwrap().contains("WAL of run"), "{found}");

    let done = keys("keys rewrap --all --json").await.good().json();
    assert_eq!((done["added"].as_u64(), done["already"].as_u64()), (Some(1), Some(1)), "{done}");
    let again = keys("keys rewrap --all --json").await.good().json();
    assert_eq!((again["added"].as_u64(), again["already"].as_u64()), (Some(0), Some(2)), "{again}");
    check().await.good();
    for name in [&before, &after] {
        let to = world.path("by-second");
        std::fs::create_dir_all(&to).unwrap();
        let line = format!("wal fetch {name} {}", to.join("RECOVERYXLOG").display());
        world.run(&line, Role::Reader, Some("second"), &[("STONEWAL_WAL_FETCH_AHEAD", "0")]).await.good();
        assert!(world.fetched("by-second") == std::fs::read(wal_file(&server, name)).unwrap(), "{name}");
    }
    // A damaged header is noise beside the genuine one; alone it hides which key the WAL was sealed under.
    let part = format!("/wal/00000001/{:016X}-", u64::from_str_radix(&before[16..], 16).unwrap() << 20);
    let (genuine, admin) = (world.objects(&part).await.remove(0), world.s3(Role::Admin).await);
    let body = admin.get(&genuine.key, &genuine.version, 0..genuine.bytes).await.unwrap();
    let mut bent = body.to_vec();
    bent[700] ^= 1;
    let put = |name: String| Put { key: ObjectKey::new(name), body: Bytes::from(bent.clone()), lock: None };
    admin.put(put(format!("{}-0101010101010101", genuine.key))).await.unwrap();
    let noise = check().await;
    assert!(noise.code() == Some(3) && noise.stdout.contains("the genuine one lies beside it"), "{noise:?}");
    world.destroy(&part).await;
    admin.put(put(genuine.key.to_string())).await.unwrap();
    let hurt = check().await;
    assert!(hurt.code() == Some(4) && hurt.stdout.contains("the key of that WAL is not known"), "{hurt:?}");
    world.destroy(&part).await;
    // And no longer, once it was revoked.
    let listed = keys("keys list --json").await.good().json();
    let second = listed["recipients"].as_array().unwrap().iter().find(|one| one["name"] == "second").unwrap().clone();
    keys(&format!("keys revoke {}", second["id"].as_str().unwrap())).await.good();
    let last = switch(&server).await;
    world.push(&wal_file(&server, &last)).await.good();
    assert_eq!(check().await.code(), Some(5));
    server.stop().await.unwrap();
}
