//! Drills of dumps.

use stonewal::store::Retain as _;
use stonewal::store::roles::Role;

use super::{accounting, has};
use crate::base::world::finished;

/// Restored, checked, timed, signed, locked; and nothing is left of it.
#[tokio::test]
async fn b17_a_dump_comes_back_and_the_proof_of_it_stays() {
    let Some(world) = accounting("b17_a_dump_comes_back", |_| {}).await else { return };
    let space = world.source.make_dir("fast").unwrap();
    world.sql(&format!("CREATE TABLESPACE \"fast; disk\" LOCATION '{}'", space.display())).await;
    world.sql("CREATE TABLE elsewhere (n int) TABLESPACE \"fast; disk\"").await;
    let backup = world.dump().await;
    // Asked of the server itself, whose sessions inherit what drill.nice says.
    let modest = "SELECT current_setting('shared_buffers') = '48MB' AND split_part(regexp_replace(\
        pg_read_file('/proc/self/stat', 0, 4096), '^.*[)] ', ''), ' ', 17)::int >= 13";
    std::fs::write(world.path("modest.sql"), modest).unwrap();
    let line = "--kind dump --sql true.sql --sql modest.sql --rto 10m --rpo 1h --json";
    let mut command = world.drill_as(Role::Writer, line);
    command.env("STONEWAL_DRILL_SHARED_BUFFERS", "48MiB").env("STONEWAL_DRILL_NICE", "13");
    let drilled = finished(command.spawn().unwrap()).await.ends(0).json();
    let evidence = &drilled["evidence"];
    assert_eq!((&evidence["result"], &evidence["kind"]), (&"passed".into(), &"drill".into()), "{drilled}");
    assert_eq!(evidence["backup"]["id"], backup.as_str());
    assert_eq!(evidence["recovery_signal"], serde_json::Value::Null);
    for name in ["rows", "digests", "chain audit", "sql true", "sql modest", "rto", "rpo"] {
        assert!(has(evidence, name, "ok"), "{name}: {drilled}");
    }
    let phases: Vec<&str> =
        evidence["phases"].as_array().unwrap().iter().map(|phase| phase["name"].as_str().unwrap()).collect();
    assert_eq!(phases, ["plan", "ready", "fetch", "checks"]);
    assert!(evidence["rto_milliseconds"].as_u64().unwrap() > 0);
    assert!(evidence["bytes"].as_u64().unwrap() > 1000 && !evidence.to_string().contains("SENTINEL"));
    world.nothing_is_left();
    assert!(std::fs::read_dir(&space).unwrap().count() > 0, "the source's own tablespace is untouched");

    let listed = world.run_as(Role::Reader, "drill list --json").await.ends(0).json();
    assert_eq!(listed["drills"], serde_json::json!([evidence]), "as it was stored");
    let stored = world.versions("/evidence/").await;
    let lock = world.s3(Role::Admin).await.lock_of(&stored[0].key, &stored[0].version).await.unwrap();
    assert!(stored.len() == 1 && lock.is_some(), "it is locked like a backup");
    let audited = world.run_as(Role::Reader, "audit log --json").await.good();
    audited.says(&["\"drill\"", evidence["evidence"].as_str().unwrap()]);
    let shown = world.run_as(Role::Reader, "drill show").await.ends(0);
    shown.says(&["passed", backup.as_str(), "ok    chain audit", "evidence/"]);
}

/// The second playbook of today's users: what the drill finds stops a promotion, and evidence says so without repeating it.
#[tokio::test]
async fn b17_an_altered_row_fails_the_drill_and_its_evidence() {
    let Some(world) = accounting("b17_an_altered_row", |_| {}).await else { return };
    world.sql("UPDATE audit_logs SET action = 'SENTINEL-changed' WHERE id = 123").await;
    world.dump().await;
    let mut command = world.drill_as(Role::Writer, "--json");
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
    let drilled: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let evidence = &drilled["evidence"];
    assert_eq!(evidence["result"], "failed");
    assert!(has(evidence, "chain audit", "fail") && has(evidence, "rows", "ok"), "{drilled}");
    let details = drilled["checks"].as_array().unwrap().iter().find(|check| check["name"] == "chain audit").unwrap();
    assert!(details["details"].to_string().contains("id=123"), "the row is named to whoever runs the drill: {details}");
    assert!(!evidence.to_string().contains("SENTINEL") && !evidence.to_string().contains("id=123"), "{evidence}");
    world.nothing_is_left();
    let listed = world.run_as(Role::Reader, "drill list").await.ends(0);
    listed.says(&["failed"]);
}

