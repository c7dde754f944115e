//! What a segment costs: requests, time, and what an interruption leaves.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use stonewal::store::roles::Role;

use super::world::{World, switch, wal_file};
use crate::support::proxy::{Proxy, Weather};

fn count(requests: &[(String, u64, String)], action: &str) -> usize {
    requests.iter().filter(|(seen, ..)| seen == action).count()
}

#[tokio::test]
async fn two_requests_store_a_segment_and_none_lists() {
    let Some(world) = World::new("two_requests_store").await else { return };
    let server = world.server("pg", 1, false).await;
    let mut names = Vec::new();
    for _ in 0..20 {
        names.push(switch(&server).await);
    }
    world.push(&wal_file(&server, &names[0])).await.good();
    world.requests();
    for name in &names[1..5] {
        world.push(&wal_file(&server, name)).await.good();
        let requests = world.requests();
        assert_eq!(requests.len(), 2, "{requests:?}");
        assert_eq!((count(&requests, "GetObject"), count(&requests, "PutObject")), (1, 1), "{requests:?}");
    }
    // A backlog: one call takes the next eight along, and each of them then costs one look.
    let status = server.data_dir().join("pg_wal/archive_status");
    for name in &names[5..14] {
        std::fs::write(status.join(format!("{name}.ready")), "").unwrap();
    }
    for name in &names[5..14] {
        world.push(&wal_file(&server, name)).await.good();
        std::fs::rename(status.join(format!("{name}.ready")), status.join(format!("{name}.done"))).unwrap();
    }
    let requests = world.requests();
    assert_eq!(count(&requests, "PutObject"), 9, "{requests:?}");
    assert!(requests.len() <= 2 * 9, "{} requests for 9 segments", requests.len());
    assert!(requests.iter().all(|(action, ..)| !action.starts_with("List")), "{requests:?}");

    for name in &names[14..] {
        world.push(&wal_file(&server, name)).await.good();
    }
    world.requests();
    let alone = [("STONEWAL_WAL_FETCH_AHEAD", "0")];
    for name in &names[..3] {
        world.fetch_with(name, "alone", &alone).await.good();
        let requests = world.requests();
        assert!(requests.len() <= 2 && count(&requests, "GetObject") == requests.len(), "{requests:?}");
    }
    for name in &names {
        world.fetch(name, "ahead").await.good();
        assert!(world.fetched("ahead") == std::fs::read(wal_file(&server, name)).unwrap(), "{name}");
    }
    let requests = world.requests();
    assert!(requests.len() <= 2 * names.len(), "{} requests for {} segments", requests.len(), names.len());
    assert!(requests.iter().all(|(action, ..)| !action.starts_with("List")), "{requests:?}");
    // At the end of WAL the spool is given up before PostgreSQL promotes.
    assert_eq!(world.fetch("00000002.history", "ahead").await.code(), Some(1));
    assert!(!world.path("ahead/stonewal.ahead").exists());
    server.stop().await.unwrap();
}

/// A store 50 ms away: looking ahead is ten times as fast as one segment after the other.
#[tokio::test]
async fn looking_ahead_outruns_a_slow_line() {
    let Some(world) = World::new("looking_ahead").await else { return };
    let server = world.server("pg", 1, false).await;
    let mut names = Vec::new();
    for _ in 0..34 {
        names.push(switch(&server).await);
    }
    world.push_all(&server).await;
    let upstream = world.store.endpoint().trim_start_matches("http://").parse().unwrap();
    let proxy = Proxy::start(upstream, Weather::Slow(Duration::from_millis(50))).await;
    let endpoint = proxy.endpoint();
    let mut took = Vec::new();
    for ahead in ["0", "16"] {
        let to = format!("ahead{ahead}");
        let env = [("AWS_ENDPOINT_URL_S3", &*endpoint), ("STONEWAL_WAL_FETCH_AHEAD", ahead)];
        let begun = Instant::now();
        for name in &names {
            world.fetch_with(name, &to, &env).await.good();
        }
        took.push(begun.elapsed());
    }
    println!("34 segments one by one {:?}, looking ahead {:?}", took[0], took[1]);
    assert!(took[0] > 3 * took[1], "{took:?}");
    server.stop().await.unwrap();
}

/// Stopped at any moment, a fetch leaves the file whole or not at all, and says that recovery must not go on.
#[tokio::test]
async fn i10_a_fetch_cut_short_leaves_no_half_file() {
    let Some(world) = World::new("i10_a_fetch_cut_short").await else { return };
    let server = world.server("pg", 16, false).await;
    server.execute("postgres", "CREATE TABLE noise AS SELECT random() FROM generate_series(1, 200000)").await.unwrap();
    let name = switch(&server).await;
    let segment = wal_file(&server, &name);
    world.push(&segment).await.good();
    let whole = std::fs::read(&segment).unwrap();
    let upstream = world.store.endpoint().trim_start_matches("http://").parse().unwrap();
    let proxy = Proxy::start(upstream, Weather::Slow(Duration::from_millis(2))).await;
    let env = [("AWS_ENDPOINT_URL_S3", &*proxy.endpoint())];
    for (round, signal) in [Signal::TERM, Signal::KILL, Signal::TERM, Signal::KILL].into_iter().enumerate() {
        let to = world.path(&format!("cut{round}"));
        std::fs::create_dir(&to).unwrap();
        let line = format!("wal fetch {name} {}", to.join("RECOVERYXLOG").display());
        let child = world.start(&line, Role::Reader, Some("recovery"), &env);
        tokio::time::sleep(Duration::from_millis(60 + 90 * round as u64)).await;
        let pid = i32::try_from(child.id().unwrap()).ok().and_then(Pid::from_raw).unwrap();
        let _ = kill_process(pid, signal);
        let output = child.wait_with_output().await.unwrap();
        if let Ok(file) = std::fs::read(to.join("RECOVERYXLOG")) {
            assert!(file == whole, "round {round}: half a file");
        } else {
            assert!(output.status.code().is_none_or(|code| code > 125), "round {round}: {:?}", output.status);
        }
        // A second try finds no obstacle.
        std::fs::create_dir_all(&to).unwrap();
        world.fetch(&name, &format!("cut{round}")).await.good();
        assert!(world.fetched(&format!("cut{round}")) == whole);
    }
    server.stop().await.unwrap();
}
