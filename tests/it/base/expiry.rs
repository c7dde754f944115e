//! Retention over the command line: one set of credentials reads, another acts, and what stays can be recovered.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::Value;
use stonewal::postgres::Session;
use stonewal::store::roles::Role;

use super::archive::archiving;
use super::world::{Finished, World, finished, usual, value};
use crate::support::ledger::Moment;

/// As the command line takes it.
fn flag(time: jiff::Timestamp) -> String {
    format!("--target-time {}", time.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00"))
}

impl World {
    /// Reads as a reader; changes with the profile of another role.
    pub(super) async fn expire(&self, acting: Role, line: &str) -> Finished {
        let mut text = String::new();
        for role in [Role::Retainer, Role::Pruner, Role::Reader] {
            let user = self.store.credentials(role).unwrap();
            let (key, secret) = (&user.access_key, user.secret_key.expose_secret());
            let _ = write!(text, "[{role}]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n");
        }
        std::fs::write(self.path("credentials"), text).unwrap();
        let mut command = self.command(Role::Reader, line);
        command
            .env("AWS_SHARED_CREDENTIALS_FILE", self.path("credentials"))
            .env("STONEWAL_RETENTION_PROFILE", acting.name())
            .env("STONEWAL_RETENTION_WINDOW", "1m")
            .env("STONEWAL_RETENTION_KEEP_LAST_DUMPS", "1")
            .env("STONEWAL_RETENTION_KEEP_LAST_BASES", "1");
        finished(command.spawn().unwrap()).await
    }

    /// PAINS B6: so far nothing was deleted, and no key was PUT twice.
    fn assert_written_once(&self) {
        let mut keys = BTreeSet::new();
        for line in std::fs::read_to_string(self.path("requests.jsonl")).unwrap().lines() {
            let request: Value = serde_json::from_str(line).unwrap();
            let action = request["action"].as_str().unwrap_or_default();
            assert!(!action.contains("Delete"), "{request}");
            let stored = action == "PutObject" && request["status"] == 200;
            assert!(!stored || keys.insert(request["key"].to_string()), "PUT twice: {request}");
        }
        for part in ["/base/", "/dump/", "/wal/", "/manifest-", "/keys/"] {
            assert!(keys.iter().any(|key| key.contains(part)), "{part} is among {keys:?}");
        }
    }
}

/// PAINS A8, A16, B6: dump, bases and WAL; their locks extended and, in the end, what the plan gives up removed: what it
/// keeps comes back, to a moment too.
#[tokio::test]
async fn a08_what_retention_keeps_can_be_recovered() {
    let Some(installed) = usual("a08_retention") else { return };
    let world = World::on(&installed, archiving).await;
    world.archive().await;
    world.sql("CREATE TABLE steps (n int)").await;
    let first = world.good_backup().await;
    world.sql("INSERT INTO steps VALUES (1)").await;
    world.archived().await;
    let second = world.good_backup().await;
    world.run_as(Role::Writer, &format!("backup dump --from {}", world.url())).await.good();
    world.sql("INSERT INTO steps VALUES (2)").await;
    let session = Session::connect(&world.source.socket_conninfo("postgres").unwrap(), "clock").await.unwrap();
    let moment = Moment::now(session.client()).await.unwrap().time;
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.sql("INSERT INTO steps VALUES (3)").await;
    world.archived().await;

    world.store.advance_clock(Duration::from_hours(24 * 34));
    // A profile that nobody wrote down is a mistake in the configuration; the wrong one is told what it lacks.
    let mut unknown = world.command(Role::Reader, "retention extend");
    unknown.env("STONEWAL_RETENTION_PROFILE", "nobody");
    finished(unknown.spawn().unwrap()).await.ends(2).says(&["nobody", "profile"]);
    world.expire(Role::Pruner, "retention extend").await.ends(1).says(&["s3:PutObjectRetention", "denied"]);
    let told = world.expire(Role::Retainer, "retention extend --dry-run --json").await.good().json();
    let done = world.expire(Role::Retainer, "retention extend --json").await.good().json();
    assert!(done["extended"].as_u64().unwrap() > 5 && done["extended"] == told["extended"], "{done} {told}");
    world.assert_written_once();
    world.store.advance_clock(Duration::from_hours(24 * 2));

    world.expire(Role::Retainer, &format!("hold add {first}")).await.good();
    world.expire(Role::Reader, "hold list").await.good().says(&[&first]);
    let kept = world.expire(Role::Pruner, "retention apply --delete --json").await.good().json();
    assert_eq!(kept["backups"].as_array().map(Vec::len), Some(0), "it is held: {kept}");
    world.expire(Role::Retainer, &format!("hold remove {first}")).await.good();

    world.expire(Role::Pruner, "retention apply").await.good().says(&[&first, "nothing was changed"]);
    world.expire(Role::Retainer, "retention apply --delete").await.ends(1).says(&["s3:DeleteObjectVersion"]);
    let done = world.expire(Role::Pruner, "retention apply --delete --json").await.good().json();
    let gone: Vec<_> = done["backups"].as_array().unwrap().iter().map(|b| b["backup"].as_str().unwrap()).collect();
    assert_eq!(gone, [&first], "{done}");
    assert!(done["removed"]["versions"].as_u64().unwrap() > 5, "{done}");
    let plan = world.expire(Role::Reader, "retention plan --json").await.good().json();
    let wal = plan["clusters"][0]["wal"].as_array().unwrap();
    assert!(!wal.is_empty() && wal.iter().all(|wal| wal["verdict"] == "keep"), "its WAL is gone: {plan}");
    let listed = world.run_as(Role::Reader, "list --json").await.good();
    assert!(!listed.stdout.contains(&first) && listed.stdout.contains(&second));

    for (name, flags, expected) in [("then", flag(moment), "1,2"), ("end", String::new(), "1,2,3")] {
        let data = world.path(name);
        world.restore(&format!("--dir {} {flags}", data.display())).await.good();
        let server = world.recover(&data, &format!("s{name}")).await;
        assert_eq!(value(&server, "SELECT string_agg(n::text, ',' ORDER BY n) FROM steps").await, expected);
    }
    let verified = world.run_as(Role::Reader, "verify --level decrypt --json").await.good().json();
    assert!(verified["backups"].as_array().unwrap().iter().all(|backup| backup["whole"] == true), "{verified}");
}
