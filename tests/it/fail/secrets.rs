//! Secrets stay where they belong: not in what is printed or logged, not in any command line, not in the bucket, not in
//! the environment of a child that does not need them (invariant I13, PAINS F6).

use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use stonewal::store::roles::Role;

use super::process::{Descendant, Run, Running, descendants};
use super::world::{PASSPHRASE, World};
use crate::support::proxy::{Proxy, Weather};

const DATABASE_PASSWORD: &str = "SENTINEL-database";

/// Everything that must not be seen.
struct Secrets(Vec<String>);

impl Secrets {
    fn of(world: &World) -> Self {
        let mut all = vec![PASSPHRASE.to_owned(), "SENTINEL".to_owned()];
        for role in [Role::Writer, Role::Reader, Role::Admin] {
            all.push(world.store.credentials(role).unwrap().secret_key.expose_secret().to_owned());
        }
        // Lines of the key files; the longest words in them are the keys.
        for file in ["home/writer", "home/recovery"] {
            let text = std::fs::read_to_string(world.path(file)).unwrap();
            let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "+/=-_".contains(c)));
            let secret = words.filter(|word| word.starts_with("AGE-SECRET-KEY-")).map(str::to_owned);
            all.extend(secret);
            let line = text.lines().find(|line| line.contains("secret") && !line.trim_start().starts_with('#'));
            all.extend(line.and_then(|line| line.split('"').nth(1)).map(str::to_owned));
        }
        assert!(all.len() >= 7, "the key files hold secrets that this test knows");
        Self(all)
    }

    #[track_caller]
    fn not_in(&self, what: &str, text: &str) {
        for secret in &self.0 {
            // The logs are long, and this is fast without optimisation too.
            let found = memchr::memmem::find(text.as_bytes(), secret.as_bytes());
            assert!(found.is_none(), "{what} tells {secret}:\n{text}");
        }
    }
}

async fn world(test: &str) -> Option<World> {
    // Trusted without a password for the user postgres, with one for the user keeper.
    let change = |options: &mut stonewal::postgres::server::ServerOptions| {
        options.hba.push("host all keeper 127.0.0.1/32 scram-sha-256".into());
    };
    let world = World::with(test, change, |_| {}).await?;
    let role = format!("CREATE ROLE keeper SUPERUSER LOGIN PASSWORD '{DATABASE_PASSWORD}'");
    world.fixture.server.execute("postgres", &role).await.unwrap();
    Some(world)
}

fn url(world: &World, database: &str) -> String {
    world.url(database).replace("postgres@", &format!("keeper:{DATABASE_PASSWORD}@"))
}

