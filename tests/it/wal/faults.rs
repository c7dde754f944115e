//! A real recovery that meets a fault stops; it never promotes (invariant I10).

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use stonewal::postgres::server::Server;
use stonewal::store::roles::Role;
use stonewal::store::{Append as _, ObjectKey, Put, Read as _};

use super::recovery::grown;
use super::world::{World, copied};
use crate::support::proxy::{Proxy, Weather};

const ENDS_WITHIN: Duration = Duration::from_mins(3);

/// Recovers a copy with these variables: PostgreSQL must end, and the timeline must not change.
async fn stops(world: &World, fault: &str, env: &[(&str, &str)]) {
    let copy = world.path(&format!("with-{fault}"));
    copied(&world.path("copy"), &copy);
    let mut all = vec![("STONEWAL_WAL_DEADLINE", "4s")];
    all.extend(env);
    let mut server = Server::open(&world.recovery(&copy, &all)).await.unwrap();
    let ended = server.wait_ended(ENDS_WITHIN).await;
    let log = server.log();
    assert!(ended.is_ok_and(|status| !status.success()), "{fault}: it goes on: {log}");
    assert!(log.contains("could not restore file"), "{fault}: {log}");
    assert!(!log.contains("selected new timeline"), "{fault}: it promoted: {log}");
    assert!(!copy.join("pg_wal/00000002.history").exists(), "{fault}: it promoted: {log}");
}

/// PAINS A5.
#[tokio::test]
async fn i10_recovery_stops_when_the_store_does_not_answer_well() {
    let Some(world) = World::new("i10_recovery_stops_store").await else { return };
    let (server, _) = grown(&world, 1, 3).await;
    world.push_all(&server).await;
    server.stop().await.unwrap();
    let upstream = world.store.endpoint().trim_start_matches("http://").parse().unwrap();
    let hole = Proxy::start(upstream, Weather::Blackhole).await;
    let closed = Proxy::start(upstream, Weather::Refuse).await;
    let cut = Proxy::start(upstream, Weather::CutAfterDown(900)).await;
    let retainer = world.env(Role::Retainer, None);
    let of = |name: &str| retainer.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap();
    let (id, secret) = (of("AWS_ACCESS_KEY_ID"), of("AWS_SECRET_ACCESS_KEY"));
    let (hole, closed, cut) = (hole.endpoint(), closed.endpoint(), cut.endpoint());
    let faults: Vec<(&str, Vec<(&str, &str)>)> = vec![
        ("denied", vec![("AWS_ACCESS_KEY_ID", &id), ("AWS_SECRET_ACCESS_KEY", &secret)]),
        ("signature", vec![("AWS_SECRET_ACCESS_KEY", "wrong")]),
        ("unknown-key", vec![("AWS_ACCESS_KEY_ID", "nobody")]),
        ("dns", vec![("AWS_ENDPOINT_URL_S3", "http://no-such-host.invalid:9000")]),
        ("blackhole", vec![("AWS_ENDPOINT_URL_S3", &hole)]),
        ("refused", vec![("AWS_ENDPOINT_URL_S3", &closed)]),
        ("cut", vec![("AWS_ENDPOINT_URL_S3", &cut)]),
        ("no-bucket", vec![("STONEWAL_REPOSITORY", "s3://no-such-bucket/prod")]),
        ("no-configuration", vec![("STONEWAL_CONFIG", "/no/such/file")]),
        ("mistyped", vec![("STONEWAL_WAL_FETCH_AHAED", "3")]),
    ];
    join_all(faults.iter().map(|(fault, env)| stops(&world, fault, env))).await;
}

/// PAINS A5.
#[tokio::test]
async fn i10_recovery_stops_when_what_is_stored_is_not_right() {
    let Some(world) = World::new("i10_recovery_stops_stored").await else { return };
    let (server, names) = grown(&world, 1, 4).await;
    world.push_all(&server).await;
    server.stop().await.unwrap();
    // Another repository's key: nothing here is signed by its root.
    let other = [("BACKUP_PASSPHRASE", "another sentence altogether"), ("STONEWAL_REPOSITORY", "s3://backups/other")];
    world.run("init --recovery-file keys/stranger", Role::Admin, None, &other).await.good();
    stonewal::postgres::server::hand_over(&world.path("keys")).unwrap();
    let stranger = world.path("keys/stranger").display().to_string();
    stops(&world, "wrong-key", &[("STONEWAL_KEYS_IDENTITY_FILE", &stranger)]).await;

    let number = u64::from_str_radix(&names[2][16..], 16).unwrap() << 20;
    let part = format!("/wal/00000001/{number:016X}-");
    let genuine = world.objects(&part).await.remove(0);
    let admin = world.s3(Role::Admin).await;
    let body = admin.get(&genuine.key, &genuine.version, 0..genuine.bytes).await.unwrap();
    world.destroy(&part).await;
    stops(&world, "gap", &[]).await;
    for (fault, at) in [("damaged-header", 700), ("damaged-body", body.len() - 40)] {
        let mut bent = body.to_vec();
        bent[at] ^= 1;
        let put = Put { key: ObjectKey::new(genuine.key.as_str()), body: Bytes::from(bent), lock: None };
        admin.put(put).await.unwrap();
        stops(&world, fault, &[]).await;
        world.destroy(&part).await;
    }
}
