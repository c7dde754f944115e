//! Drills of base backups.

use jiff::Timestamp;
use stonewal::postgres::Session;
use stonewal::postgres::server::ServerOptions;
use stonewal::store::roles::Role;

use super::super::world::{World, finished};
use super::{CONFIGURATION, accounting, accounting_on, has};
use crate::support::ledger::Moment;
use crate::support::majors::postgres_majors;

/// To a moment, from a source whose settings would reach out: nothing of it leaves the drill.
#[tokio::test]
async fn b10_b17_a_base_recovers_to_a_moment_and_keeps_to_itself() {
    let Some(world) = accounting("b17_a_base_recovers", |_| {}).await else { return };
    world.archive().await;
    let space = world.source.make_dir("fast").unwrap();
    world.sql(&format!("CREATE TABLESPACE fast LOCATION '{}'", space.display())).await;
    world.sql("CREATE TABLE elsewhere TABLESPACE fast AS SELECT 1 AS n").await;
    for (name, value) in [
        ("shared_preload_libraries", "no_such_library"),
        ("session_preload_libraries", "no_such_library"),
        ("primary_conninfo", "host=192.0.2.1 port=5432"),
        ("listen_addresses", "*"),
        ("external_pid_file", "/nonexistent/pid"),
        ("synchronous_standby_names", "nobody"),
        ("ssl", "on"),
    ] {
        world.sql(&format!("ALTER SYSTEM SET {name} = '{value}'")).await;
    }
    let mut file = std::fs::OpenOptions::new().append(true).open(world.source.data_dir().join("pg_hba.conf")).unwrap();
    std::io::Write::write_all(&mut file, b"host all all 0.0.0.0/0 trust\n").unwrap();
    let base = world.good_backup().await;
    let session = Session::connect(&world.source.socket_conninfo("template1").unwrap(), "clock").await.unwrap();
    // Comes with the WAL; from here on no one logs in to that database of the source.
    let load = "ALTER DATABASE postgres SET session_preload_libraries = 'no_such_library'";
    session.client().batch_execute(load).await.unwrap();
    let before: Timestamp = Moment::now(session.client()).await.unwrap().time;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    session.client().batch_execute("CREATE TABLE public.later (n int)").await.unwrap();
    let archived = "SELECT pg_walfile_name(pg_switch_wal())";
    let last: String = session.client().query_one(archived, &[]).await.unwrap().get(0);
    for _ in 0..600 {
        let sql = "SELECT coalesce(last_archived_wal, '') >= $1 FROM pg_stat_archiver";
        if session.client().query_one(sql, &[&last]).await.unwrap().get(0) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }

    let line = format!("--target-time {before} --sql true.sql --json");
    let drilled = world.drill(&line).await.good().json();
    let evidence = &drilled["evidence"];
    assert_eq!((&evidence["result"], &evidence["recovery_signal"]), (&"passed".into(), &true.into()), "{drilled}");
    assert_eq!(evidence["backup"]["id"], base.as_str());
    assert_eq!((&evidence["reached"]["timeline"], &evidence["requested_at"]), (&1.into(), &before.to_string().into()));
    assert!(has(evidence, "chain audit", "ok") && has(evidence, "sql true", "ok"), "{drilled}");
    let phases: Vec<&str> =
        evidence["phases"].as_array().unwrap().iter().map(|phase| phase["name"].as_str().unwrap()).collect();
    assert_eq!(phases, ["plan", "fetch", "replay", "ready", "checks"]);
    assert!(evidence["rpo_milliseconds"].as_u64().unwrap() < 60_000, "{drilled}");
    assert!(has(evidence, "amcheck", "ok"), "{drilled}");
    world.nothing_is_left();
    let files = std::fs::read_dir(&space).unwrap().count();
    assert!(files > 0, "the source's own tablespace is untouched");
    let plan = world.restore("--plan --json").await.good().json();
    assert_eq!(plan["plan"]["timeline"], 1, "the drill's own timeline was not archived: {plan}");
    // To the end, with the directory kept.
    let kept = world.drill("--kind base --keep --json").await.good().json();
    let data = std::path::PathBuf::from(kept["kept"].as_str().unwrap());
    assert!(data.join("PG_VERSION").exists() && !data.join("postmaster.pid").exists());
    assert!(!data.join("pg_wal/stonewal.recovery").exists(), "no keys are left in it");
    for link in std::fs::read_dir(data.join("pg_tblspc")).unwrap() {
        let to = std::fs::read_link(link.unwrap().path()).unwrap();
        assert!(to.starts_with(data.parent().unwrap()), "{} is outside of the drill", to.display());
    }
    what_is_asked_for_wrongly_of_a_backup_is_evidence(&world, &base).await;
    world.drill("--clean").await.ends(0).says(&["nothing is left"]);
    assert!(data.exists(), "what is kept on purpose is not cleaned away");
    run_by_hand(&world, &kept["kept_server"]);
    assert!(!data.join("postmaster.pid").exists());
}

