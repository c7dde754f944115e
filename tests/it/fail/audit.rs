//! Who did what stands in the bucket, and failing to write it down keeps nobody from a restore, unless that is asked for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use stonewal::catalog::{Access, Repository};
use stonewal::format::audit::{AuditPhase, AuditRecord};
use stonewal::format::names::Names;
use stonewal::keys::RecoveryFile;
use stonewal::store::roles::Role;
use stonewal::store::{Prune as _, Read as _};

use super::process::Run;
use super::world::{PASSPHRASE, World};
use crate::support::gate::Gate;

impl World {
    pub(super) async fn repository(&self) -> Repository {
        let text = std::fs::read_to_string(self.path("home/recovery")).unwrap();
        let access = Access::Recovery(RecoveryFile::decode(&SecretString::from(text)).unwrap());
        let store = Arc::new(self.s3(Role::Reader).await);
        Repository::open(store, Names::new("prod").unwrap(), access, "the test").await.unwrap()
    }

    /// Every genuine record, in the order of their names.
    pub(super) async fn audit(&self) -> Vec<AuditRecord> {
        let repository = self.repository().await;
        let mut records = Vec::new();
        for entry in self.objects("/audit/").await {
            let lock = self.s3(Role::Reader).await.head(&entry.key, &entry.version).await.unwrap().lock;
            let found = repository.audit_record(&entry, true).await.unwrap().unwrap();
            // A store keeps whole seconds, and rounds up.
            let (told, held) = (found.record.locked_until.unwrap(), lock.unwrap().retain_until);
            assert!((0..=1).contains(&(held.as_second() - told.as_second())), "{told} {held}");
            records.push(found.record);
        }
        records
    }

    /// The records of one deed.
    pub(super) async fn deeds(&self, deed: &str) -> Vec<AuditRecord> {
        self.audit().await.into_iter().filter(|record| record.deed == deed).collect()
    }

    /// A restore by credentials that append nothing, with the passphrase.
    pub(super) fn reader(&self, line: &str) -> Run {
        let run = self.stonewal(line).unset("STONEWAL_KEYS_WRITER_FILE").env("BACKUP_PASSPHRASE", PASSPHRASE);
        run.role(self, Role::Reader)
    }

    /// Lets `run` append audit records with the writer's credentials.
    pub(super) fn with_profile(&self, run: Run) -> Run {
        let writer = self.store.credentials(Role::Writer).unwrap();
        let text = format!(
            "[scribe]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            writer.access_key,
            writer.secret_key.expose_secret()
        );
        let file = self.path("home/credentials");
        std::fs::write(&file, text).unwrap();
        run.env("AWS_SHARED_CREDENTIALS_FILE", file).env("STONEWAL_AUDIT_PROFILE", "scribe")
    }
}

