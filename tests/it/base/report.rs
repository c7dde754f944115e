//! The report of a real repository, and its page in a real browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use stonewal::store::roles::Role;

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
    world.run_as(Role::Auditor, "report --json").await.ends(0).json()
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

    // A hold, and something planted, are told; the exit code says that there is something to look at.
    let held = backups[0]["backup"].as_str().unwrap();
    world.run_as(Role::Admin, &format!("hold add {held}")).await.good();
    let planted = world.run_as(Role::Auditor, "report --markdown").await.ends(0);
    assert!(
        planted.stdout.contains(", under legal hold") && planted.stdout.contains("| missing"),
        "{}",
        planted.stdout
    );
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
