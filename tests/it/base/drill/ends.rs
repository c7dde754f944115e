//! However a drill ends, nothing of it stays: no server, no directory, no process.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use stonewal::store::roles::Role;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr};

use super::accounting;
use crate::base::world::{PATIENCE, World, names};
use crate::support::proxy::{Proxy, Weather};

/// What is said when a phase begins.
const DUMP_PHASES: [&str; 3] = ["the drill needs", "restoring dump", "checking database"];
const BASE_PHASES: [&str; 4] = ["the drill needs", "restoring base", "replaying WAL", "checking database"];

impl World {
    /// Runs a drill until it says `words`, and a little longer.
    async fn drill_until(&self, line: &str, words: &str, longer: Duration) -> Child {
        let mut command = self.drill_as(Role::Writer, line);
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        says(&mut lines, words).await;
        tokio::time::sleep(longer).await;
        // The little that it says from here on has room in the pipe, which stays open.
        child.stderr = Some(lines.into_inner().into_inner());
        child
    }

    /// The process that stands guard over a drill.
    fn guard_of(&self, drill: u32) -> Option<Pid> {
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let is_guard = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            *pid != i32::try_from(drill).unwrap()
                && line.contains(&format!("drill guard {}", self.path("drills").display()))
        };
        pids.filter(is_guard).find_map(Pid::from_raw)
    }
}

/// Reads until it says `words`.
async fn says(lines: &mut Lines<BufReader<ChildStderr>>, words: &str) {
    let reached = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(words) {
                return;
            }
        }
        panic!("the drill ended before it said {words:?}");
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap();
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap()
}

/// SIGKILL in each phase, at two moments of it: the guard removes everything. Without it the server would live on, as below.
#[tokio::test]
async fn b17_a_drill_killed_in_any_phase_leaves_nothing() {
    let Some(world) = accounting("b17_a_drill_killed", |_| {}).await else { return };
    world.archive().await;
    world.good_backup().await;
    world.archived().await;
    world.dump().await;
    let dump = DUMP_PHASES.map(|words| ("--kind dump --sql slow.sql", words));
    let base = BASE_PHASES.map(|words| ("--kind base --sql slow.sql", words));
    let mut servers = 0;
    for (line, words) in dump.into_iter().chain(base) {
        for longer in [0, 150] {
            let mut child = world.drill_until(line, words, Duration::from_millis(longer)).await;
            servers += usize::from(world.residents().iter().any(|name| name.trim() == "postgres"));
            kill_process(pid(&child), Signal::KILL).unwrap();
            child.wait().await.unwrap();
            world.nothing_is_left_soon(&format!("killed at {words:?} of {line}")).await;
        }
    }
    assert!(servers >= 4, "only {servers} kills met a running server");
}

/// SIGTERM and SIGINT: nothing is left the moment it has ended.
#[tokio::test]
async fn b17_an_interrupted_drill_has_tidied_up_when_it_ends() {
    let Some(world) = accounting("b17_an_interrupted_drill", |_| {}).await else { return };
    world.archive().await;
    world.good_backup().await;
    world.archived().await;
    for (signal, words) in [
        (Signal::TERM, "the drill needs"),
        (Signal::INT, "restoring base"),
        (Signal::TERM, "replaying WAL"),
        (Signal::TERM, "checking database"),
    ] {
        let mut child = world.drill_until("--sql slow.sql", words, Duration::from_millis(50)).await;
        kill_process(pid(&child), signal).unwrap();
        let status = tokio::time::timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(130), "{words}");
        world.nothing_is_left();
    }
    let listed = world.run_as(Role::Reader, "drill list --json").await.ends(0).json();
    assert_eq!(listed["drills"], serde_json::json!([]), "what was interrupted proves nothing");
    // One that takes too long is given up, and that is evidence. What was not restored to its end is not kept.
    let late = world.drill("--sql slow.sql --timeout 5s --keep --json").await.ends(1).json();
    assert_eq!(late["evidence"]["result"], "error");
    assert!(late["evidence"]["error"].as_str().unwrap().contains("did not end within 5 s"), "{late}");
    assert!(late["stored"].is_string() && late["hint"].as_str().unwrap().contains("drill.timeout"));
    world.nothing_is_left();
}

/// The store goes while the database is checked. What was found is told all the same, nothing is left, and whoever does not
/// want to wait for the store need not.
#[tokio::test]
async fn b17_a_store_that_vanishes_costs_the_evidence_and_not_the_result() {
    let Some(world) = accounting("b17_a_store_that_vanishes", |_| {}).await else { return };
    world.dump().await;
    std::fs::write(world.path("short.sql"), "SELECT pg_sleep(2) IS NOT NULL").unwrap();
    let store = world.store.endpoint().rsplit('/').next().unwrap().parse().unwrap();
    let proxy = Proxy::start(store, Weather::Fair).await;
    let begin = async |deadline: &str| {
        proxy.set(Weather::Fair);
        let mut command = world.drill_as(Role::Writer, "--sql short.sql");
        command.env("AWS_ENDPOINT_URL_S3", proxy.endpoint()).env("STONEWAL_S3_DEADLINE", deadline);
        let mut child = command.env("STONEWAL_AUDIT_MODE", "off").stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        says(&mut lines, "checking database").await;
        (child, lines)
    };
    let (mut child, mut lines) = begin("2s").await;
    proxy.set(Weather::Blackhole);
    says(&mut lines, "the evidence was not stored").await;
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(3), "passed, and not proven");
    world.nothing_is_left();
    let (mut child, mut lines) = begin("1h").await;
    proxy.set(Weather::Refuse);
    says(&mut lines, "storing the evidence").await;
    world.nothing_is_left();
    kill_process(pid(&child), Signal::TERM).unwrap();
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(130));
}

/// Drill and guard are killed: the server may live on until the next drill, which removes it before it begins.
#[tokio::test]
async fn b17_the_next_drill_removes_what_is_left_when_the_guard_died_too() {
    let Some(world) = accounting("b17_the_next_drill", |_| {}).await else { return };
    world.dump().await;
    let mut child = world.drill_until("--sql slow.sql", "checking database", Duration::ZERO).await;
    let guard = world.guard_of(child.id().unwrap()).expect("a guard");
    kill_process(guard, Signal::KILL).unwrap();
    kill_process(pid(&child), Signal::KILL).unwrap();
    child.wait().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(world.residents().iter().any(|name| name.trim() == "postgres"), "this time the server lives on");
    // One that goes on is left alone.
    let mut other = world.drill_until("--sql slow.sql", "checking database", Duration::ZERO).await;
    assert_eq!(names(&world.path("drills")).len(), 1, "the dead one is gone, the living one is there");
    world.drill("--clean").await.ends(0).says(&["running", "stonewal-drill-"]);
    assert_eq!(names(&world.path("drills")).len(), 1);
    kill_process(pid(&other), Signal::TERM).unwrap();
    assert_eq!(other.wait().await.unwrap().code(), Some(130));
    world.nothing_is_left();
}
