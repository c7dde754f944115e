//! Targets, directories and moments that are refused before anything is written.

use stonewal::store::roles::Role;

use super::world::{World, finished, names};

/// PAINS B11.
#[tokio::test]
async fn what_cannot_be_restored_to_is_refused_with_the_reason() {
    let Some(world) = World::new("refusals").await else { return };
    let dir = world.path("restored");
    let to = format!("--dir {}", dir.display());
    world.restore(&to).await.ends(1).says(&["the cluster has no base backup", "stonewal backup base"]);
    let id = world.good_backup().await;
    let data = world.source.data_dir().to_owned();

    let refusals: [(String, i32, &[&str]); 9] = [
        (format!("--dir {}", data.display()), 1, &["it holds a PostgreSQL cluster, which is running"]),
        (format!("--dir {}", data.join("sub").display()), 1, &["lies inside the PostgreSQL cluster at"]),
        (format!("{to} --target-time 2020-01-01T00:00:00Z"), 1, &["lies before the end of base", &id]),
        (
            format!("{to} --target-time 2120-01-01T00:00:00Z"),
            1,
            &["no transaction after 2120-01-01T00:00:00Z is stored"],
        ),
        (format!("{to} --target-lsn FFFF/0"), 1, &["lies behind the stored WAL"]),
        (format!("{to} --target-timeline 7"), 1, &["nothing of timeline 7 is stored"]),
        (format!("20200101T000000Z-00000000 {to}"), 1, &["20200101T000000Z-00000000 is no base backup"]),
        (format!("{to} --action pause"), 2, &["need a target"]),
        (format!("{to} --wal none"), 2, &["use it with --target-immediate"]),
    ];
    for (flags, code, words) in refusals {
        world.restore(&flags).await.ends(code).says(words);
        assert!(
            !dir.exists() && !names(&world.path("")).iter().any(|name| name.contains("stonewal-restore")),
            "{flags}"
        );
    }
    let mut unconfirmed = world.command(Role::Reader, &format!("restore base {to}"));
    unconfirmed.env_remove("CONFIRM_PITR");
    finished(unconfirmed.spawn().unwrap()).await.ends(2).says(&["was not confirmed", "CONFIRM_PITR=true"]);
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("thesis"), "mine").unwrap();
    world.restore(&to).await.ends(1).says(&["it is not empty"]);
    assert_eq!(names(&dir), ["thesis"]);
}

/// `show` and `verify` know what a base is.
#[tokio::test]
async fn bases_are_listed_shown_and_verified() {
    let Some(world) = World::new("bases_are_listed").await else { return };
    let id = world.good_backup().await;
    world.run_as(Role::Reader, "list").await.ends(0).says(&[&id, "base"]);
    let shown = world.run_as(Role::Reader, "show").await.ends(0);
    shown.says(&["kind", "base", "recovers to", "backup_manifest", "data checksums", "files"]);
    world.run_as(Role::Writer, "show").await.ends(0).says(&["data checksums"]);
    for level in ["list", "checksum", "decrypt"] {
        world.run_as(Role::Reader, &format!("verify --level {level}")).await.ends(0);
    }
    // The latest dump is none of them.
    let dump = world.run_as(Role::Reader, "restore dump latest --to-stdout").await;
    dump.ends(1).says(&["cluster main has no dump", "stonewal backup dump"]);
    let plan = world.restore("--plan").await.ends(0);
    plan.says(&["plan of a recovery to the end of the stored WAL", &id, "window", "TIMELINE"]);
}
