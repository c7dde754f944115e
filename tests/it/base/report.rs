//! The report of a real repository, and its page in a real browser.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use stonewal::catalog::{Access, Repository, publish_evidence};
use stonewal::format::evidence::Evidence;
use stonewal::format::names::Names;
use stonewal::keys::WriterFile;
use stonewal::observe::clock::host_now;
use stonewal::store::roles::Role;
use stonewal::store::{Append as _, ObjectKey, Put, S3};

use super::world::World;
use crate::support::skip;

/// Two base backups and a dump, WAL behind the first, and a segment that is missing before the second.
async fn eventful(test: &str) -> Option<World> {
    let world = World::new(test).await?;
    world.sql("CREATE TABLE deed (id int)").await;
    world.good_backup().await;
    let first = segment(&world).await;
    let second = segment(&world).await;
    let third = segment(&world).await;
    push(&world, &first).await;
    push(&world, &third).await;
    world.good_backup().await;
    let url = world.url();
    let mut dump = world.command(Role::Writer, "backup dump --json");
    dump.env("DATABASE_URL", &url).env("PATH", "/usr/bin:/bin");
    super::world::finished(dump.spawn().unwrap()).await.good();
    assert_ne!(first, second);
    Some(world)
}

/// Fills the segment under way, and names its file.
async fn segment(world: &World) -> PathBuf {
    world.sql("INSERT INTO deed SELECT generate_series(1, 100)").await;
    let name = world.value("SELECT pg_walfile_name(pg_switch_wal())").await;
    world.source.data_dir().join("pg_wal").join(name)
}

async fn push(world: &World, file: &Path) {
    let mut command = world.command(Role::Writer, "wal push");
    command.arg(file);
    super::world::finished(command.spawn().unwrap()).await.good();
}

async fn document(world: &World) -> Value {
    document_of(world, 0).await
}

async fn document_of(world: &World, exit: i32) -> Value {
    settled(world, "report --json").await.ends(exit).json()
}

/// WAL behind a hole that came a moment ago may only have been overtaken; here nothing is on its way any more.
async fn settled(world: &World, line: &str) -> super::world::Finished {
    let mut command = world.command(Role::Auditor, line);
    command.env("STONEWAL_STATUS_MAX_LAG", "1s");
    super::world::finished(command.spawn().unwrap()).await
}