/// With the passphrase, and with passwords in URLs.
fn run(world: &World, line: &str, role: Role) -> Run {
    let run = world.stonewal(line).unset("STONEWAL_KEYS_WRITER_FILE").role(world, role);
    let run = run.env("BACKUP_PASSPHRASE", PASSPHRASE).env("DATABASE_URL", url(world, "app"));
    // A reader may add no records; what becomes of them is tested by itself.
    let run = if role == Role::Reader { run.env("STONEWAL_AUDIT_MODE", "off") } else { run };
    run.env("RESTORE_DATABASE_URL", url(world, "target")).env("CONFIRM_RESTORE", "true")
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_no_secret_is_printed_logged_or_stored() {
    let Some(world) = world("i13_printed").await else { return };
    let secrets = Secrets::of(&world);
    // At this level every piece of the data is logged, and looked through.
    world.fixture.server.execute("app", "DELETE FROM ledger WHERE id > 5000").await.unwrap();
    world.target("target").await;
    let writer =
        [("backup dump", 0..=0), ("doctor", 0..=3), ("doctor --from postgres://keeper@127.0.0.1:1/app", 1..=1)];
    let reader = [
        ("list", 0..=0),
        ("show", 0..=0),
        ("verify --level decrypt", 0..=0),
        ("restore dump", 0..=3),
        ("restore dump --to-file restored.sql", 0..=0),
        // Failures: not empty, refused, denied.
        ("restore dump", 1..=1),
        ("restore dump --to postgres://keeper@127.0.0.1:1/target", 1..=1),
        ("backup dump", 1..=1),
    ];
    let with = |role, list: &[(&'static str, std::ops::RangeInclusive<i32>)]| {
        list.iter().map(|(line, exit)| (role, *line, exit.clone())).collect::<Vec<_>>()
    };
    let lines = [with(Role::Writer, &writer), with(Role::Reader, &reader)].concat();
    for (role, line, exits) in lines {
        for form in ["-vvv", "-vvv --json --log-format json"] {
            if form.contains("json") && line.contains("--to-file") {
                std::fs::remove_file(world.path("restored.sql")).unwrap();
            }
            if form.contains("json") && line == "restore dump" && *exits.end() != 1 {
                world.fixture.server.execute("postgres", "DROP DATABASE target").await.unwrap();
                world.target("target").await;
            }
            let ended = run(&world, &format!("{line} {form}"), role).env("STONEWAL_LOG", "trace").end().await;
            let code = ended.status.code().unwrap();
            assert!(exits.contains(&code), "{line} {form}: {code}\n{}", last(&ended.stderr));
            assert!(ended.stderr.len() > 2000, "{line} {form}: it logs a lot");
            secrets.not_in(line, &ended.stderr);
            secrets.not_in(line, &ended.stdout);
        }
    }
    stored(&world.path("store/buckets"), &secrets);
    world.no_sessions().await;
}

fn last(text: &str) -> String {
    text.lines().rev().take(3).collect::<Vec<_>>().join("\n")
}

/// The bucket as a thief would read it.
fn stored(folder: &Path, secrets: &Secrets) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            stored(&entry.path(), secrets);
        } else {
            let bytes = std::fs::read(entry.path()).unwrap();
            for secret in &secrets.0 {
                let found = memchr::memmem::find(&bytes, secret.as_bytes());
                assert!(found.is_none(), "{} holds {secret}", entry.path().display());
            }
        }
    }
}

/// All processes of a run while it lasts.
async fn watched(world: &World, mut running: Running) -> Vec<Descendant> {
    let mut seen: Vec<Descendant> = Vec::new();
    while running.is_running() {
        seen.extend(descendants(&world.home()));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    running.end().await.good();
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn f06_no_secret_stands_in_arguments_or_in_the_environment_of_a_child() {
    let Some(world) = world("f06_processes").await else { return };
    let secrets = Secrets::of(&world);
    world.target("target").await;
    let upstream = world.store.endpoint().strip_prefix("http://").unwrap().parse().unwrap();
    let proxy = Proxy::start(upstream, Weather::Slow(Duration::from_millis(1))).await;
    let slow = |line, role| {
        let run = run(&world, line, role).env("AWS_ENDPOINT_URL_S3", proxy.endpoint()).env("AWS_SESSION_TOKEN", "");
        run.env("STONEWAL_POSTGRES_URL", url(&world, "app")).start()
    };
    let mut seen = watched(&world, slow("backup dump", Role::Writer)).await;
    seen.extend(watched(&world, slow("restore dump", Role::Reader)).await);
    for program in ["stonewal", "pg_dump", "pg_dumpall", "psql"] {
        assert!(seen.iter().any(|process| process.program == program), "{program} was seen");
    }
    // Their own password is what children get, the way libpq takes it, and nothing else.
    let needed = |variable: &&str| !variable.starts_with("PGPASSWORD=");
    for process in &seen {
        secrets.not_in(&format!("command line of {}", process.program), &process.arguments);
        if process.program != "stonewal" {
            let rest: Vec<&str> = process.environment.split('\0').filter(needed).collect();
            secrets.not_in(&format!("environment of {}", process.program), &rest.join("\n"));
        }
    }
}
