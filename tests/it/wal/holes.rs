//! Missing WAL is named, never passed over (invariants I9, I10).

use stonewal::store::roles::Role;

use super::world::{World, archived, switch, value, wal_file};

/// PAINS A7.
/// Of forty archived segments one is destroyed: exactly that one is reported; fetching it is an error, not the end of WAL;
/// a server that still has it fills the hole.
#[tokio::test]
async fn i09_the_one_missing_segment_is_named() {
    let Some(world) = World::new("i09_the_one_missing").await else { return };
    let server = world.server("pg", 1, true).await;
    let mut names = Vec::new();
    for _ in 0..40 {
        names.push(switch(&server).await);
    }
    archived(&server, names.last().unwrap()).await;
    let lost = &names[17];
    let number =
        u64::from_str_radix(&lost[8..16], 16).unwrap() << 32 | u64::from_str_radix(&lost[16..], 16).unwrap() << 20;
    world.destroy(&format!("/wal/00000001/{number:016X}-")).await;

    for level in ["list", "headers"] {
        let line = format!("wal verify --json --level {level}");
        let verified = world.run(&line, Role::Reader, Some("recovery"), &[]).await;
        assert_eq!(verified.code(), Some(4), "{}", verified.stderr);
        let timelines = verified.json()["clusters"][0]["timelines"].clone();
        assert_eq!(timelines[0]["missing"], serde_json::json!([lost]), "{level}");
        assert_eq!(timelines.as_array().unwrap().len(), 1);
    }
    let told = world.run("wal verify", Role::Reader, Some("recovery"), &[]).await;
    assert!(told.stdout.contains(&format!("MISSING {lost}")), "{}", told.stdout);

    let stopped = world.fetch(lost, "restored").await;
    assert_eq!(stopped.code(), Some(126), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("is missing, and there is WAL behind it"), "{}", stopped.stderr);
    assert!(!world.path("restored/RECOVERYXLOG").exists());

    let line = format!("wal push --from {}", server.data_dir().join("pg_wal").display());
    world.run(&line, Role::Writer, Some("writer"), &[]).await.good();
    let verified = world.run("wal verify --level full", Role::Reader, Some("recovery"), &[]).await;
    assert_eq!(verified.code(), Some(0), "{}{}", verified.stdout, verified.stderr);
    world.fetch(lost, "again").await.good();
    assert!(world.fetched("again") == std::fs::read(wal_file(&server, lost)).unwrap());
    server.stop().await.unwrap();
}

/// PAINS A5. What is proven not to exist, and what only might not.
#[tokio::test]
async fn i10_absent_is_said_only_of_what_is_absent() {
    let Some(world) = World::new("i10_absent_is_said").await else { return };
    // Nothing was ever stored under this name of a cluster: another one may have been meant.
    assert_eq!(world.fetch("00000002.history", "restored").await.code(), Some(1));
    let said = world.fetch("000000010000000000000001", "restored").await;
    assert_eq!(said.code(), Some(126), "{}", said.stderr);
    assert!(said.stderr.contains("check the repository and the cluster name"), "{}", said.stderr);
    let server = world.server("pg", 1, false).await;
    let name = switch(&server).await;
    world.push(&wal_file(&server, &name)).await.good();
    server.execute("postgres", "SELECT pg_logical_emit_message(true, 'test', 'after')").await.unwrap();
    let after = value(&server, "SELECT pg_walfile_name(pg_current_wal_lsn())").await;
    for absent in [&*after, "00000002.history", "00000009.history", "000000020000000000000001"] {
        let said = world.fetch(absent, "restored").await;
        assert_eq!(said.code(), Some(1), "{absent}: {}", said.stderr);
    }
    assert!(!world.path("restored/RECOVERYXLOG").exists());
    // Not the names of WAL, not the arguments of a fetch, not a configuration: nothing of that is absence.
    for line in [
        "wal fetch",
        "wal fetch RECOVERYXLOG x",
        "wal fetch ../../etc/passwd x",
        "wal fetch 000000010000000000000001.partial x",
        "wal fetch --no-such-flag 000000010000000000000001 x",
        "--config /no/such/file wal fetch 000000010000000000000001 x",
        "wal fetch 000000010000000000000001 /no/such/directory/x",
    ] {
        let said = world.run(line, Role::Reader, Some("recovery"), &[]).await;
        assert_eq!(said.code(), Some(126), "{line}: {}", said.stderr);
    }
    let said = world.run("wal fetch 000000010000000000000001 x", Role::Reader, None, &[]).await;
    assert_eq!(said.code(), Some(126), "no key: {}", said.stderr);
    let said = world.run("wal fetch 000000010000000000000001 x", Role::Reader, Some("writer"), &[]).await;
    assert_eq!(said.code(), Some(126), "a key that opens no WAL: {}", said.stderr);
    server.stop().await.unwrap();
}