/// Started again, what was kept reaches out as little as the drill did, and a login loads nothing.
fn run_by_hand(world: &World, kept: &serde_json::Value) {
    let run = |script: &str| {
        let output = std::process::Command::new(kept[script].as_str().unwrap()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    };
    let connect = run("start");
    assert_eq!(kept["connect"], connect.as_str());
    let sql = "SELECT string_agg(setting, ',' ORDER BY name) FROM pg_settings WHERE name IN \
        ('archive_mode', 'listen_addresses', 'primary_conninfo', 'session_preload_libraries', 'ssl')";
    let psql = std::process::Command::new(world.installed.bin_dir.join("psql")).args(["-XAtc", sql, &connect]).output();
    assert_eq!(String::from_utf8(psql.unwrap().stdout).unwrap(), "off,,,,off\n");
    assert_eq!(run("stop"), "");
}

/// What no count and no chain tells: rows deleted from the end before the backup, by what an earlier drill saw; and an index
/// that rotted where no checksum looks (PAINS B13), by amcheck, which the source does not have.
#[tokio::test]
async fn b13_b17_deleted_last_rows_and_a_rotten_index_are_found() {
    let change = |options: &mut ServerOptions| options.data_checksums = Some(false);
    let Some(world) = accounting("b17_deleted_last_rows", change).await else { return };
    world.sql("CREATE TABLE parts AS SELECT md5(i::text) AS name FROM generate_series(1, 5000) i").await;
    world.sql("CREATE INDEX parts_name ON parts (name)").await;
    world.archive().await;
    world.good_backup().await;
    let first = world.drill("--kind base --json").await.good().json();
    let evidence = &first["evidence"];
    assert!(has(evidence, "chain audit", "ok") && has(evidence, "amcheck", "ok"), "{first}");
    let head = world.value("SELECT hash FROM audit_logs WHERE id = 300").await;
    let seen = serde_json::json!([{
        "name": "audit", "database": "postgres", "table": "public.audit_logs", "rows": 300, "head": head
    }]);
    assert_eq!(evidence["chains"], seen);

    world.sql("DELETE FROM audit_logs WHERE id > 290; DELETE FROM companies WHERE id = 50").await;
    std::fs::write(world.path("stonewal.toml"), CONFIGURATION.replace(">= 300", ">= 200")).unwrap();
    let cut = |drilled: &serde_json::Value| {
        let checks = drilled["evidence"]["checks"].as_array().unwrap();
        let detail = checks.iter().find(|check| check["name"] == "chain audit").unwrap()["detail"].as_str().unwrap();
        assert!(detail.starts_with("290 rows, unbroken, but the chain no longer contains the head "), "{detail}");
        assert!(detail.contains(evidence["evidence"].as_str().unwrap()), "{detail}");
        assert_eq!(drilled["evidence"].get("chains"), None, "a chain that lost its end is no witness");
    };
    world.sql("CHECKPOINT").await;
    let file = world.source.data_dir().join(world.value("SELECT pg_relation_filepath('parts_name')").await);
    let mut pages = std::fs::read(&file).unwrap();
    pages.copy_within(2 * 8192..3 * 8192, 8192);
    let index = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&index, &pages[8192..2 * 8192], 8192).unwrap();
    world.good_backup().await;
    let drilled = world.drill("--kind base --json").await.ends(5).json();
    cut(&drilled);
    assert!(has(&drilled["evidence"], "amcheck", "fail") && has(&drilled["evidence"], "indexes", "ok"), "{drilled}");
    let details = drilled["checks"].as_array().unwrap().iter().find(|check| check["name"] == "amcheck").unwrap();
    assert!(details["details"][0].as_str().unwrap().starts_with("public.parts_name: "), "{details}");
    world.dump().await;
    let drilled = world.drill("--kind dump --json").await.ends(5).json();
    cut(&drilled);
    assert!(has(&drilled["evidence"], "rows", "ok"), "{drilled}");

    // Set back on purpose: whoever names the head of that state is answered.
    let named = format!("head = \"{}\"\n", world.value("SELECT hash FROM audit_logs WHERE id = 290").await);
    let configuration = std::fs::read_to_string(world.path("stonewal.toml")).unwrap();
    std::fs::write(world.path("stonewal.toml"), configuration + &named).unwrap();
    let answered = world.drill("--kind dump --no-evidence --json").await.ends(0).json();
    assert!(has(&answered["evidence"], "chain audit", "ok"), "{answered}");
    world.nothing_is_left();
}

