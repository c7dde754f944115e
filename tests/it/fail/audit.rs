//! Who did what stands in the bucket, and failing to write it down keeps nobody from a restore, unless that is asked for.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use stonewal::catalog::{Access, Repository};
use stonewal::format::audit::{AuditPhase, AuditRecord};
use stonewal::format::names::Names;
use stonewal::keys::RecoveryFile;
use stonewal::store::Read as _;
use stonewal::store::roles::Role;

use super::process::Run;
use super::world::{PASSPHRASE, World};

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

    let records = world.audit().await;
    let told: Vec<_> = records.iter().map(|record| (record.deed.as_str(), record.phase)).collect();
    let twice = |deed| [(deed, AuditPhase::Begun), (deed, AuditPhase::Ended)];
    let mut want = vec![("init", AuditPhase::Ended)];
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

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_goes_on_without_a_record_and_says_so() {
    let Some(world) = World::new("audit_on").await else { return };
    let before = world.objects("/audit/").await.len();
    let denied = world.reader("restore dump latest --to-file app.sql").end().await;
    denied.is_warned("this is not in the audit log: s3:PutObject on prod/audit/");
    assert!(std::fs::metadata(world.path("app.sql")).unwrap().len() > 1 << 20);
    let keyless = world.restorer("restore dump latest --to-file again.sql").env("STONEWAL_AUDIT_MODE", "on");
    keyless.end().await.is_warned("a recovery file cannot");
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
    // The way out that the hint names.
    world.reader("restore dump latest --to-file by-hand.sql").end().await.is_warned("not in the audit log");
    // Killed: begun, and never ended.
    let mut running = strict(world.stonewal("backup dump")).start();
    let begun = || async { world.deeds("backup.dump").await.len() == 3 };
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
    let running: Vec<_> = (0..8).map(|_| world.stonewal("verify --level checksum").start()).collect();
    for one in running {
        one.end().await.good();
    }
    world.stonewal("verify --level checksum").end().await.good();
    let records = world.audit().await;
    assert_eq!(records.len(), before + 18);
    // Forks are joined: only the last record of all is named by none.
    let unnamed =
        records.iter().filter(|one| records.iter().all(|by| by.previous.iter().all(|l| l.record != one.record)));
    assert_eq!(unnamed.count(), 1);
    assert!(records.iter().any(|record| record.previous.len() > 1) || records.iter().all(|r| r.previous.len() < 2));
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