/// A hole in the bucket is none if `pg_wal` has the segment: but only if it has all of it.
#[tokio::test]
async fn i10_half_a_segment_in_pg_wal_fills_no_hole() {
    let Some(world) = World::new("i10_half_a_segment").await else { return };
    let server = world.server("pg", 1, false).await;
    let begun = value(&server, "SELECT pg_walfile_name(pg_current_wal_lsn())").await;
    // Segments that are full of records, not switched away from.
    server
        .execute("postgres", "CREATE TABLE t AS SELECT repeat('x', 900) FROM generate_series(1, 5000)")
        .await
        .unwrap();
    world.push_all(&server).await;
    let number = u64::from_str_radix(&begun[16..], 16).unwrap() + 2;
    let lost = format!("{}{number:08X}", &begun[..16]);
    world.destroy(&format!("/wal/00000001/{:016X}-", number << 20)).await;
    assert_eq!(world.fetch(&lost, "restored").await.code(), Some(126));
    let (whole, local) = (std::fs::read(wal_file(&server, &lost)).unwrap(), world.path("restored").join(&lost));
    let half = [&whole[..whole.len() / 2], &vec![0; whole.len() / 2][..]].concat();
    std::fs::write(&local, half).unwrap();
    let said = world.fetch(&lost, "restored").await;
    assert_eq!(said.code(), Some(126), "recovery would take its torn end for the end of WAL: {}", said.stderr);
    std::fs::write(&local, &whole).unwrap();
    assert_eq!(world.fetch(&lost, "restored").await.code(), Some(1), "PostgreSQL uses the one it has");
    server.stop().await.unwrap();
}

/// What PostgreSQL is given replaces what it has: an unfinished segment must not replace a longer one.
#[tokio::test]
async fn i10_an_unfinished_segment_replaces_no_longer_one() {
    let Some(world) = World::new("i10_an_unfinished_segment").await else { return };
    let server = world.server("pg", 1, false).await;
    let name = switch(&server).await;
    world.push(&wal_file(&server, &name)).await.good();
    server.execute("postgres", "SELECT pg_logical_emit_message(true, 'test', repeat('y', 20000))").await.unwrap();
    let current = value(&server, "SELECT pg_walfile_name(pg_current_wal_lsn())").await;
    std::fs::create_dir(world.path("tail")).unwrap();
    let tail = world.path("tail").join(format!("{current}.partial"));
    std::fs::copy(wal_file(&server, &current), &tail).unwrap();
    world.push(&tail).await.good();
    server.execute("postgres", "SELECT pg_logical_emit_message(true, 'test', repeat('z', 50000))").await.unwrap();
    let longer = std::fs::read(wal_file(&server, &current)).unwrap();

    world.fetch(&current, "without").await.good();
    let given = world.fetched("without");
    assert_ne!(given, longer);
    std::fs::create_dir(world.path("with")).unwrap();
    let local = world.path("with").join(&current);
    for (what, bytes) in [("the same", &given), ("longer, on within the last page that was stored", &longer)] {
        std::fs::write(&local, bytes).unwrap();
        assert_eq!(world.fetch(&current, "with").await.code(), Some(1), "{what}");
    }
    assert!(!world.path("with/RECOVERYXLOG").exists());
    let mut other = longer.clone();
    other[9000] ^= 1;
    std::fs::write(&local, &other).unwrap();
    world.fetch(&current, "with").await.good();
    assert!(world.fetched("with") == given, "another one is no reason to hold back");
    server.stop().await.unwrap();
}