/// An import does not tell which databases a cluster has: the recovered server does, and none of them is checked by chance.
#[tokio::test]
async fn b17_an_imported_base_is_drilled_on_the_database_that_is_meant() {
    let Some(world) = accounting("b17_an_imported_base", |_| {}).await else { return };
    world.sql("CREATE DATABASE shop").await;
    world.sql("CREATE DATABASE app TEMPLATE template0").await;
    let from = world.old_base("old", "-X stream");
    world.run_as(Role::Writer, &format!("import base {}", from.display())).await.good();
    let several = world.drill("--kind base --json").await.ends(2).json();
    let error = several["evidence"]["error"].as_str().unwrap();
    assert!(error.contains("several databases (app, shop)") && error.contains("drill.database"), "{several}");
    // It has no table, and nothing was to be compared: passed, with a warning.
    std::fs::write(world.path("stonewal.toml"), "").unwrap();
    let empty = world.drill("--kind base --database shop --no-evidence --json").await.ends(3).json();
    assert!(has(&empty["evidence"], "contents", "warn"), "{empty}");
    world.nothing_is_left();
}

/// It turned out only when there was a backup to drill: then it is told, whose-ever fault it is.
async fn what_is_asked_for_wrongly_of_a_backup_is_evidence(world: &World, base: &str) {
    let mut wrong = world.drill_as(Role::Writer, "--kind base --json");
    wrong.env("STONEWAL_DRILL_DATABASE", "nowhere");
    let told = finished(wrong.spawn().unwrap()).await.ends(2).json();
    let evidence = &told["evidence"];
    assert_eq!((&evidence["result"], &evidence["backup"]["id"]), (&"error".into(), &base.into()), "{told}");
    assert!(evidence["error"].as_str().unwrap().contains("no database nowhere") && told["stored"].is_string());
}

/// The oldest and the newest PostgreSQL; and what such a drill leaves ticks every point of the checklist, its audit record included.
#[tokio::test]
async fn b17_a_drill_of_any_version_completes_the_checklist() {
    let all = postgres_majors("b17_a_drill_of_any_version");
    let ends = all.first().into_iter().chain(all.last().filter(|last| all.first() != Some(last)));
    for installed in ends {
        let world = accounting_on(installed, |_| {}).await;
        let told = "\n[verify]\nrelease_query = \"SELECT name FROM companies WHERE id = 7\"\n";
        let text = std::fs::read_to_string(world.path("stonewal.toml")).unwrap();
        std::fs::write(world.path("stonewal.toml"), text.replacen("\n[verify]\n", told, 1)).unwrap();
        world.archive().await;
        world.good_backup().await;
        let moment = stonewal::observe::clock::host_now();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        // A commit behind the moment; and an idle server has no segment to switch to.
        world.sql("CREATE TABLE later (n int)").await;
        world.archived().await;
        let release = ["--release", "company 7"];
        let open = finished(world.command(Role::Auditor, "checklist").args(release).spawn().unwrap()).await;
        open.ends(5).says(&["[ ] The use of backups is recorded", "[ ] A recovery to a moment was rehearsed"]);
        let mut drill = world.drill_as(Role::Writer, &format!("--kind base --target-time {moment} --json"));
        let drilled = finished(drill.args(release).spawn().unwrap()).await.good().json();
        assert_eq!(drilled["evidence"]["result"], "passed", "{installed:?}: {drilled}");
        for name in ["release", "chain audit", "amcheck"] {
            assert!(has(&drilled["evidence"], name, "ok"), "{name}: {drilled}");
        }
        world.nothing_is_left();
        let done = finished(world.command(Role::Auditor, "checklist").args(release).spawn().unwrap()).await;
        done.ends(0).says(&["[x] The use of backups is recorded", "[x] A recovery to a moment was rehearsed"]);
    }
}