fn objects<'a>(record: &'a AuditRecord, kind: &str) -> Vec<&'a str> {
    record.objects.iter().filter(|object| object.kind == kind).map(|object| object.name.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_is_recorded_from_its_beginning_to_its_end() {
    let Some(world) = World::new("audit_all").await else { return };
    let hold = format!("hold add {}", world.first);
    for line in
        ["verify --level checksum", "retention apply --delete", "retention apply", "list", "show", "verify", &hold]
    {
        let ended = world.stonewal(line).role(&world, Role::Admin).env("STONEWAL_AUDIT_REASON", "monthly").end().await;
        assert!(matches!(ended.status.code(), Some(0 | 3)), "{line}: {}", ended.stderr);
    }
    let restored = world.reader("restore dump latest --to-file app.sql --reason OPS-4711").role(&world, Role::Writer);
    restored.end().await.good();
    // What was locked to try the store on is recorded, as it is then known.
    for line in ["doctor", "doctor --no-probe"] {
        let ended = world.stonewal(line).end().await;
        assert!(matches!(ended.status.code(), Some(0 | 3)), "{line}: {} {}", ended.stdout, ended.stderr);
    }

    let records = world.audit().await;
    let told: Vec<_> = records.iter().map(|record| (record.deed.as_str(), record.phase)).collect();
    let twice = |deed| [(deed, AuditPhase::Begun), (deed, AuditPhase::Ended)];
    let mut want = vec![("init", AuditPhase::Ended)];
    want.push(("doctor", AuditPhase::Ended));
    want.extend(
        ["keys.writer", "backup.dump", "verify", "retention.apply", "hold.add", "restore.dump"].map(twice).concat(),
    );
    // Two of one second stand in any order.
    let sorted = |mut list: Vec<(String, String)>| {
        list.sort();
        list
    };
    let words = |list: &[(&str, AuditPhase)]| {
        sorted(list.iter().map(|(deed, phase)| ((*deed).to_owned(), format!("{phase:?}"))).collect())
    };
    assert_eq!(words(&told), words(&want));

    let restore = world.deeds("restore.dump").await;
    let end = restore.iter().find(|record| record.phase == AuditPhase::Ended).unwrap();
    let begin = restore.iter().find(|record| record.phase == AuditPhase::Begun).unwrap();
    assert_eq!((objects(end, "backup"), objects(end, "file")), (vec![world.first.as_str()], vec!["app.sql"]));
    assert_eq!((end.begun.as_ref(), end.reason.as_deref()), (Some(&begin.record), Some("OPS-4711")));
    let outcome = end.outcome.as_ref().unwrap();
    assert_eq!((outcome.exit, &outcome.error), (0, &None));
    assert!(outcome.numbers["plain_bytes"] > 10_000_000);
    // The system's user and host, not what variables claim.
    assert!(end.who != "nobody" && !end.who.is_empty() && !end.host.is_empty(), "{end:?}");
    assert_eq!(end.version, env!("CARGO_PKG_VERSION"));
    // One line of records: each names the one before it.
    let unnamed =
        records.iter().filter(|one| records.iter().all(|by| by.previous.iter().all(|l| l.record != one.record)));
    assert_eq!(unnamed.count(), 1);
    assert_eq!(records.iter().filter(|record| record.previous.is_empty()).count(), 1);
    let all = serde_json::to_string(&records).unwrap();
    assert!(!all.contains("SENTINEL") && !all.contains("AGE-SECRET-KEY"), "{all}");
}

/// Most of these fail: what was tried is recorded too.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_of_it_each_deed_is_recorded() {
    let Some(world) = World::new("audit_deeds").await else { return };
    let (url, first, dir) = (world.url("postgres"), &world.first, world.path("nowhere"));
    let deeds = [
        ("retention.extend", "retention extend".to_owned()),
        ("hold.remove", format!("hold remove {first}")),
        ("keys.add", "keys add --recipient age1nobody".into()),
        ("keys.rotate", "keys rotate".into()),
        ("keys.revoke", "keys revoke 5b0c6f2e9a3d4c1f".into()),
        ("keys.rewrap", "keys rewrap --all".into()),
        ("reencrypt", format!("reencrypt {first}")),
        ("replica.copy", "replica copy far".into()),
        ("backup.base", "backup base".into()),
        ("wal.stream", "wal stream".into()),
        ("restore.base", format!("restore base --dir {} --confirm", dir.display())),
        ("restore.table", format!("restore dump latest --table no_such_table --to {url} --confirm")),
    ];
    let tried = deeds.iter().map(|(deed, line)| {
        let run = world.stonewal(line).role(&world, Role::Admin).env("REPLICATION_DATABASE_URL", &url);
        // What reads data needs a key that opens it.
        let reads = deed.starts_with("restore");
        let run = if reads { run.unset("STONEWAL_KEYS_WRITER_FILE").env("BACKUP_PASSPHRASE", PASSPHRASE) } else { run };
        run.end()
    });
    let ended = futures::future::join_all(tried).await;
    let records = world.audit().await;
    for ((deed, line), ended) in deeds.iter().zip(ended) {
        let phases: Vec<_> = records.iter().filter(|record| record.deed == *deed).map(|record| record.phase).collect();
        let both = phases.contains(&AuditPhase::Begun) && phases.contains(&AuditPhase::Ended);
        assert!(both && phases.len() == 2, "{line}: {phases:?}: {}{}", ended.stdout, ended.stderr);
        let end = records.iter().find(|record| record.deed == *deed && record.phase == AuditPhase::Ended).unwrap();
        assert_eq!(
            Some(i32::from(end.outcome.as_ref().unwrap().exit)),
            ended.status.code(),
            "{line}: {}",
            ended.stderr
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_goes_on_without_a_record_and_says_so() {
    let Some(world) = World::new("audit_on").await else { return };
    let before = world.objects("/audit/").await.len();
    let denied = world.reader("restore dump latest --to-file app.sql").end().await;
    denied.is_warned("this is not in the audit log: s3:PutObject on prod/audit/");
    assert!(std::fs::metadata(world.path("app.sql")).unwrap().len() > 1 << 20);
    // Nothing but a recovery file: there is nothing to be mended in the middle of the night.
    let keyless = world.restorer("restore dump latest --to-file again.sql").env("STONEWAL_AUDIT_MODE", "on");
    let keyless = keyless.end().await;
    assert_eq!(keyless.status.code(), Some(0), "{}", keyless.stderr);
    assert!(
        keyless.stderr.contains("this is not in the audit log: ") && keyless.stderr.contains("a recovery file cannot")
    );
    assert_eq!(world.objects("/audit/").await.len(), before);
    // What fails by itself is told alone.
    let failed = world.reader("restore dump latest --to-file app.sql").end().await;
    failed.is(1, "error: app.sql: it exists already; it is not overwritten");
    // Credentials of its own for records, and none of a reader's are used for anything else.
    let recorded = world.with_profile(world.reader("restore dump latest --to-file third.sql"));
    recorded.end().await.good();
    assert_eq!(world.deeds("restore.dump").await.len(), 2);
    let wrong = world.with_profile(world.reader("restore dump latest --to-file fourth.sql"));
    wrong.env("STONEWAL_AUDIT_PROFILE", "nobody").end().await.is_warned("this is not in the audit log");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_records_are_required_nothing_is_done_without_one() {
    let Some(world) = World::new("audit_required").await else { return };
    let strict = |run: Run| run.env("STONEWAL_AUDIT_MODE", "required");
    let refused = strict(world.reader("restore dump latest --to-file app.sql")).end().await;
    refused.is(1, "
error: nothing was done, since audit.mode is \"required\" and no audit record could be written: s3:PutObject on prod/audit/[..] is denied[..]

hint: mend what keeps records from being written (audit.profile, a writer file or the passphrase); or go on without them, deliberately: STONEWAL_AUDIT_MODE=on");
    assert!(!world.path("app.sql").exists(), "nothing was done");
    let keyless = strict(world.restorer("restore dump latest --to-file app.sql")).end().await;
    assert_eq!(keyless.status.code(), Some(1), "{}", keyless.stderr);
    assert!(!world.path("app.sql").exists());
    strict(world.with_profile(world.reader("restore dump latest --to-file app.sql"))).end().await.good();
    let canaries = world.objects("/canary/").await.len();
    let probing = strict(world.reader("doctor")).end().await;
    assert_eq!(probing.status.code(), Some(1), "{}", probing.stderr);
    assert!(probing.stderr.contains("nothing was done") && world.objects("/canary/").await.len() == canaries);
    // The way out that the hint names.
    world.reader("restore dump latest --to-file by-hand.sql").end().await.is_warned("not in the audit log");
    // Killed: begun, and never ended.
    let _held = world.hold("app", "LOCK TABLE public.ledger IN ACCESS EXCLUSIVE MODE").await;
    let mut running = strict(world.stonewal("backup dump")).start();
    let begun = || async { world.deeds("backup.dump").await.len() >= 3 };
    while !begun().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    running.child.start_kill().unwrap();
    running.child.wait().await.unwrap();
    let deeds = world.deeds("backup.dump").await;
    let ended: Vec<_> = deeds.iter().filter_map(|record| record.begun.clone()).collect();
    let open = deeds.iter().filter(|record| record.phase == AuditPhase::Begun && !ended.contains(&record.record));
    assert_eq!(open.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_nothing_that_psql_says_is_recorded() {
    let Some(world) = World::new("audit_psql").await else { return };
    world.target("target").await;
    let body = "cat > /dev/null; echo 'psql:<stdin>:7: ERROR: duplicate key (iban)=(SENTINEL-row)' >&2; exit 3";
    let programs = super::programs::running(&world, "psql", body);
    let restore = world.reader("restore dump latest").env("RESTORE_DATABASE_URL", world.url("target"));
    let restore = restore.env("CONFIRM_RESTORE", "true").env("STONEWAL_POSTGRES_BIN_DIR", programs);
    let failed = world.with_profile(restore).end().await;
    assert_eq!(failed.status.code(), Some(1), "{}", failed.stderr);
    assert!(failed.stderr.contains("SENTINEL-row"), "the operator is told: {}", failed.stderr);
    let records = world.deeds("restore.dump").await;
    let end = records.iter().find(|record| record.phase == AuditPhase::Ended).unwrap();
    assert_eq!(end.outcome.as_ref().unwrap().exit, 1);
    let all = serde_json::to_string(&records).unwrap();
    assert!(!all.contains("SENTINEL") && all.contains("PostgreSQL or one of its programs failed"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_at_the_same_time_do_not_get_into_each_others_way() {
    let Some(world) = World::new("audit_many").await else { return };
    let before = world.audit().await.len();
    // Each has looked what the newest records are before any writes its own.
    let gate = Gate::start(world.store.endpoint(), |line| line.starts_with("PUT ") && line.contains("/audit/")).await;
    let verify = || world.stonewal("verify --level checksum").env("AWS_ENDPOINT_URL_S3", gate.endpoint());
    let running: Vec<_> = (0..8).map(|_| verify().start()).collect();
    gate.held(8).await;
    gate.open();
    for one in running {
        one.end().await.good();
    }
    world.stonewal("verify --level checksum").end().await.good();
    let records = world.audit().await;
    assert_eq!(records.len(), before + 18);
    let named = |record: &AuditRecord| record.previous.iter().map(|link| link.record.clone()).collect::<BTreeSet<_>>();
    let first = records.iter().find(|record| record.deed == "verify").unwrap();
    let beside = records.iter().filter(|record| named(record) == named(first));
    assert_eq!(beside.count(), 8, "they forked");
    // Forks are joined: only the last record of all is named by none.
    let unnamed =
        records.iter().filter(|one| records.iter().all(|by| by.previous.iter().all(|l| l.record != one.record)));
    assert_eq!(unnamed.count(), 1);
}

/// A backup costs a bounded number of requests more, however many records there are.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_costs_a_handful_of_requests() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let path = log.path().to_owned();
    let Some(world) = World::with("audit_cost", |_| {}, |store| store.request_log = Some(path)).await else { return };
    let requests = || std::fs::read_to_string(log.path()).unwrap().lines().count();
    let cost = async |mode: &'static str| {
        let before = requests();
        world.stonewal("verify --level checksum").env("STONEWAL_AUDIT_MODE", mode).end().await.good();
        requests() - before
    };
    for _ in 0..3 {
        cost("on").await;
    }
    let (with, without) = (cost("on").await, cost("off").await);
    // Two listings, two records written, and those read that were written within the last two minutes.
    let recent = world.objects("/audit/").await.len();
    assert!(with > without && with - without <= 5 + recent.min(2 * 16), "{with} {without} {recent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_listed_filtered_and_exported() {
    let Some(world) = World::new("audit_log").await else { return };
    let reason = "=HYPERLINK(1), \"twice\"";
    let backup = world.stonewal("backup dump").env("STONEWAL_AUDIT_REASON", reason);
    backup.env("DATABASE_URL", world.url("nowhere")).end().await;
    let restored =
        world.with_profile(world.reader("restore dump latest --to-file app.sql --reason OPS-4711")).end().await;
    let log = async |flags: &str| {
        let run = world.restorer(&format!("audit log --json {flags}")).end().await.good();
        let records = run.json()["records"].as_array().unwrap().clone();
        let field = |record: &serde_json::Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
        records.iter().map(|record| format!("{} {}", field(record, "deed"), field(record, "phase"))).collect::<Vec<_>>()
    };
    assert_eq!(log("").await.len(), 1 + 2 + 2 + 2 + 2);
    assert_eq!(log("--deed restore").await, ["restore.dump begun", "restore.dump ended"]);
    assert_eq!(log("--deed rest").await, [""; 0]);
    assert_eq!(log("--deed restore.dump --until 2020-01-01T00:00:00Z").await, [""; 0]);
    assert_eq!(log("--since 2020-01-01T00:00:00Z --deed init").await, ["init ended"]);
    assert_eq!(log("--since 2120-01-01T00:00:00Z").await, [""; 0]);
    assert_eq!(log(&format!("--backup {}", world.first)).await, ["backup.dump ended", "restore.dump ended"]);
    assert_eq!(log("--cluster main --deed backup").await.len(), 4);
    assert_eq!(log("--cluster other").await, [""; 0]);
    let who = world.deeds("init").await[0].who.clone();
    assert_eq!((log(&format!("--who {who}")).await.len(), log("--who nobody-else").await.len()), (9, 0));

    let table = world.restorer("audit log --deed restore").end().await.good().stdout;
    assert_eq!(table.lines().count(), 2, "one line for one deed: {table}");
    assert!(table.contains("OPS-4711") && table.contains(&world.first), "{table}");
    // What incident notes name: the restore said the id by which the log tells of it, in the first column.
    let records = world.deeds("restore.dump").await;
    let begun = records.iter().find(|record| record.phase == AuditPhase::Begun).unwrap().record.to_string();
    let printed = restored.good().stdout;
    assert!(printed.ends_with(&format!("audit record {begun}\n")), "{printed}");
    assert!(table.lines().nth(1).unwrap().starts_with(&format!("{begun}  ")), "{table}");
    let silent = world.restorer("restore dump latest --to-file off.sql --json").env("STONEWAL_AUDIT_MODE", "off");
    let silent = silent.end().await.good().json();
    assert!(silent["backup"] == *world.first && silent["audit_record"].is_null(), "{silent}");
    let csv = world.restorer("audit log --csv --deed backup").end().await.good().stdout;
    assert!(csv.starts_with("record,at,arrived_at,phase,deed,") && csv.lines().count() == 5, "{csv}");
    assert!(csv.contains("\"'=HYPERLINK(1), \"\"twice\"\"\""), "{csv}");
    assert!(csv.split("\r\n").count() == 6, "RFC 4180: {csv}");
    let failed = world.restorer("audit log --csv --json").end().await;
    assert_eq!(failed.status.code(), Some(2));
}

/// PAINS A18: what a lock did not hold, or a bypass removed, is found out.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_somebody_removed_is_named() {
    let Some(world) = World::new("audit_removed").await else { return };
    for _ in 0..2 {
        world.stonewal("verify --level checksum").end().await.good();
    }
    let verify = || world.restorer("audit verify").end();
    let whole = verify().await.good().stdout;
    assert!(whole.starts_with("9 audit records at s3://backups/prod/"), "{whole}");
    // A host that dies: told, and no error.
    let mut running = world.stonewal("verify --level checksum").start();
    while world.deeds("verify").await.len() < 5 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    running.child.start_kill().unwrap();
    running.child.wait().await.unwrap();
    let told = verify().await.good().stdout;
    assert!(told.contains("not ended: verify by ") || world.deeds("verify").await.len() == 6, "{told}");

    let writer = world.s3(Role::Writer).await;
    let entries = world.objects("/audit/").await;
    let middle = &entries[4];
    let denied = writer.delete_version(&middle.key, &middle.version, false).await;
    assert!(denied.is_err(), "the writer removes nothing");
    world.s3(Role::Admin).await.delete_version(&middle.key, &middle.version, true).await.unwrap();
    let broken = verify().await;
    assert_eq!(broken.status.code(), Some(4), "{}", broken.stderr);
    let name = middle.key.as_str().rsplit('/').next().unwrap();
    assert!(broken.stdout.contains(&format!("BROKEN  record {name} is missing, named by ")), "{}", broken.stdout);
    let json = world.restorer("audit verify --json").end().await.json();
    assert_eq!((json["break_count"].as_u64(), json["breaks"][0]["record"].as_str()), (Some(1), Some(name)));
    assert_eq!(json["breaks"][0]["what"], "missing");
    // The records of others stay what they are, and the next ones are written.
    world.stonewal("verify --level checksum").end().await.good();
}
