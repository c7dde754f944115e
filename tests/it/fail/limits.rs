//! Bounds: memory does not grow with the stream, and nothing needs a disk (invariant I12, PAINS E5 and E6).

use std::time::Duration;

use super::process::Running;
use super::programs;
use super::targets::Disk;
use super::world::World;

/// Of the whole process, in a development build, with default limits.
const RESIDENT_BYTES_MAX: u64 = 256 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn i12_a_stream_of_4_gib_needs_no_more_memory_than_any() {
    let Some(world) = World::new("i12").await else { return };
    // Incompressible at first, so that all buffers are full of it; then easy, so that the rest is quick.
    let body = "\"$REAL\" --schema-only \"$@\" | head -n 5; head -c 384M /dev/urandom; \
        yes 'a line that is easily compressed, of which there are very many' | head -c 3712M; \
        printf '\\n--\\n-- PostgreSQL database dump complete\\n--\\n\\n'";
    let programs = programs::running(&world, "pg_dump", body);
    let run = world.stonewal("backup dump --json").env("STONEWAL_POSTGRES_BIN_DIR", programs);
    let run = run.unset("STONEWAL_LIMITS_CHUNK").env("STONEWAL_DUMP_CODEC", "lz4");
    let (peak, running) = peak(run.start()).await;
    let made = running.end().await.good().json();
    assert!(made["plain_bytes"].as_u64().unwrap() > 4 << 30, "{made}");
    println!("backup of 4 GiB: peak {} MiB", peak >> 20);
    assert!(peak <= RESIDENT_BYTES_MAX, "the backup took {} MiB", peak >> 20);

    let mut running = world.restorer("restore dump --to-stdout").start();
    let mut stdout = running.child.stdout.take().unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await.unwrap() });
    let (peak, running) = self::peak(running).await;
    let ended = running.end().await.good();
    let bytes = tasks.join_next().await.unwrap().unwrap();
    assert!(bytes > 4 << 30, "{bytes} bytes came, and {}", ended.stderr);
    println!("restore of 4 GiB: peak {} MiB", peak >> 20);
    assert!(peak <= RESIDENT_BYTES_MAX, "the restore took {} MiB", peak >> 20);
}

/// The most memory that a run had, as the kernel counts it (proc(5), `VmHWM`), until it ends.
async fn peak(mut running: Running) -> (u64, Running) {
    let mut peak = 0;
    let path = format!("/proc/{}/status", running.pid.as_raw_nonzero());
    while running.is_running() {
        let status = std::fs::read_to_string(&path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")).map_or(0, |text| text.parse().unwrap());
        peak = peak.max(kibibytes << 10);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(peak > 0, "the memory of the run was seen");
    (peak, running)
}

#[tokio::test(flavor = "multi_thread")]
async fn e05_e06_neither_temporary_files_nor_a_home_are_needed() {
    let Some(world) = World::new("e05_e06").await else { return };
    world.target("target").await;
    for (home, temporary) in [("/nonexistent", "/nonexistent"), ("/proc", "/proc")] {
        world.stonewal("backup dump").env("HOME", home).env("TMPDIR", temporary).end().await.good();
    }
    let made = world.restore_into("target", "").env("HOME", "/nonexistent").env("TMPDIR", "/nonexistent");
    made.end().await.good();
    world.assert_restored("target");
    let tiny = world.path("tiny");
    std::fs::create_dir(&tiny).unwrap();
    let Some(_disk) = Disk::mount("e05_e06", &tiny, "64k") else { return };
    world.stonewal("backup dump").env("TMPDIR", &tiny).end().await.good();
    assert_eq!(std::fs::read_dir(&tiny).unwrap().count(), 0);
}
