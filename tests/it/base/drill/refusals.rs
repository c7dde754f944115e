//! What a drill refuses, and when: before anything is fetched.

use stonewal::store::roles::Role;

use super::accounting;
use crate::base::world::{World, finished, usual};
use crate::support::majors::postgres_majors;
use crate::support::skip;

#[tokio::test]
async fn a_drill_refuses_what_it_cannot_do_before_it_begins() {
    let Some(world) = accounting("a_drill_refuses", |_| {}).await else { return };
    world.drill("").await.ends(1).says(&["cluster main has no backup"]);
    let id = world.dump().await;
    let data = world.source.data_dir().display().to_string();
    for (line, code, words) in [
        ("--dir nowhere", 1, "No such file"),
        ("--dir true.sql", 1, "it is not a directory"),
        (&*format!("--dir {data} --no-evidence"), 1, "it lies inside the PostgreSQL cluster"),
        ("--sql missing.sql", 1, "missing.sql: No such file"),
        ("--kind both", 2, "is none of dump, base"),
        ("--backup yesterday", 2, "not the id of a backup"),
        ("--kind dump --target-time 2026-11-24T12:00:00Z", 2, "a dump cannot be recovered to a moment"),
        (&*format!("--backup {id} --kind base"), 2, "is a dump"),
        ("--kind base --no-evidence", 1, "base"),
        ("--schedule at", 2, "is none of systemd, cron"),
    ] {
        world.drill(line).await.ends(code).says(&[words]);
        world.nothing_is_left();
    }
    let requests = world.requests();
    let mut unsigned = world.drill_as(Role::Writer, "");
    unsigned.env_remove("STONEWAL_KEYS_WRITER_FILE");
    finished(unsigned.spawn().unwrap()).await.ends(2).says(&["nothing here can sign evidence", "keys writer"]);
    assert!(world.requests() - requests < 60, "found out before anything is fetched");
    let mut blind = world.drill_as(Role::Writer, "");
    blind.env_remove("STONEWAL_KEYS_IDENTITY_FILE");
    finished(blind.spawn().unwrap()).await.ends(2).says(&["a writer file cannot read data"]);
    let listed = world.run_as(Role::Reader, "drill list --json").await.ends(0).json();
    assert_eq!(listed["drills"], serde_json::json!([]), "what was asked for wrongly is no evidence");
    let units = world.drill("--kind dump --sql true.sql --schedule systemd").await.ends(0);
    units.says(&["drill --kind dump --sql true.sql", "OnCalendar=", "SuccessExitStatus=3"]);
}

/// A file system that is too small is named with what is needed, and nothing is written to it.
#[tokio::test]
async fn b17_too_little_room_is_said_before_it_starts() {
    let Some(world) = accounting("b17_too_little_room", |_| {}).await else { return };
    world.dump().await;
    let small = world.path("small");
    std::fs::create_dir(&small).unwrap();
    let mount =
        std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=20m", "tmpfs"]).arg(&small).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        return skip("b17_too_little_room", "this user may not mount a small file system");
    }
    let drilled = world.drill(&format!("--dir {} --json", small.display())).await;
    let left = std::fs::read_dir(&small).unwrap().count();
    assert!(std::process::Command::new("umount").arg(&small).status().unwrap().success());
    let drilled = drilled.ends(1).says(&["the drill needs", "20.0 MiB are free"]);
    let document = drilled.json();
    assert!(document["error"].as_str().unwrap().contains("are free"), "{document}");
    assert!(document["hint"].as_str().unwrap().contains("drill.dir"));
    let evidence = &document["evidence"];
    assert_eq!((&evidence["result"], &evidence["bytes"], left), (&"error".into(), &0.into(), 0));
}

/// The source is newer than anything that this host runs.
#[tokio::test]
async fn b17_a_missing_major_is_named_with_its_package() {
    let (Some(old), all) = (usual("b17_a_missing_major"), postgres_majors("b17_a_missing_major")) else { return };
    let Some(new) = all.iter().find(|one| one.major > old.major && !one.bin_dir.starts_with("/usr/lib")) else {
        return skip("b17_a_missing_major", "one PostgreSQL that the system does not know of");
    };
    let world = World::on(new, |_| {}).await;
    world.good_backup().await;
    std::fs::create_dir(world.path("drills")).unwrap();
    let mut command = world.drill_as(Role::Writer, "--no-evidence");
    command.env("STONEWAL_POSTGRES_BIN_DIR", &old.bin_dir);
    let words = format!("postgresql-{}", new.major);
    finished(command.spawn().unwrap()).await.ends(1).says(&[&words, "are not installed here"]);
    world.nothing_is_left();
}
