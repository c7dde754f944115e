//! There and back: every version, tablespaces, an idle server.

use std::path::Path;

use stonewal::store::roles::Role;

use super::world::{World, names, value};
use crate::support::majors::postgres_majors;

const DIGEST: &str = "SELECT count(*) || ' ' || md5(string_agg(t::text, ',' ORDER BY id)) FROM ledger t";

async fn fill(world: &World) {
    world
        .sql("CREATE TABLE ledger AS SELECT i AS id, md5(i::text) || md5((-i)::text) AS body FROM generate_series(1, 60000) i")
        .await;
    world.sql("CREATE INDEX ON ledger (body)").await;
}

/// B1: no archive, nothing after the backup. Every version of PostgreSQL that is here.
#[tokio::test]
async fn b01_an_idle_cluster_restores_by_itself() {
    for installed in postgres_majors("b01_an_idle_cluster") {
        let world = World::on(&installed, |_| {}).await;
        fill(&world).await;
        let backup = world.good_backup().await;
        let slots = world.value("SELECT count(*) FROM pg_replication_slots").await;
        assert_eq!(slots, "0", "the temporary slot is gone");
        let expected = world.value(DIGEST).await;

        let data = world.path("restored");
        let done = world.restore(&format!("--dir {} --json", data.display())).await.good().json();
        assert_eq!(done["restored"]["backup"], backup.as_str());
        world.verify_files(&data);
        assert!(names(&world.path("")).iter().all(|name| !name.contains("stonewal-restore")));
        let server = world.recover(&data, "second").await;
        assert_eq!(value(&server, DIGEST).await, expected, "{installed:?}");
        assert_eq!(value(&server, "SELECT timeline_id FROM pg_control_checkpoint()").await, "2");
        assert!(!data.join("pg_wal/stonewal.recovery").exists(), "the keys are gone with recovery's end");
        assert!(!data.join("recovery.signal").exists() && !data.join("stonewal.restore").exists());
        // As intact as PostgreSQL can tell.
        value(&server, "SELECT sum(length(body)) FROM ledger").await;
    }
}

/// PAINS B10. Two tablespaces, restored on the host where they live.
#[tokio::test]
async fn tablespaces_go_where_they_are_told_and_nowhere_else() {
    let Some(world) = World::new("tablespaces").await else { return };
    for space in ["one", "two"] {
        let at = world.source.make_dir(space).unwrap();
        world.sql(&format!("CREATE TABLESPACE {space} LOCATION '{}'", at.display())).await;
        world.sql(&format!("CREATE TABLE in_{space} TABLESPACE {space} AS SELECT generate_series(1, 5000) AS n")).await;
    }
    world.good_backup().await;
    let (one, two) = (world.path("pg/one"), world.path("pg/two"));
    let live = tree(&one);

    let bare = world.restore(&format!("--dir {}", world.path("r").display())).await.ends(2);
    bare.says(&["tablespaces that were not given a place", &format!("--tablespace {}=DIR", two.display())]);
    let onto_itself = format!(
        "--dir {} --tablespace {}={} --tablespace {}={}",
        world.path("r").display(),
        one.display(),
        one.display(),
        two.display(),
        world.path("new2").display()
    );
    world.restore(&onto_itself).await.ends(1).says(&["is not empty"]);
    assert!(!world.path("r").exists() && !world.path("new2").exists(), "nothing was written");

    let flags = onto_itself.replacen(&format!("={}", one.display()), &format!("={}", world.path("new1").display()), 1);
    world.restore(&flags).await.good();
    let server = world.recover(&world.path("r"), "second").await;
    assert_eq!(
        value(&server, "SELECT (SELECT sum(n) FROM in_one) || ' ' || (SELECT sum(n) FROM in_two)").await,
        "12502500 12502500"
    );
    let locations = "SELECT string_agg(pg_tablespace_location(oid), ' ' ORDER BY spcname) FROM pg_tablespace WHERE spcname IN ('one', 'two')";
    let expected = format!("{} {}", world.path("new1").display(), world.path("new2").display());
    assert_eq!(value(&server, locations).await, expected);
    value(&server, "SELECT count(*) FROM in_one").await;
    assert_eq!(tree(&one), live, "the live tablespace is untouched");
    assert_eq!(world.value("SELECT sum(n) FROM in_one").await, "12502500");
}

/// Paths and lengths below a directory.
fn tree(dir: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let (path, metadata) = (entry.path(), entry.metadata().unwrap());
        if metadata.is_dir() {
            found.extend(tree(&path));
        }
        found.push((path.display().to_string(), metadata.len()));
    }
    found.sort();
    found
}

/// Dumps and bases lie side by side; each command takes the latest of its own kind.
#[tokio::test]
async fn the_latest_dump_is_a_dump_whatever_came_after() {
    let Some(world) = World::new("kinds").await else { return };
    fill(&world).await;
    let none = world.run_as(Role::Reader, "restore dump latest --to-stdout").await;
    none.ends(1).says(&["cluster main has no dump", "stonewal backup dump"]);
    let dump = format!("backup dump --globals no-passwords --json --from {}", world.url());
    let dump = world.run_as(Role::Writer, &dump).await.good().json()["backup"].as_str().unwrap().to_owned();
    let base = world.good_backup().await;
    let latest = world.run_as(Role::Reader, "restore dump latest --to-stdout").await.good();
    assert!(latest.stdout.contains("CREATE TABLE public.ledger"), "{}", latest.stderr);
    let by_id = world.run_as(Role::Reader, &format!("restore dump {dump} --to-stdout")).await.good();
    assert_eq!(by_id.stdout, latest.stdout);
    let wrong = world.run_as(Role::Reader, &format!("restore dump {base} --to-stdout")).await;
    wrong.ends(2).says(&["is a base", &format!("stonewal restore base {base}")]);
    let shown = world.run_as(Role::Reader, "show latest --json").await.good().json();
    assert!(shown.to_string().contains(&base), "show takes any kind");
}
