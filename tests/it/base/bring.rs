//! Old base backups come over: what the real `pg_basebackup` wrote, in each of its forms, with WAL that an archive kept; and every way
//! in which such a thing can be wrong.

use std::path::{Path, PathBuf};

use stonewal::store::roles::Role;

use super::archive::archiving;
use super::world::{World, names, usual, value};

impl World {
    fn program(&self, name: &str, arguments: &str) {
        let mut command = std::process::Command::new(self.installed.bin_dir.join(name));
        let done = command.args(arguments.split(' ')).args(["-d", &self.url()]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    pub(super) fn old_base(&self, name: &str, flags: &str) -> PathBuf {
        let to = self.path(name);
        self.program("pg_basebackup", &format!("--no-sync -c fast -D {} {flags}", to.display()));
        to
    }

    async fn import(&self, what: &str) -> super::world::Finished {
        self.run_as(Role::Writer, &format!("import base {what}")).await
    }

    /// A copy of something with which something has been done; gives where it is.
    fn spoilt(&self, name: &str, of: &Path, script: &str) -> String {
        let to = self.path(name);
        shell(&format!("cp -a {} {} && cd {} && {script}", at(of), at(&to), at(&to)));
        at(&to)
    }

    /// Objects written for the cluster.
    fn stored(&self) -> usize {
        let log = std::fs::read_to_string(self.path("requests.jsonl")).unwrap();
        log.lines().filter(|line| line.contains("PutObject") && line.contains("/main/")).count()
    }

    /// Lets the server archive as of old, and gives the directory.
    async fn old_archive(&self) -> PathBuf {
        let wal = self.source.make_dir("old").unwrap();
        self.sql(&format!("ALTER SYSTEM SET archive_command = 'cp \"%p\" \"{}/%f\"'", wal.display())).await;
        self.sql("SELECT pg_reload_conf()").await;
        wal
    }
}

fn at(path: &Path) -> String {
    path.display().to_string()
}

fn shell(script: &str) {
    let done = std::process::Command::new("bash").args(["-euo", "pipefail", "-c", script]).output().unwrap();
    assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A script for every segment `$s` in a directory.
fn on_segments(script: &str) -> String {
    format!("for s in $(ls | grep -E '^[0-9A-F]{{24}}$'); do {script}; done")
}

fn segments(dir: &Path) -> Vec<String> {
    names(dir).into_iter().filter(|name| name.len() == 24 && !name.contains('.')).collect()
}

/// Tars, compressed, with a tablespace; WAL partly compressed; a moment in it. Then again: nothing is stored twice.
#[tokio::test]
async fn tars_of_old_restore_to_a_moment_in_their_wal() {
    let Some(installed) = usual("tars_of_old") else { return };
    let world = World::on(&installed, archiving).await;
    let wal = world.old_archive().await;
    let space = world.source.make_dir("one").unwrap();
    world.sql(&format!("CREATE TABLESPACE one LOCATION '{}'", space.display())).await;
    world.sql("CREATE TABLE far (n int) TABLESPACE one").await;
    world.sql("INSERT INTO far SELECT generate_series(1, 1000)").await;
    let base = world.old_base("tars", "-Ft -z -X stream");
    world.sql("INSERT INTO far SELECT generate_series(1, 100)").await;
    let moment =
        world.value("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')").await;
    world.sql("INSERT INTO far SELECT generate_series(1, 10)").await;
    world.archived().await;
    // As in a directory that somebody tidied up.
    let first = segments(&wal).swap_remove(0);
    shell(&format!(
        "cd {0} && gzip {first} && for s in $(ls | grep -E '^[0-9A-F]{{24}}$' | head -1); do zstd -q --rm $s; done",
        wal.display()
    ));

    let done = world.import(&format!("{} --wal {} --json", base.display(), wal.display())).await.good().json();
    assert!(done["wal_stored"].as_u64().unwrap() >= 3, "{done}");
    let id = done["backup"].as_str().unwrap();
    world.run_as(Role::Reader, &format!("show {id}")).await.ends(0).says(&["imported", "tars", "taken"]);
    world.run_as(Role::Reader, "verify --level decrypt").await.good();
    world.run_as(Role::Admin, "retention plan").await.good().says(&[id]);
    world.run_as(Role::Admin, "audit log").await.good().says(&["import.base"]);

    let (data, to) = (world.path("r"), world.path("space"));
    let mapping = format!("--tablespace {}={}", space.display(), to.display());
    world.restore(&format!("--dir {} {mapping} --target-time {moment}+00:00", data.display())).await.good();
    let server = world.recover(&data, "second").await;
    assert_eq!(value(&server, "SELECT count(*) FROM far").await, "1100");
    assert!(!names(&to).is_empty() && !data.join("tablespace_map").exists());

    let line = format!("{} --wal {} --json", base.join("base.tar.gz").display(), wal.display());
    let again = world.import(&line).await.good().json();
    assert_eq!((&again["wal_stored"], &again["wal_already"]), (&0.into(), &done["wal_stored"]));
}

/// A data directory that was a backup restores by itself; what is not whole, of two clusters, or no backup is named, and nothing is
/// stored of it.
#[tokio::test]
async fn what_is_no_whole_backup_is_refused_before_anything_is_stored() {
    let Some(installed) = usual("no_whole_backup") else { return };
    let world = World::on(&installed, archiving).await;
    let wal = world.old_archive().await;
    world.sql("CREATE TABLE kept AS SELECT generate_series(1, 5000) AS n").await;
    let plain = world.old_base("plain", "-Fp -X stream --manifest-checksums=SHA256");
    let tars = world.old_base("tars", "-Ft -X stream");
    world.archived().await;
    let spoilt = |name: &str, of: &Path, script: &str| world.spoilt(name, of, script);
    let control = "printf X | dd of=PG_VERSION conv=notrunc status=none";
    let flip = "f=$(ls base/1/*| head -1); printf X | dd of=$f bs=1 seek=100 conv=notrunc status=none";
    // The system identifier in the first page.
    let foreign =
        spoilt("foreign", &wal, "for s in *; do printf XXXX | dd of=$s bs=1 seek=24 conv=notrunc status=none; done");
    let first = segments(&plain.join("pg_wal")).swap_remove(0);
    let torn =
        spoilt("torn", &wal, &on_segments("dd if=/dev/zero of=$s bs=8192 seek=1 count=1 conv=notrunc status=none"));
    let swollen = spoilt("swollen", &wal, "head -c 2000000 /dev/zero > 00000009.history");
    let (long, short) = ("x".repeat(120), [first.as_str(), "is not whole", "1000000"]);
    let refused: Vec<(String, i32, &[&str])> = vec![
        (spoilt("w1", &plain, &format!("truncate -s 1000000 pg_wal/{first}")), 4, &short),
        (format!("{} --wal {torn}", at(&plain)), 4, &["is not whole", "is damaged, and good ones follow", "--wal DIR"]),
        (format!("{} --wal {swollen}", at(&plain)), 4, &["00000009.history", "a few lines"]),
        (spoilt("n1", &plain, &format!("mkdir base/1/{long}")), 4, &["no backup has such a name"]),
        (
            spoilt("n2", &plain, "mkdir ../sp && ln -s x ../sp/l && ln -s $(realpath ../sp) pg_tblspc/99"),
            4,
            &["pg_tblspc/99/l is a link"],
        ),
        (at(world.source.data_dir()), 4, &["postmaster.pid", "stonewal backup base"]),
        (spoilt("s1", &plain, "rm backup_label"), 4, &["without backup_label"]),
        (spoilt("s2", &plain, flip), 4, &["base/1/", "is damaged", "backup_manifest"]),
        (spoilt("s3", &plain, "rm base/1/PG_VERSION"), 4, &["base/1/PG_VERSION is missing"]),
        (spoilt("s4", &plain, "echo 1 > base/1/99999"), 4, &["base/1/99999 is not in backup_manifest"]),
        (spoilt("s5", &plain, "rm backup_manifest"), 4, &["has no backup_manifest"]),
        (
            spoilt("s6", &plain, "sed -i 's/CRC/CRD/; s/PG_VERSION/PG_VERSIOM/' backup_manifest"),
            4,
            &["its own checksum"],
        ),
        (spoilt("s7", &plain, &format!("rm pg_wal/{first}")), 4, &["WAL", "--wal DIR"]),
        (spoilt("s8", &plain, control), 4, &["PG_VERSION is damaged"]),
        (format!("{} --wal {foreign}", at(&plain)), 4, &["it is WAL of cluster", "other WAL is of"]),
        (
            format!("{} --wal {}", at(&plain), at(&world.source.data_dir().join("pg_wal"))),
            4,
            &["pg_wal of a server", "wal push --from"],
        ),
        (spoilt("t1", &tars, "truncate -s 9000000 base.tar"), 4, &["use another copy of the backup"]),
        (
            spoilt("t2", &tars, "gzip base.tar && truncate -s 900000 base.tar.gz"),
            4,
            &["use another copy of the backup"],
        ),
        (spoilt("t3", &tars, "rm pg_wal.tar"), 4, &["no WAL is with it", "--wal DIR"]),
        (
            spoilt("t4", &tars, "{ printf Salted__; cat base.tar; } > base.tar.enc; rm base.tar"),
            4,
            &["encrypted by openssl", "openssl enc -d"],
        ),
        (spoilt("t5", &tars, "lz4 -q base.tar 99.tar.lz4"), 4, &["99.tar.lz4", "two backups"]),
        (at(&world.path("writer")), 4, &["neither a directory nor base.tar"]),
    ];
    for (what, code, words) in refused {
        world.import(&what).await.ends(code).says(words);
    }
    assert_eq!(world.stored(), 0, "nothing of a cluster is in the bucket");
    goes_together(&world, &plain, &tars, &wal).await;
}

/// What is whole by itself or with WAL from elsewhere.
async fn goes_together(world: &World, plain: &Path, tars: &Path, wal: &Path) {
    // A segment that was never finished hides nothing of the true one, which comes later.
    let cut = world.spoilt(
        "cut",
        wal,
        &on_segments("if [ -n \"$(dd if=$s bs=8192 skip=5 count=1 status=none | tr -d '\\0')\" ]; then dd if=/dev/zero of=$s bs=8192 seek=4 count=2044 conv=notrunc status=none; fi"),
    );
    world.import(&format!("{} --wal {cut}", at(plain))).await.ends(3).says(&["was never finished", "as a partial"]);
    // The WAL that is missing in one place is found in another.
    let bare = world.spoilt("bare", tars, "rm pg_wal.tar && lz4 -q --rm base.tar base.tar.lz4");
    world.import(&format!("{bare} --wal {}", at(wal))).await.good().says(&["is base backup"]);
    world.import(&at(plain)).await.good();
    assert!(world.stored() > 0);
    let data = world.path("r");
    world.restore(&format!("--dir {} --target-immediate", data.display())).await.good();
    let server = world.recover(&data, "second").await;
    assert_eq!(value(&server, "SELECT count(*) FROM kept").await, "5000");
    // Other WAL of the same name is never stored over what is there.
    let last = segments(wal).swap_remove(0);
    let other = world.spoilt("other", wal, &format!("printf X | dd of={last} bs=1 seek=9000 conv=notrunc status=none"));
    let bases =
        || async { world.run_as(Role::Reader, "list --json").await.good().json()["backups"].as_array().unwrap().len() };
    let before = bases().await;
    world.import(&format!("{} --wal {other}", at(plain))).await.ends(4).says(&[&last]);
    assert_eq!(bases().await, before);
}
