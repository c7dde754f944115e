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
/// A log of twenty deeds, and its chain in the configuration.
const LOG: &str = "CREATE TABLE audit_logs AS WITH RECURSIVE log(id, action, previous, hash) AS (\
    SELECT 1, 'deed 1', NULL::text, encode(sha256(convert_to('|deed 1', 'UTF8')), 'hex') UNION ALL \
    SELECT id + 1, 'deed ' || id + 1, hash, encode(sha256(convert_to(hash || '|deed ' || id + 1, 'UTF8')), 'hex') \
    FROM log WHERE id < 20) SELECT * FROM log";
const CHAIN: &str = "
[verify.chain.audit]
table = \"audit_logs\"
fields = [\"previous\", \"action\"]
order = [\"id\"]
previous = \"previous\"
hash = \"hash\"
text = \"joined\"
separator = \"|\"
";
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

/// Nothing of the live database but the copy of a table is touched, whatever became of its own table since; the log is looked at
/// where nothing is reached; at last the whole cluster is lost.
#[tokio::test]
async fn b03_the_playbooks_bring_a_moment_back_from_a_base() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(installed) = usual("the_playbooks_bring_a_moment_back") else { return };
    let world = World::on(&installed, archiving).await;
    std::fs::write(world.path("stonewal.toml"), CHAIN).unwrap();
    world.sql(BOOKS).await;
    world.sql(LOG).await;
    world.archive().await;
    world.good_backup().await;
    world.sql("ALTER TABLE books ADD PRIMARY KEY (i)").await;
    world.sql("INSERT INTO books VALUES (1001, 'after the base')").await;
    let expected = world.sum("postgres").await;
    let info = world.source.socket_conninfo("postgres").unwrap();
    let session = stonewal::postgres::Session::connect(&info, "clock").await.unwrap();
    let moment = Moment::now(session.client()).await.unwrap().time.to_string();
    world.sql("DELETE FROM books WHERE i > 3").await;
    world.sql("UPDATE audit_logs SET action = 'nothing' WHERE id = 7").await;
    world.archived().await;
    let room = world.path("room");
    std::fs::create_dir(&room).unwrap();
    std::fs::set_permissions(&room, std::fs::Permissions::from_mode(0o711)).unwrap();

    // No key derivation to wait for.
    let mut host = world.command(Role::Writer, "");
    host.env("STONEWAL_KEYS_IDENTITY_FILE", world.path("recovery"));
    let url = world.url();
    let variables =
        [("MOMENT", &*moment), ("TABLE", "books"), ("ROOM", room.to_str().unwrap()), ("LIVE_DATABASE_URL", &*url)];
    world.play("One table back from a base backup", &host, &variables).await.ends(0);
    assert_eq!(world.value(&SUM.replace("books", "restored.books")).await, expected);
    assert_eq!(world.value("SELECT count(*) FROM public.books").await, "3");
    assert_eq!(names(&room), [""; 0], "nothing is left of the copy of the cluster");
    world.restore("--dir x --table books").await.ends(2).says(&["One table back from a base backup"]);

    let played = world.play("The log as it was, where nothing is reached", &host, &variables).await.ends(0);
    played.says(&["ok    chain audit", "log.sql"]);
    let read = |name: &str| std::fs::read_to_string(world.path(name)).unwrap();
    assert!(read("log.sql").contains("deed 7\t") && read("log-verified.json").contains("20 rows, unbroken"));
    assert_eq!(names(&room), [""; 0], "nothing is left of the copy of the cluster");
    the_cluster_comes_back(&world, &host, &moment, &expected).await;
}

/// On a port and under a user as the operator says, with the release that was approved; and a base of the new timeline.
async fn the_cluster_comes_back(world: &World, host: &Command, moment: &str, expected: &str) {
    use std::os::unix::fs::MetadataExt as _;
    let owner = std::fs::metadata(world.source.data_dir()).unwrap();
    let own = std::fs::metadata(world.path("room")).unwrap().uid();
    let become_it = match owner.uid() {
        uid if uid == own => String::new(),
        uid => format!("setpriv --reuid={uid} --regid={} --clear-groups", owner.gid()),
    };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = world.url().replace(&format!(":{}/", world.source.port()), &format!(":{port}/"));
    let data = world.path("lost");
    let data = data.to_str().unwrap();
    let options = format!("-p {port} -k {data} -c archive_mode=off");
    let variables = [
        ("MOMENT", moment),
        ("RECOVERED", data),
        ("RECOVERED_URL", &*url),
        ("OPTIONS", &*options),
        ("AS", &*become_it),
        ("RELEASE", "r1"),
        ("STONEWAL_VERIFY_RELEASE_QUERY", "SELECT 'r1'"),
    ];
    let played = world.play("The lost cluster back at a moment", host, &variables).await;
    let program = |name: &str| world.installed.bin_dir.join(name);
    let found = Command::new(program("psql")).args(["-XAtc", SUM, &url]).output().await.unwrap();
    let stop = format!("{become_it} {} -D {data} -m immediate stop", program("pg_ctl").display());
    let stopped = Command::new("/bin/sh").args(["-c", &stop]).output().await.unwrap();
    played.ends(0).says(&["ok    release", "ok    chain audit", "may be promoted", "on timeline 2"]);
    assert_eq!(String::from_utf8_lossy(&found.stdout).trim_end(), expected);
    assert!(stopped.status.success(), "{stopped:?}");
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

/// The application's passphrase publishes nothing any more, its password is another, and whoever is logged in with it is out.
#[tokio::test]
async fn i06_the_playbook_of_a_broken_application_locks_it_out() {
    let Some(world) = World::new("the_playbook_of_a_broken_application").await else { return };
    world.sql(BOOKS).await;
    world.sql("CREATE ROLE app LOGIN PASSWORD 'old'").await;
    let secret = "SELECT rolpassword FROM pg_authid WHERE rolname = 'app'";
    let before = world.value(secret).await;
    let url = world.url();
    let mut inside = Command::new(world.installed.bin_dir.join("psql"));
    inside.args(["-XAtc", "SELECT pg_sleep(600)", &url.replace("//postgres@", "//app@")]).env("PGPASSWORD", "old");
    let mut inside = inside.stderr(std::process::Stdio::null()).kill_on_drop(true).spawn().unwrap();
    while world.value("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'").await == "0" {
        assert!(inside.try_wait().unwrap().is_none(), "it is logged in");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let variables = [
        ("NEW_PASSPHRASE", NEW),
        ("ROLE", "app"),
        ("NEW_PASSWORD", "SENTINELnew1"),
        ("LIVE_DATABASE_URL", &*url),
        ("RELEASE", "r1"),
        ("STONEWAL_VERIFY_RELEASE_QUERY", "SELECT 'r1'"),
    ];
    let admin = world.command(Role::Admin, "");
    let played = world.play("The application was broken into", &admin, &variables).await.ends(0);
    played.says(&["ok    release", "is complete", "as far as level decrypt can tell"]);
    assert!(!inside.wait().await.unwrap().success(), "its session was ended");
    assert_ne!(world.value(secret).await, before);
    assert!(!world.source.log().contains("SENTINELnew1"));
    world.dumped(OLD).await.ends(2).says(&["counts no more"]);
}
