//! The scripts of RUNBOOK.md, taken out of it and run as they are printed there, each after the disaster that it is for.

use std::path::Path;

use stonewal::catalog::each_entry;
use stonewal::store::roles::Role;
use stonewal::store::{Append as _, Put};
use tokio::process::Command;

use super::archive::archiving;
use super::replicas::Pair;
use super::world::{Finished, World, finished, names, usual};
use crate::support::hide;
use crate::support::ledger::Moment;
use crate::support::proxy::Weather;

const BOOKS: &str = "CREATE TABLE books AS SELECT i, md5(i::text) AS body FROM generate_series(1, 1000) i";
const SUM: &str = "SELECT count(*) || ' ' || md5(string_agg(body, '' ORDER BY i)) FROM books";
const OLD: &str = "SENTINEL-passphrase of the tests";
const NEW: &str = "SENTINEL-passphrase number two";

/// The commands below a heading.
fn script(heading: &str) -> String {
    let runbook = include_str!("../../../docs/RUNBOOK.md");
    let section = runbook.split(&format!("### {heading}\n")).nth(1).expect(heading);
    let section = section.split("\n#").next().unwrap();
    let lines: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert!(lines.len() >= 4, "{heading}: the commands were found: {lines:?}");
    lines.join("\n")
}

impl World {
    /// The environment of `like`, in which somebody types what the RUNBOOK says.
    async fn play(&self, heading: &str, like: &Command, variables: &[(&str, &str)]) -> Finished {
        let program = Path::new(env!("CARGO_BIN_EXE_stonewal")).parent().unwrap();
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &script(heading)]).env_clear().current_dir(self.path(""));
        for (name, value) in like.as_std().get_envs() {
            if let Some(value) = value {
                shell.env(name, value);
            }
        }
        shell.env("PATH", format!("{}:{}:/usr/bin:/bin", program.display(), self.installed.bin_dir.display()));
        shell.env("DATABASE_URL", self.url()).env("STONEWAL_VERIFY_TABLES", "books").envs(variables.iter().copied());
        shell.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
        shell.stderr(std::process::Stdio::piped()).kill_on_drop(true);
        finished(shell.spawn().unwrap()).await
    }

    /// An empty database on the server, and its address.
    async fn empty(&self, name: &str) -> String {
        self.sql(&format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        self.url().replace("/postgres?", &format!("/{name}?"))
    }

    async fn sum(&self, database: &str) -> String {
        let info = self.source.socket_conninfo(database).unwrap();
        let session = stonewal::postgres::Session::connect(&info, "test").await.unwrap();
        session.client().batch_execute("RESET search_path").await.unwrap();
        session.client().query_one(SUM, &[]).await.unwrap().get(0)
    }

    async fn dumped(&self, passphrase: &str) -> Finished {
        let mut command = self.command(Role::Admin, "backup dump --json");
        command.env("DATABASE_URL", self.url()).env("BACKUP_PASSPHRASE", passphrase);
        finished(command.spawn().unwrap()).await
    }
}

/// The database is lost, then its region, then the passphrase; then an attacker lays something over every object, and hides it.
#[tokio::test]
async fn i04_the_playbooks_bring_the_database_back() {
    let Some(world) = World::new("the_playbooks_bring_the_database_back").await else { return };
    world.sql(BOOKS).await;
    let expected = world.sum("postgres").await;
    let good = world.dumped(OLD).await.good().json()["backup"].as_str().unwrap().to_owned();
    world.sql("UPDATE books SET body = 'encrypted'").await;
    let pair = Pair::around(world).await;
    pair.replicate(b"", |_| true).await;
    let world = &pair.world;

    let url = world.empty("lost").await;
    let admin = pair.command(Role::Admin, "");
    let played = world.play("The database back from its newest backup", &admin, &[("NEW_DATABASE_URL", &url)]).await;
    played.good().says(&[&good, "may be promoted"]);
    assert_eq!(world.sum("lost").await, expected);

    pair.proxy.set(Weather::Refuse);
    let url = world.empty("elsewhere").await;
    let mut alone = pair.command(Role::Admin, "");
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3"] {
        alone.env_remove(name);
    }
    // That side's reader cannot write the audit record, nor is there a bucket to write it to.
    alone.env("STONEWAL_AUDIT_MODE", "off");
    let variables = [("NEW_DATABASE_URL", &*url), ("REPLICA", "far")];
    let played = world.play("The database back from the replica alone", &alone, &variables).await;
    played.good().says(&[&good, "may be promoted"]);
    assert_eq!(world.sum("elsewhere").await, expected);
    pair.proxy.set(Weather::Fair);
    std::fs::write(world.path("stonewal.toml"), "").unwrap();

    let url = world.empty("recovered").await;
    let reader = world.command(Role::Reader, "");
    let recovery = world.path("recovery");
    let variables = [
        ("NEW_DATABASE_URL", &*url),
        ("RECOVERY_FILE", recovery.to_str().unwrap()),
        ("BACKUP_PASSPHRASE", "SENTINEL what nobody remembers"),
    ];
    let played = world.play("The database back by the recovery file", &reader, &variables).await;
    played.good().says(&[&good, "may be promoted"]);
    assert_eq!(world.sum("recovered").await, expected);

    let bucket = pair.bucket().await;
    let mut keys = Vec::new();
    each_entry(&bucket, "prod/", |entry| keys.push(entry.key)).await.unwrap();
    for key in &keys {
        let body = bytes::Bytes::from_static(b"pay for it");
        bucket.put(Put { key: key.clone(), body, lock: None }).await.unwrap();
        hide(&world.store, "backups", key.as_str()).await;
    }
    let url = world.empty("ransomed").await;
    let variables = [("NEW_DATABASE_URL", &*url), ("GOOD_BACKUP", &*good)];
    let admin = world.command(Role::Admin, "");
    let played = world.play("The database back from before the attack", &admin, &variables).await;
    played.good().says(&["may be promoted"]);
    assert_eq!(world.sum("ransomed").await, expected);
    let found = std::fs::read_to_string(world.path("ransomware.json")).unwrap();
    assert!(found.contains("marker") && found.contains("version"), "{found}");
}

