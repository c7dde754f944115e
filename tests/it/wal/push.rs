//! What `wal push` accepts, refuses and repairs.

use stonewal::store::Read as _;
use stonewal::store::roles::Role;

use super::world::{World, switch, wal_file};

/// PAINS A6.
#[tokio::test]
async fn the_same_again_is_success_and_anything_else_is_refused() {
    let Some(world) = World::new("the_same_again_is_success").await else { return };
    let server = world.server("pg", 1, false).await;
    let name = switch(&server).await;
    let segment = wal_file(&server, &name);
    world.push(&segment).await.good();
    let stored = world.objects("/wal/00000001/0").await;
    world.push(&segment).await.good();

    let copy = world.path("bent");
    std::fs::create_dir(&copy).unwrap();
    let bent = copy.join(&name);
    let mut bytes = std::fs::read(&segment).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&bent, &bytes).unwrap();
    let refused = world.push(&bent).await;
    assert_eq!(refused.code(), Some(4), "{}", refused.stderr);
    assert!(refused.stderr.contains("other content") && refused.stderr.contains("not touched"), "{}", refused.stderr);

    // Another cluster: its first segment bears the same name.
    let stranger = world.server("other", 1, false).await;
    let theirs = switch(&stranger).await;
    let refused = world.push(&wal_file(&stranger, &theirs)).await;
    assert_eq!(refused.code(), Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("system identifier"), "{}", refused.stderr);

    // Names that are not what the file is.
    for (wrong, why) in [
        ("000000010000000000000099", "holds the WAL from"),
        ("not-a-segment", "neither a segment"),
        ("00000001000000000000000Z", "neither a segment"),
    ] {
        std::fs::copy(&segment, copy.join(wrong)).unwrap();
        let refused = world.push(&copy.join(wrong)).await;
        assert!(!refused.status.success() && refused.stderr.contains(why), "{wrong}: {}", refused.stderr);
    }
    bytes.truncate(500_000);
    std::fs::write(&bent, &bytes).unwrap();
    let refused = world.push(&bent).await;
    assert!(refused.stderr.contains("500000 bytes"), "{}", refused.stderr);

    let left = world.objects("/wal/00000001/0").await;
    let told =
        |all: &[stonewal::store::Entry]| all.iter().map(|e| (e.key.clone(), e.version.clone())).collect::<Vec<_>>();
    assert_eq!(told(&left), told(&stored), "nothing was written over or beside");
    world.fetch(&name, "restored").await.good();
    assert!(world.fetched("restored") == std::fs::read(&segment).unwrap());
    let lock = world.s3(Role::Admin).await.head(&stored[0].key, &stored[0].version).await.unwrap().lock;
    assert!(lock.is_some(), "it is locked");
    server.stop().await.unwrap();
    stranger.stop().await.unwrap();
}

/// PAINS A4. A store that cannot be reached is a failure within the deadline, and PostgreSQL keeps the file.
#[tokio::test]
async fn what_is_not_durable_is_not_acknowledged() {
    use crate::support::proxy::{Proxy, Weather};
    let Some(world) = World::new("what_is_not_durable").await else { return };
    let server = world.server("pg", 1, false).await;
    let segment = wal_file(&server, &switch(&server).await);
    let upstream = world.store.endpoint().trim_start_matches("http://").parse().unwrap();
    let line = format!("wal push {}", segment.display());
    for weather in [Weather::Blackhole, Weather::Refuse, Weather::CutAfterUp(2000), Weather::CutAfterDown(20)] {
        let proxy = Proxy::start(upstream, weather).await;
        let env = [("AWS_ENDPOINT_URL_S3", &*proxy.endpoint()), ("STONEWAL_WAL_DEADLINE", "3s")];
        let begun = std::time::Instant::now();
        let refused = world.run(&line, Role::Writer, Some("writer"), &env).await;
        assert!(!refused.status.success(), "{weather:?}");
        assert!(begun.elapsed().as_secs() < 20, "{weather:?}: {:?}", begun.elapsed());
        proxy.set(Weather::Fair);
        world.run(&line, Role::Writer, Some("writer"), &env).await.good();
        world.destroy("/wal/").await;
    }
    let denied = world.run(&line, Role::Reader, Some("writer"), &[]).await;
    assert_eq!(denied.code(), Some(1), "{}", denied.stderr);
    server.stop().await.unwrap();
}

/// PAINS A7. `--from` fills what is missing with everything finished, and leaves the segment in use alone.
#[tokio::test]
async fn a_directory_fills_what_is_missing() {
    let Some(world) = World::new("a_directory_fills").await else { return };
    let server = world.server("pg", 1, false).await;
    let mut names = Vec::new();
    for _ in 0..6 {
        names.push(switch(&server).await);
    }
    for name in [&names[0], &names[2], &names[5]] {
        world.push(&wal_file(&server, name)).await.good();
    }
    let line = format!("wal push --json --from {}", server.data_dir().join("pg_wal").display());
    let pushed = world.run(&line, Role::Writer, Some("writer"), &[]).await.good().json();
    let stored: Vec<_> = pushed["stored"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    for name in [&names[1], &names[3], &names[4]] {
        assert!(stored.contains(&name.as_str()), "{name} in {stored:?}");
    }
    let in_use = super::world::value(&server, "SELECT pg_walfile_name(pg_current_wal_lsn())").await;
    assert!(!stored.contains(&in_use.as_str()), "{in_use} is in use");
    for name in &names {
        world.fetch(name, "restored").await.good();
        assert!(world.fetched("restored") == std::fs::read(wal_file(&server, name)).unwrap(), "{name}");
    }
    // Other content under a name that is stored is told, not taken for the same.
    let bent = world.path("bent");
    std::fs::create_dir(&bent).unwrap();
    for name in &names[..2] {
        std::fs::copy(wal_file(&server, name), bent.join(name)).unwrap();
    }
    let mut bytes = std::fs::read(bent.join(&names[0])).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(bent.join(&names[0]), bytes).unwrap();
    let told = world.run(&format!("wal push --from {}", bent.display()), Role::Writer, Some("writer"), &[]).await;
    assert_eq!(told.code(), Some(1), "{}", told.stderr);
    assert!(told.stderr.contains("other content"), "{}", told.stderr);
    let again = world.run(&line, Role::Writer, Some("writer"), &[]).await.good().json();
    assert_eq!(again["stored"].as_array().unwrap().len(), 0);
    server.stop().await.unwrap();
}
