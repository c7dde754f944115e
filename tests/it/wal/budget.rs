//! What a segment costs: requests, time, and what an interruption leaves.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use stonewal::store::roles::Role;

use super::world::{World, switch, wal_file};
use crate::support::proxy::{Proxy, Weather};

fn count(requests: &[(String, u64, String)], action: &str) -> usize {
    requests.iter().filter(|(seen, ..)| seen == action).count()
}

/// Whether the only listings are those of the few rosters, which may be empty.
fn lists_rosters_alone(requests: &[(String, u64, String)]) -> bool {
    count(requests, "ListBucketVersions") <= 1 && count(requests, "ListBucket") == 0
}

/// PAINS E2.
#[tokio::test]
async fn three_requests_store_a_segment_and_no_wal_is_listed() {
    let Some(world) = World::new("three_requests_store").await else { return };
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
        assert_eq!(requests.len(), 3, "{requests:?}");
        assert_eq!((count(&requests, "GetObject"), count(&requests, "PutObject")), (1, 1), "{requests:?}");
        assert!(lists_rosters_alone(&requests), "{requests:?}");
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
    assert!(requests.len() <= 2 * 9 + 1, "{} requests for 9 segments", requests.len());
    assert!(lists_rosters_alone(&requests), "{requests:?}");

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
        world.fetch(name, "ahead/pg_wal").await.good();
        assert!(world.fetched("ahead/pg_wal") == std::fs::read(wal_file(&server, name)).unwrap(), "{name}");
    }
    let requests = world.requests();
    assert!(requests.len() <= 2 * names.len(), "{} requests for {} segments", requests.len(), names.len());
    assert!(requests.iter().all(|(action, ..)| !action.starts_with("List")), "{requests:?}");
    // At the end of WAL the spool is given up before PostgreSQL promotes.
    assert_eq!(world.fetch("00000002.history", "ahead/pg_wal").await.code(), Some(1));
    assert!(!world.path("ahead/pg_wal/stonewal.ahead").exists());
    server.stop().await.unwrap();
}

/// PAINS F1. A store 50 ms away: looking ahead costs a tenth of the turns of one segment after the other.
#[tokio::test]
async fn f01_looking_ahead_outruns_a_slow_line() {
    let Some(world) = World::new("f01_looking_ahead").await else { return };
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
        let to = format!("ahead{ahead}/pg_wal");
        let env = [("AWS_ENDPOINT_URL_S3", &*endpoint), ("STONEWAL_WAL_FETCH_AHEAD", ahead)];
        let begun = Instant::now();
        for name in &names {
            world.fetch_with(name, &to, &env).await.good();
        }
        took.push((proxy.turns(), begun.elapsed()));
    }
    println!("34 segments: turns and time one by one {:?}, looking ahead {:?}", took[0], took[1]);
    // Turns are what the line costs; the time has the starts of 34 processes in it, and whatever else this machine does.
    assert!(took[0].0 >= 34 && took[0].0 >= 10 * took[1].0 && took[0].1 > 3 * took[1].1, "{took:?}");
    server.stop().await.unwrap();
}

/// Whoever else runs a restore_command gets a file and nothing beside it; what has no place is not made one.
#[tokio::test]
async fn a_fetch_leaves_nothing_where_no_recovery_asked() {
    let Some(world) = World::new("a_fetch_leaves_nothing").await else { return };
    let server = world.server("pg", 1, false).await;
    let mut names = Vec::new();
    for _ in 0..6 {
        names.push(switch(&server).await);
    }
    world.push_all(&server).await;
    let entries = |dir: &str| {
        let entries = std::fs::read_dir(world.path(dir)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    world.fetch(&names[0], "plain").await.good();
    assert_eq!(entries("plain"), ["RECOVERYXLOG"]);
    // As pg_rewind names it.
    std::fs::create_dir_all(world.path("rewound/pg_wal")).unwrap();
    let line = format!("wal fetch {} {}", names[0], world.path("rewound/pg_wal").join(&names[0]).display());
    world.run(&line, Role::Reader, Some("recovery"), &[]).await.good();
    assert_eq!(entries("rewound/pg_wal"), [&*names[0]]);
    for missing in ["missing/pg_wal/RECOVERYXLOG", "missing/RECOVERYXLOG"] {
        let line = format!("wal fetch {} {}", names[0], world.path(missing).display());
        let said = world.run(&line, Role::Reader, Some("recovery"), &[]).await;
        assert_eq!(said.code(), Some(126), "{}", said.stderr);
        assert!(!world.path("missing").exists(), "it is not ours to make");
    }
    // The spool holds what was asked for and no more, also after a fetch that was killed.
    let three = [("STONEWAL_WAL_FETCH_AHEAD", "3")];
    world.fetch_with(&names[0], "data/pg_wal", &three).await.good();
    let spool = "data/pg_wal/stonewal.ahead";
    assert_eq!(entries(spool), [&*names[1], &names[2], &names[3], "stamp"]);
    std::fs::write(world.path(spool).join(".stonewal-killed"), "half").unwrap();
    world.fetch_with(&names[4], "data/pg_wal", &three).await.good();
    assert_eq!(entries(spool), [&*names[5], "stamp"]);
    assert_eq!(entries("data/pg_wal"), ["RECOVERYXLOG", "stonewal.ahead"]);
    assert_eq!(world.fetch("00000002.history", "data/pg_wal").await.code(), Some(1));
    assert_eq!(entries("data/pg_wal"), ["RECOVERYXLOG"]);
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