/// Nothing of the live database but the copy is touched, whatever became of its own table since.
#[tokio::test]
async fn one_table_comes_back_from_a_base() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(installed) = usual("one_table_comes_back_from_a_base") else { return };
    let world = World::on(&installed, archiving).await;
    world.sql(BOOKS).await;
    world.archive().await;
    world.good_backup().await;
    world.sql("ALTER TABLE books ADD PRIMARY KEY (i)").await;
    world.sql("INSERT INTO books VALUES (1001, 'after the base')").await;
    let expected = world.sum("postgres").await;
    let info = world.source.socket_conninfo("postgres").unwrap();
    let session = stonewal::postgres::Session::connect(&info, "clock").await.unwrap();
    let moment = Moment::now(session.client()).await.unwrap().time.to_string();
    world.sql("DELETE FROM books WHERE i > 3").await;
    world.archived().await;
    let room = world.path("room");
    std::fs::create_dir(&room).unwrap();
    std::fs::set_permissions(&room, std::fs::Permissions::from_mode(0o711)).unwrap();

    let admin = world.command(Role::Admin, "");
    let url = world.url();
    let variables =
        [("MOMENT", &*moment), ("TABLE", "books"), ("ROOM", room.to_str().unwrap()), ("LIVE_DATABASE_URL", &*url)];
    world.play("One table back from a base backup", &admin, &variables).await.ends(0);
    assert_eq!(world.value(&SUM.replace("books", "restored.books")).await, expected);
    assert_eq!(world.value("SELECT count(*) FROM public.books").await, "3");
    assert_eq!(names(&room), [""; 0], "nothing is left of the copy of the cluster");
    world.restore("--dir x --table books").await.ends(2).says(&["One table back from a base backup"]);
}

/// PAINS B5: after the playbook the old passphrase publishes nothing and opens nothing new; in the new repository the old writer
/// file counts for nothing.
#[tokio::test]
async fn i06_the_playbooks_lock_out_who_was_inside() {
    let Some(world) = World::new("the_playbooks_lock_out").await else { return };
    world.sql(BOOKS).await;
    world.dumped(OLD).await.good();
    let admin = world.command(Role::Admin, "");
    let played = world.play("A passphrase that leaked counts no more", &admin, &[("NEW_PASSPHRASE", NEW)]).await;
    played.good();
    world.dumped(OLD).await.ends(2).says(&["counts no more"]);
    let read = async |passphrase: &str| {
        let mut command = world.command(Role::Admin, "restore dump latest --to-file");
        command.arg(world.path(&format!("{}.sql", passphrase.len()))).env("BACKUP_PASSPHRASE", passphrase);
        finished(command.spawn().unwrap()).await
    };
    read(OLD).await.ends(4);
    read(NEW).await.good();

    std::fs::create_dir(world.path("safe")).unwrap();
    let safe = world.path("safe");
    let variables =
        [("NEW_PASSPHRASE", NEW), ("NEW_REPOSITORY", "s3://rebuilt/prod"), ("SAFE", safe.to_str().unwrap())];
    let played = world.play("A new repository, out of the attacker's reach", &admin, &variables).await;
    played.good();
    let publish = async |writer: &Path| {
        let mut command = world.command(Role::Writer, "backup dump --repository s3://rebuilt/prod");
        command.env("DATABASE_URL", world.url()).env("STONEWAL_KEYS_WRITER_FILE", writer);
        finished(command.spawn().unwrap()).await
    };
    publish(&safe.join("rebuilt.writer")).await.good();
    publish(&world.path("writer")).await.ends(1).says(&["the keys are for repository"]);
    let mut opened = world.command(Role::Reader, "keys check --repository s3://rebuilt/prod");
    opened.env("STONEWAL_KEYS_IDENTITY_FILE", safe.join("recovery.txt"));
    finished(opened.spawn().unwrap()).await.good();
}
