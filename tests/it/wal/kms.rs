//! WAL whose keys a key in AWS KMS opens, by the program as PostgreSQL runs it.

use stonewal::store::roles::Role;

use super::world::{PASSPHRASE, World, switch, wal_file};
use crate::support::kms::{Keys, REGION};
use crate::support::servers::LocalStack;
use crate::support::skip;

/// PAINS B5. The host that pushes has no way to KMS; the one that fetches has a profile of its own for it.
#[tokio::test]
async fn b05_i10_wal_is_fetched_with_a_key_in_kms_and_a_key_out_of_use_is_no_absence() {
    let local = match LocalStack::find() {
        Ok(local) => local,
        Err(why) => return skip("WAL by a key in KMS", &why),
    };
    let Some(world) = World::new("wal_kms").await else { return };
    let (arn, alias) = Keys::of(&local).agreeing("wal").await;
    std::fs::create_dir(world.path(".aws")).unwrap();
    let profile = "[keyholder]\naws_access_key_id = test\naws_secret_access_key = test\n";
    std::fs::write(world.path(".aws/credentials"), profile).unwrap();
    let kms = [
        ("STONEWAL_KMS_ENDPOINT", local.endpoint.as_str()),
        ("STONEWAL_KMS_PROFILE", "keyholder"),
        ("STONEWAL_KMS_REGION", REGION),
        ("STONEWAL_WAL_FETCH_AHEAD", "0"),
        ("STONEWAL_WAL_DEADLINE", "10s"),
    ];

    let server = world.server("pg", 1, false).await;
    let before = switch(&server).await;
    world.push(&wal_file(&server, &before)).await.good();
    let mut env = kms.to_vec();
    env.push(("BACKUP_PASSPHRASE", PASSPHRASE));
    let line = format!("keys add --kms {alias} --kms-file keys/kms --past");
    let added = world.run(&line, Role::Writer, None, &env).await.good();
    assert!(added.stdout.contains("holds no secret") && added.stdout.contains(&arn), "{added:?}");
    let after = switch(&server).await;
    world.push(&wal_file(&server, &after)).await.good();

    let checked = world.run("keys check --json", Role::Reader, Some("kms"), &kms).await.good().json();
    assert_eq!((checked["keys"].as_u64(), checked["opened"].as_u64()), (Some(2), Some(2)), "{checked}");
    let to = world.path("fetched");
    std::fs::create_dir_all(&to).unwrap();
    let fetch = async |name: &str| {
        let line = format!("wal fetch {name} {}", to.join("RECOVERYXLOG").display());
        world.run(&line, Role::Reader, Some("kms"), &kms).await
    };
    for name in [&before, &after] {
        fetch(name).await.good();
        assert!(world.fetched("fetched") == std::fs::read(wal_file(&server, name)).unwrap(), "{name}");
    }
    Keys::of(&local).doom(&arn).await;
    let refused = fetch(&after).await;
    assert!(refused.code() == Some(126) && refused.stderr.contains("out of use"), "{refused:?}");
    server.stop().await.unwrap();
}