/// PAINS A16, C3: what an auditor asks about, from the bucket and with an auditor's rights.
#[tokio::test(flavor = "multi_thread")]
async fn i09_a_report_tells_backups_gaps_and_locks_to_an_auditor() {
    let Some(world) = eventful("report").await else { return };
    let report = document(&world).await;
    let [cluster] = report["clusters"].as_array().unwrap().as_slice() else { panic!("{report}") };
    assert_eq!(cluster["cluster"], "main");
    let backups = cluster["backups"].as_array().unwrap();
    assert_eq!(backups.len(), 3);
    for backup in backups {
        assert_eq!((&backup["whole"], &backup["plan"]), (&"yes".into(), &"keep".into()), "{backup}");
        assert_eq!(backup["lock"], "to-extend", "a lock of 35 days, a need of 42: {backup}");
        assert!(backup["locked_until"].is_string() && backup["lock_mode"] == "governance", "{backup}");
    }
    let [line] = cluster["wal"].as_array().unwrap().as_slice() else { panic!("{cluster}") };
    let runs = line["runs"].as_array().unwrap();
    assert!(runs.len() >= 2 && runs.iter().all(|run| run["arrived"]["from"].is_string()), "{line}");
    let missing = line["missing"].as_array().unwrap();
    assert!(!missing.is_empty(), "the second segment is nowhere: {line}");
    let periods = cluster["restorable"].as_array().unwrap();
    assert_eq!(periods.len(), 2, "one behind each base, and no moment between: {periods:?}");
    assert!(periods[0]["to"].as_str().unwrap() < periods[1]["from"].as_str().unwrap());
    assert_eq!(report["findings"]["counts"], serde_json::json!({}));
    let soonest = &cluster["locks"]["soonest"];
    assert!(soonest["until"].as_str() <= backups[2]["locked_until"].as_str(), "{cluster}");

    // A hold is told, and so is the gap, in words.
    let held = backups[0]["backup"].as_str().unwrap();
    world.run_as(Role::Admin, &format!("hold add {held}")).await.good();
    let told = settled(&world, "report --markdown").await.ends(0);
    assert!(told.stdout.contains(", under legal hold") && told.stdout.contains("| missing"), "{}", told.stdout);
    let first = format!("{} is unlocked first", soonest["key"].as_str().unwrap());
    assert!(told.stdout.contains(&first), "{first}: {}", told.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_repository_has_a_report() {
    let Some(world) = World::new("report of nothing").await else { return };
    let report = document(&world).await;
    assert_eq!(report["clusters"], serde_json::json!([]));
    world.run_as(Role::Auditor, "report").await.ends(0).says(&["Nothing has been backed up"]);
    // A cluster that is named and is not there is at risk, and said to be.
    let named = world.run_as(Role::Auditor, "report --cluster other --json").await.ends(0).json();
    assert_eq!(named["clusters"][0]["health"], "red");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_takes_the_place_of_the_last_one_and_of_nothing_else() {
    let Some(world) = World::new("report into a file").await else { return };
    world.run_as(Role::Auditor, "report --into report.html").await.ends(0).says(&["report.html: 0 clusters"]);
    let page = std::fs::read_to_string(world.path("report.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    let json = world.run_as(Role::Auditor, "report --into report.html --json").await.ends(0).json();
    assert!(json["at"].is_string(), "the page in the file, the document on standard output");
    world.run_as(Role::Auditor, "report --into no/such/report.html").await.ends(1).says(&["no/such/report.html"]);
    world.run_as(Role::Auditor, "report --markdown --json").await.ends(2).says(&["two documents"]);
}

/// Signs and stores evidence of a drill to the end of the WAL, as a writer's host does; gives back its id and object.
async fn drilled(world: &World, backup: &str, hours: i64, passed: bool) -> (String, ObjectKey, Arc<S3>) {
    drilled_to(world, backup, hours, passed, None).await
}

async fn drilled_to(
    world: &World,
    backup: &str,
    hours: i64,
    passed: bool,
    target: Option<Timestamp>,
) -> (String, ObjectKey, Arc<S3>) {
    let credentials = world.store.credentials(Role::Writer).unwrap();
    let secret = credentials.secret_key.expose_secret();
    let options = crate::support::options(&world.store.endpoint(), "backups", &credentials.access_key, secret);
    let store = Arc::new(S3::connect(options).await.unwrap());
    let writer = SecretString::from(std::fs::read_to_string(world.path("writer")).unwrap());
    let access = Access::Writer(Box::new(WriterFile::decode(&writer).unwrap()));
    let names = Names::new("prod").unwrap();
    let repository = Repository::open(store.clone(), names, access, "s3://backups/prod").await.unwrap();
    let started = host_now() - jiff::SignedDuration::from_hours(hours);
    let evidence: Evidence = serde_json::from_value(json!({
        "format": 1, "repository": repository.id(), "cluster": "main", "kind": "drill", "stonewal": "0.1.0", "host": "d<1>",
        "evidence": format!("{}-0000d00{hours}", started.strftime("%Y%m%dT%H%M%SZ")),
        "started_at": started, "finished_at": started, "requested_at": started, "newest_committed_at": started,
        "request": {"choice": "latest", "time": target, "lsn": null},
        "backup": {"id": backup, "kind": "base", "manifest_sha256": "ab".repeat(32)},
        "server_version": "15.18", "reached": null, "recovery_signal": true, "bytes": 1, "wal_bytes": 1,
        "phases": [{"name": "fetch", "milliseconds": 240_000}, {"name": "replay", "milliseconds": 90_000}],
        "rto_milliseconds": 330_000, "rpo_milliseconds": 2_500,
        "objectives": {"rto_milliseconds": 1_800_000, "rpo_milliseconds": 900_000},
        "checks": [{"name": "tables", "status": if passed { "ok" } else { "fail" }, "detail": "1 table"}],
        "release": null, "result": if passed { "passed" } else { "failed" }, "error": null
    }))
    .unwrap();
    let key = publish_evidence(&*store, &repository, &evidence, None).await.unwrap();
    (evidence.evidence.to_string(), key, store)
}

/// PAINS B17: what drills measured goes where people look for it, and only genuine evidence does.
#[tokio::test(flavor = "multi_thread")]
async fn drills_are_told_and_fill_the_table_of_a_document() {
    let Some(world) = World::new("report of drills").await else { return };
    let backup = world.good_backup().await;
    let document = "# DR\r\n<!-- stonewal:dr -->\r\n<!-- /stonewal:dr -->\r\nOurs.";
    std::fs::write(world.path("DR.md"), document).unwrap();
    let refresh = "report dr --into DR.md";
    world.run_as(Role::Auditor, refresh).await.ends(3).says(&["cluster main was never drilled"]);

    drilled(&world, &backup, 2, false).await;
    let (newest, key, store) = drilled(&world, &backup, 1, true).await;
    world.run_as(Role::Auditor, refresh).await.ends(0).says(&["DR.md: 1 cluster"]);
    let written = std::fs::read_to_string(world.path("DR.md")).unwrap();
    let row = "| main | 30 min | 5 min 30 s | 5 min 30 s | 15 min | 2.5 s | 2.5 s |";
    assert!(
        written.contains(row) && written.starts_with("# DR\r\n<!--") && written.ends_with("-->\r\nOurs."),
        "{written}"
    );
    assert_eq!(written.matches('\n').count(), written.matches("\r\n").count());
    std::fs::write(world.path("bare.md"), "# DR\n").unwrap();
    world.run_as(Role::Auditor, "report dr --into bare.md").await.ends(2).says(&["bare.md", "put the lines"]);
    world.run_as(Role::Auditor, "report dr --into none.md").await.ends(1).says(&["none.md"]);
    assert_eq!(std::fs::read_to_string(world.path("bare.md")).unwrap(), "# DR\n");

    let report = document_of(&world, 0).await;
    let drills = report["clusters"][0]["drills"].as_array().unwrap();
    assert_eq!(drills.len(), 2);
    assert_eq!((drills[0]["evidence"].as_str(), &drills[1]["result"]), (Some(newest.as_str()), &json!("failed")));
    // A copy under another name, and something that is no evidence, are findings and no drills.
    let body = store_get(&store, &key).await;
    for (name, body) in [("20260101T000000Z-00000000", body), ("20260101T000001Z-00000000", b"{}".to_vec().into())] {
        let key = ObjectKey::new(format!("prod/main/evidence/{name}"));
        store.put(Put { key, body, lock: None }).await.unwrap();
    }
    let report = document_of(&world, 3).await;
    assert_eq!(report["clusters"][0]["drills"].as_array().unwrap().len(), 2);
    assert_eq!(report["findings"]["counts"]["forged-evidence"], 2, "{}", report["findings"]);
}

async fn store_get(store: &S3, key: &ObjectKey) -> bytes::Bytes {
    use stonewal::store::{ListQuery, Read as _};
    let query = ListQuery { prefix: key.to_string(), by_folder: false };
    let page = store.list_page(&query, None).await.unwrap();
    let entry = &page.entries[0];
    store.get(key, &entry.version, 0..entry.bytes).await.unwrap()
}

/// PAINS B17: each point rests on something that is there, and the exit code says whether all do.
#[tokio::test(flavor = "multi_thread")]
async fn a_checklist_is_ticked_by_what_is_there_and_by_nothing_else() {
    let Some(world) = World::new("checklist").await else { return };
    world.run_as(Role::Auditor, "checklist").await.ends(5).says(&["no clusters"]);
    let backup = world.good_backup().await;
    assert_eq!(ticked(&world, "").await, ["encrypted", "wal-window"]);
    world.run_as(Role::Auditor, "checklist").await.ends(5).says(&[
        "[x] Stored backups are encrypted and whole",
        "sealed by AES-256-GCM",
        "[ ] A recovery to a moment was rehearsed",
        "hint: run `stonewal drill --kind base --target-time TIME`",
    ]);
    drilled(&world, &backup, 3, false).await;
    assert_eq!(ticked(&world, "").await, ["encrypted", "wal-window"], "a drill that failed ticks nothing");
    drilled_to(&world, &backup, 2, true, Some(host_now())).await;
    // One to the end afterwards does not take the moment back, and by itself rehearses none: the unit tests say so.
    drilled(&world, &backup, 1, true).await;
    let rehearsed = ["encrypted", "wal-window", "restored", "point-in-time", "verified"];
    assert_eq!(ticked(&world, "").await, rehearsed);
    // Nobody recorded that drill, and it names no release.
    let open = world.run_as(Role::Auditor, "checklist --markdown --release 4f2a91c").await.ends(5);
    assert!(open.stdout.contains("# Checklist of cluster main: 5 of 7"), "{}", open.stdout);
    assert!(
        open.stdout.contains("- [ ] **The use of backups is recorded**: the audit log knows nothing"),
        "{}",
        open.stdout
    );
    let page = world.run_as(Role::Auditor, "report").await.ends(0).stdout;
    assert!(page.contains("Checklist: 5 of 7"), "the page has the same list");
}

async fn ticked(world: &World, flags: &str) -> Vec<String> {
    let document = world.run_as(Role::Auditor, &format!("checklist --json {flags}")).await.ends(5).json();
    assert_eq!(document["clusters"][0]["ticked"], false);
    let points = document["clusters"][0]["checklist"].as_array().unwrap();
    let ticked = points.iter().filter(|point| point["ticked"] == true);
    ticked.map(|point| point["name"].as_str().unwrap().to_owned()).collect()
}

/// The browser and what drives it.
fn browser() -> Option<&'static str> {
    let works = |program: &str| Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success());
    let found = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|program| works(program));
    if found.is_none() || !works("python3") {
        skip("the report's page in a browser", "chromium or python3 is not installed");
        return None;
    }
    found
}

/// Every part of the page has its colours where they belong, by day and by night; it is silent, asks for nothing, fits a
/// telephone and prints.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_stands_by_itself_in_a_real_browser() {
    let Some(browser) = browser() else { return };
    let Some(world) = eventful("report in a browser").await else { return };
    let backup = world.run_as(Role::Auditor, "list --json").await.good().json();
    let backup = backup["backups"][0]["backup"].as_str().unwrap();
    drilled(&world, backup, 2, false).await;
    drilled(&world, backup, 1, true).await;
    world.run_as(Role::Auditor, "report --into report.html").await.ends(0);
    let shapes = [
        "hero",
        "tile",
        "good-bar",
        "wal-bar",
        "hole-bar",
        "warn-bar",
        "later-bar",
        "base-sign",
        "dump-sign",
        "need-sign",
        "phase-2",
        "phase-3",
        "ok-sign",
        "bad-sign",
    ];
    let seen = look(browser, &world.path("report.html"), &world.path(""), &shapes);
    assert!(seen["charts"].as_u64() >= Some(2), "{seen}");
}

#[track_caller]
fn look(browser: &str, page: &Path, folder: &Path, shapes: &[&str]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/base/report/look.py");
    let output = Command::new("python3").arg(script).arg(browser).arg(page).arg(folder).args(shapes).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}