/// Each query in the way that its file says; none of them changes anything, and none quotes a row into the evidence.
#[tokio::test]
async fn queries_of_ones_own_must_be_true() {
    let Some(world) = accounting("queries_of_ones_own", |_| {}).await else { return };
    world.dump().await;
    let files = ["true", "false", "silent", "two", "text", "writes", "quotes"];
    let flags: Vec<String> = files.iter().map(|file| format!("--sql {file}.sql")).collect();
    let output = world.drill_as(Role::Writer, &format!("{} --json", flags.join(" "))).output().await.unwrap();
    assert_eq!(output.status.code(), Some(5));
    let drilled: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let detail = |place: &str, name: &str| {
        let all = drilled[place].as_array().or_else(|| drilled[place]["checks"].as_array()).unwrap();
        let check = all.iter().find(|check| check["name"] == name).unwrap();
        format!("{} {}", check["status"].as_str().unwrap(), check["detail"].as_str().unwrap())
    };
    for (file, words) in [
        ("true", "ok true in 1 of 1 rows"),
        ("false", "fail not true in 1 of 50 rows"),
        ("silent", "fail no row"),
        ("two", "multiple commands"),
        ("text", "one boolean column"),
        ("writes", "read-only"),
        ("quotes", "SENTINEL-row"),
    ] {
        let told = detail("checks", &format!("sql {file}"));
        assert!(told.contains(words), "{file}: {told}");
    }
    assert_eq!(detail("evidence", "sql quotes"), "fail could not be checked");
    assert!(!drilled["evidence"].to_string().contains("SENTINEL"));
    world.nothing_is_left();
}

/// An objective that is missed is a failure, and a drill that passed without evidence says so.
#[tokio::test]
async fn objectives_and_evidence_decide_the_exit_code() {
    let Some(world) = accounting("objectives_and_evidence", |_| {}).await else { return };
    world.dump().await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let missed = world.drill("--rto 10m --rpo 1s --json").await.ends(5).json();
    assert!(has(&missed["evidence"], "rpo", "fail") && has(&missed["evidence"], "rto", "ok"), "{missed}");
    assert_eq!(missed["evidence"]["result"], "failed");
    // A reader's credentials cannot add anything: the result is told all the same.
    let unproven = finished(world.drill_as(Role::Reader, "--json").spawn().unwrap()).await.ends(3);
    assert_eq!(unproven.json()["evidence"]["result"], "passed");
    assert!(unproven.json()["not_stored"].as_str().unwrap().contains("s3:PutObject"), "{unproven:?}");
    assert!(unproven.stderr.contains("the evidence was not stored"), "{unproven:?}");
    // Of a backup by lot nobody can say how much it lacks.
    let silent = world.drill("--no-evidence --backup random --rpo 1s").await.ends(0);
    silent.says(&["passed", "RTO", "note  rpo", "not judged: no moment was wanted"]);
    let listed = world.run_as(Role::Reader, "drill list --json").await.ends(0).json();
    assert_eq!(listed["drills"].as_array().unwrap().len(), 1);
    let kept = world.drill("--no-evidence --keep --json").await.ends(0).json();
    let data = std::path::PathBuf::from(kept["kept"].as_str().unwrap());
    assert!(data.join("PG_VERSION").exists() && !data.join("postmaster.pid").exists(), "{}", data.display());
    std::fs::remove_dir_all(data.ancestors().nth(2).unwrap()).unwrap();
    world.nothing_is_left();
}

/// Planted evidence is no evidence: by hand, copied, or renamed.
#[tokio::test]
async fn i06_planted_evidence_is_reported_and_not_listed() {
    let Some(world) = accounting("i06_planted_evidence", |_| {}).await else { return };
    world.dump().await;
    let stored = world.drill("--backup random --json").await.ends(0).json();
    let key = stored["stored"].as_str().unwrap().to_owned();
    let client = crate::support::raw_client(&world.store.endpoint(), &world.store.credentials(Role::Attacker).unwrap());
    let object = client.get_object().bucket("backups").key(&key).send().await.unwrap();
    let body = object.body.collect().await.unwrap().into_bytes();
    let (folder, _) = key.rsplit_once('/').unwrap();
    for (name, body) in [
        (format!("{folder}/20261128T040000Z-0badcafe"), body.to_vec()),
        (format!("{folder}/20261128T040000Z-0badcaff"), b"{}".to_vec()),
        (key.clone(), b"written over".to_vec()),
    ] {
        client.put_object().bucket("backups").key(name).body(body.into()).send().await.unwrap();
    }
    let listed = world.run_as(Role::Reader, "drill list --json").await.ends(3);
    assert_eq!(listed.json()["drills"], serde_json::json!([stored["evidence"]]));
    listed.says(&["forged-evidence", "later-version", "tampering"]);
    let unknown = world.run_as(Role::Reader, "drill show 20261128T040000Z-0badcafe").await.ends(1);
    unknown.says(&["has no evidence called 20261128T040000Z-0badcafe", "stonewal drill list"]);
}
