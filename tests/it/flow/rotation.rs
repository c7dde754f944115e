//! Keys added, rotated and revoked (PAINS B5, B16): nothing that is stored is rewritten, and no right to delete is used (B6).

use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;
use stonewal::catalog::{self, Access};
use stonewal::commands::keys::{Holder, add, check, list, revoke, rewrap, rotate};
use stonewal::commands::{Class, Error, Which, reencrypt};
use stonewal::format::BackupId;
use stonewal::keys::{self, Identity, RecoveryFile};
use stonewal::observe::Progress;
use stonewal::store::Prune as _;
use stonewal::store::roles::Role;
use tokio_util::sync::CancellationToken;

use super::lifecycle::puts;
use super::stage::{PASSPHRASE, Stage, id, run_backup};

pub(super) const NEXT: &str = "eighteen basalt columns";
const THIRD: &str = "nineteen slate roofs";

/// As an administrator with a writer's rights at the store: no delete, no bypass, no change of locks.
fn holder(stage: &Stage, passphrase: &str) -> Holder {
    Holder { repository: stage.repository(Role::Writer), passphrase: passphrase.into(), bundle: None }
}

fn recovery(path: &Path) -> Access {
    let text = std::fs::read_to_string(path).unwrap();
    Access::Recovery(RecoveryFile::decode(&SecretString::from(text)).unwrap())
}

async fn added(stage: &Stage, what: add::What, past: bool) -> add::Outcome {
    add::run(add::Options { holder: holder(stage, PASSPHRASE), what, name: Some("safe 2".into()), past }).await.unwrap()
}

pub(super) async fn rotated(
    stage: &Stage,
    from: &str,
    to: &str,
    identity: bool,
) -> stonewal::commands::Result<rotate::Outcome> {
    let holder = holder(stage, from);
    rotate::run(rotate::Options { holder, new_passphrase: to.into(), name: None, identity }).await
}

async fn checked(stage: &Stage, access: Access) -> check::Outcome {
    check::run(check::Options { repository: stage.repository(Role::Reader), access }).await.unwrap()
}

async fn rewrapped(stage: &Stage) -> stonewal::commands::Result<rewrap::Outcome> {
    rewrap::run(rewrap::Options { repository: stage.repository(Role::Writer), access: Stage::passphrase() }).await
}

fn is_retired(error: &Error) -> bool {
    let found = matches!(error, Error::Catalog(catalog::Error::Keys(keys::Error::Retired { .. })))
        || matches!(error, Error::Keys(keys::Error::Retired { .. }));
    found && error.class() == Class::Usage && error.hint().is_some()
}

/// What `access` restores of a backup, or why not.
async fn read(stage: &Stage, which: Which, access: Access) -> stonewal::commands::Result<usize> {
    let (bytes, ended) = stage.restored(which, |options| options.access = access).await;
    ended.map(|_| bytes.len())
}

/// PAINS B16: the host has nothing but its writer file, and learns of the recipient from the bucket.
#[tokio::test]
async fn b05_an_added_recipient_reads_what_comes_and_with_past_what_was() {
    let Some(stage) = Stage::light("added_recipient", |_| ()).await else { return };
    let old = stage.backup().await;
    let file = stage.dir.path().join("second.txt");
    let outcome = added(&stage, add::What::RecoveryFile(file.clone()), false).await;
    assert_eq!((outcome.recipients, outcome.generation), (3, 2));
    let new = stage.backup().await;

    let found = checked(&stage, recovery(&file)).await;
    assert_eq!((found.keys, found.opened, found.closed_count), (4, 2, 2), "{found:?}");
    assert!(!found.damaged && found.counts == Some(true));
    assert!(found.closed.iter().all(|closed| closed.of.contains(old.backup.as_str())), "{found:?}");
    assert!(read(&stage, id(&new.backup), recovery(&file)).await.unwrap() > 0);
    let refused = read(&stage, id(&old.backup), recovery(&file)).await.unwrap_err();
    assert_eq!(refused.class(), Class::Integrity, "{refused}");

    let before = stage.entries().await.len();
    let done = rewrapped(&stage).await.unwrap();
    assert_eq!((done.keys, done.added, done.already, done.closed_count), (4, 2, 2, 0), "{done:?}");
    assert_eq!(stage.entries().await.len(), before + 2, "one wrap for each old key, and nothing else");
    let again = rewrapped(&stage).await.unwrap();
    assert_eq!((again.added, again.already), (0, 4));
    assert!(stage.locks().await.values().all(|(lock, _)| lock.is_some()), "{:?}", stage.locks().await);
    assert_eq!(checked(&stage, recovery(&file)).await.closed_count, 0);
    assert!(read(&stage, id(&old.backup), recovery(&file)).await.unwrap() > 0);
    assert_eq!(checked(&stage, stage.recovery()).await.closed_count, 0);

    let options =
        list::Options { repository: stage.repository(Role::Reader), access: Stage::passphrase(), data_keys: true };
    let listed = list::run(options).await.unwrap();
    let counts: Vec<_> = listed.recipients.iter().map(|key| key.data_keys).collect();
    assert_eq!(counts, [Some(4); 3], "{listed:?}");
    assert!(listed.writers.iter().any(|writer| writer.name == "db1" && writer.locked_until.is_some()));
    assert!(listed.passphrases.iter().all(|key| key.locked_until.is_some()) && listed.findings.is_empty());
}

/// PAINS B5. The whole rotation by a writer: no delete, no bypass, no key PUT twice.
#[tokio::test]
async fn b05_i03_old_backups_restore_with_either_passphrase_new_ones_with_the_current() {
    let Some(stage) = Stage::light("rotation", |_| ()).await else { return };
    let old = stage.backup().await;
    let done = rotated(&stage, PASSPHRASE, NEXT, true).await.unwrap();
    assert!(done.former_identity.is_some() && done.retired.len() == 1 && done.recipients == 2, "{done:?}");
    let by_host = stage.backup().await;
    let next = || Access::Passphrase(NEXT.into());
    let by_operator = run_backup(stage.backup_options_with(next())).await.unwrap();
    let error = run_backup(stage.backup_options_with(Stage::passphrase())).await.unwrap_err();
    assert!(is_retired(&error), "{error}");

    let length = read(&stage, id(&old.backup), next()).await.unwrap();
    assert_eq!(read(&stage, id(&old.backup), Stage::passphrase()).await.unwrap(), length);
    for backup in [&by_host.backup, &by_operator.backup] {
        assert_eq!(read(&stage, id(backup), next()).await.unwrap(), length);
        assert_eq!(read(&stage, id(backup), stage.recovery()).await.unwrap(), length);
        let refused = read(&stage, id(backup), Stage::passphrase()).await.unwrap_err();
        let closed = matches!(refused, Error::Catalog(catalog::Error::Keys(keys::Error::NotARecipient { .. })));
        assert!(closed, "{refused}");
    }
    let listed = stage.list(Role::Reader, Stage::passphrase()).await;
    assert!(listed.findings.iter().any(|finding| finding.to_string().contains("counts no more")), "{listed:?}");
    assert!(stage.list(Role::Reader, next()).await.findings.is_empty(), "its own bundles are no forgeries");
    // A host that is made now gets what counts now.
    assert!(is_retired(&stonewal::commands::writer::run(writer(&stage, PASSPHRASE)).await.unwrap_err()));
    stonewal::commands::writer::run(writer(&stage, NEXT)).await.unwrap();

    let log = stage.log();
    let mut keys: Vec<_> = puts(&log).map(|put| put.key.clone()).collect();
    let all = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), all, "a key was PUT twice");
    for request in log.iter().filter(|request| request.user != Some(Role::Admin)) {
        let action = request.action.as_deref().unwrap_or_default();
        assert!(
            !action.contains("Delete") && action != "PutObjectRetention" && request.method != "DELETE",
            "{request:?}"
        );
        assert!(!request.headers.contains_key("x-amz-bypass-governance-retention"), "{request:?}");
    }
}

fn writer(stage: &Stage, passphrase: &str) -> stonewal::commands::writer::Options {
    let out = stage.dir.path().join(format!("{passphrase}.writer"));
    let repository = stage.repository(Role::Writer);
    stonewal::commands::writer::Options {
        repository,
        passphrase: passphrase.into(),
        bundle: None,
        name: "db2".into(),
        out,
    }
}

#[tokio::test]
async fn of_two_rotations_at_once_one_counts() {
    let Some(stage) = Stage::light("two_rotations", |_| ()).await else { return };
    rotated(&stage, PASSPHRASE, "the first of many stones", false).await.unwrap();
    let from = "the first of many stones";
    let (a, b) = ("rotated by the left hand", "rotated by the right hand");
    let (left, right) = tokio::join!(rotated(&stage, from, a, false), rotated(&stage, from, b, false));
    let (won, lost, error) = match (left, right) {
        (Ok(_), Err(error)) => (a, b, error),
        (Err(error), Ok(_)) => (b, a, error),
        both => panic!("{both:?}"),
    };
    assert!(matches!(error, Error::Catalog(catalog::Error::KeysChanged { .. })) || is_retired(&error), "{error}");
    let made = run_backup(stage.backup_options_with(Access::Passphrase(won.into()))).await.unwrap();
    for refused in [lost, from, PASSPHRASE] {
        let error = run_backup(stage.backup_options_with(Access::Passphrase(refused.into()))).await.unwrap_err();
        let unknown = matches!(error, Error::Catalog(catalog::Error::Keys(keys::Error::WrongPassphrase)));
        assert!(is_retired(&error) || (unknown && refused == lost), "{refused}: {error}");
    }
    // Without a new identity the old passphrase goes on reading, and the command says so.
    assert!(read(&stage, id(&made.backup), Stage::passphrase()).await.unwrap() > 0);
}

#[tokio::test]
async fn a_revoked_recipient_reads_nothing_new_and_a_second_passphrase_everything() {
    let Some(stage) = Stage::light("revoked", |_| ()).await else { return };
    stage.backup().await;
    let identity = Identity::generate();
    let what = add::What::Recipient(identity.recipient());
    assert!(!added(&stage, what, true).await.already);
    let again = added(&stage, add::What::Recipient(identity.recipient()), true).await;
    assert!(again.already && again.past.unwrap().added == 0);
    let second = added(&stage, add::What::Passphrase(NEXT.into()), false).await;
    assert!(read(&stage, Which::Latest, Access::Passphrase(NEXT.into())).await.unwrap() > 0);

    let revoked = |what: String| revoke::run(revoke::Options { holder: holder(&stage, NEXT), what });
    let done = revoked(identity.recipient().to_string()).await.unwrap();
    assert!(done.recipients == 2 && done.locked_until.is_some());
    let error = revoked(identity.recipient().to_string()).await.unwrap_err();
    assert_eq!(error.class(), Class::Usage, "{error}");
    let error = revoked(second.added.clone()).await.unwrap_err();
    assert_eq!(error.class(), Class::Usage, "the passphrase in use: {error}");
    let theirs = || {
        let file = stage.writer_file();
        let (repository, root) = (file.repository, file.root);
        Access::Recovery(RecoveryFile { repository, root, identity: identity.clone(), former: Vec::new() })
    };
    stage.backup().await;
    let found = checked(&stage, theirs()).await;
    assert_eq!((found.opened, found.closed_count, found.counts), (2, 2, Some(false)), "{found:?}");
    assert!(found.findings.iter().any(|finding| finding.to_string().contains("any more")), "{found:?}");

    let first = Stage::passphrase();
    let listed =
        list::run(list::Options { repository: stage.repository(Role::Reader), access: first, data_keys: false });
    let print = listed.await.unwrap().passphrases[0].id.clone();
    revoked(print).await.unwrap();
    let error = run_backup(stage.backup_options_with(Stage::passphrase())).await.unwrap_err();
    assert!(is_retired(&error), "{error}");
}

#[tokio::test]
async fn a_rewrap_that_was_killed_is_completed() {
    let Some(stage) = Stage::light("killed_rewrap", |_| ()).await else { return };
    for _ in 0..3 {
        stage.backup().await;
    }
    let file = stage.dir.path().join("second.txt");
    added(&stage, add::What::RecoveryFile(file.clone()), false).await;
    // Dropped at every point where it waits, as a killed process is: later each time.
    let mut millis = 1;
    let done = loop {
        match tokio::time::timeout(Duration::from_millis(millis), rewrapped(&stage)).await {
            Ok(done) => break done.unwrap(),
            Err(_) => millis += millis / 2 + 1,
        }
    };
    assert_eq!((done.keys, done.added + done.already, done.closed_count), (6, 6, 0), "{done:?}");
    assert_eq!(checked(&stage, recovery(&file)).await.closed_count, 0);
    let wraps = stage.entries().await.iter().filter(|entry| entry.key.as_str().contains("/keys/")).count();
    assert_eq!(wraps, 12, "one more for each key");
    // A key of which every wrap is gone: nothing "reads as before" of what was sealed under it.
    let wraps: Vec<_> =
        stage.entries().await.into_iter().filter(|entry| entry.key.as_str().contains("/keys/")).collect();
    let (lost, _) = wraps[0].key.as_str().rsplit_once('/').unwrap();
    let store = stage.connected(Role::Admin).await.store;
    for wrap in wraps.iter().filter(|wrap| wrap.key.as_str().starts_with(&format!("{lost}/"))) {
        store.delete_version(&wrap.key, &wrap.version, true).await.unwrap();
    }
    let done = rewrapped(&stage).await.unwrap();
    assert_eq!((done.keys, done.already, done.closed_count, done.damaged_count), (6, 5, 1, 1), "{done:?}");
}

#[tokio::test]
async fn a_new_passphrase_must_be_new_and_the_old_one_right() {
    let Some(stage) = Stage::light("wrong_passphrases", |_| ()).await else { return };
    let before = stage.entries().await.len();
    for (from, to) in [(PASSPHRASE, PASSPHRASE), (PASSPHRASE, "")] {
        let error = rotated(&stage, from, to, false).await.unwrap_err();
        assert_eq!(error.class(), Class::Usage, "{error}");
    }
    let error = rotated(&stage, "mistyped", NEXT, false).await.unwrap_err();
    assert_eq!(error.class(), Class::Integrity, "{error}");
    assert_eq!(stage.entries().await.len(), before, "nothing was stored");
}

/// PAINS B5. A real compromise: the copy opens for the new key alone, keeps its times and takes the place of the original.
#[tokio::test]
async fn b05_a_copy_under_fresh_keys_takes_the_place_of_its_original() {
    let Some(stage) = Stage::new("reencrypt", |_| ()).await else { return };
    let old = stage.backup().await;
    let other = stage.backup().await;
    let bytes = stage.bytes(id(&old.backup)).await;
    rotated(&stage, PASSPHRASE, NEXT, true).await.unwrap();
    let options = |access, backups: &[&BackupId]| copying(&stage, access, backups);
    let next = || Access::Passphrase(NEXT.into());
    let never = CancellationToken::new();
    let progress = Progress::new();
    for access in [stage.writer_access(), Stage::passphrase()] {
        let refused = reencrypt::run(options(access, &[&old.backup]), &progress, &never).await.unwrap_err();
        assert_eq!(refused.class(), Class::Usage, "{refused}");
    }
    let unknown: BackupId = "20200101T000000Z-00000000".parse().unwrap();
    let before = stage.entries().await.len();
    reencrypt::run(options(next(), &[&old.backup, &unknown]), &progress, &never).await.unwrap_err();
    assert_eq!(stage.entries().await.len(), before, "all must exist before the first is copied");

    // Cut short anywhere, it leaves no copy that counts, and can be run again.
    let mut millis = 40;
    loop {
        let running = reencrypt::run(options(next(), &[&old.backup]), &progress, &never);
        if tokio::time::timeout(Duration::from_millis(millis), running).await.is_ok() {
            break;
        }
        millis *= 3;
    }
    let done = reencrypt::run(options(next(), &[&old.backup]), &progress, &never).await.unwrap();
    assert!(done.backups[0].already, "{done:?}");
    let copy = done.backups[0].to.clone();
    let (restored, ended) = stage.restored(id(&copy), |options| options.access = next()).await;
    assert!(ended.is_ok() && restored == bytes);
    let refused = read(&stage, id(&copy), Stage::passphrase()).await.unwrap_err();
    assert!(matches!(refused, Error::Catalog(catalog::Error::Keys(keys::Error::NotARecipient { .. }))), "{refused}");

    let shown = |which| stage.show(Role::Reader, next(), which);
    let (first, second) = (shown(id(&old.backup)).await.clear, shown(id(&copy)).await.clear);
    assert_eq!(
        (first.started_at, first.kind, &first.server_version),
        (second.started_at, second.kind, &second.server_version)
    );
    assert_eq!(second.copy_of.as_ref().map(|of| &of.backup), Some(&old.backup));

    let listed = stage.list(Role::Reader, next()).await.backups;
    let row = |id: &BackupId| listed.iter().find(|row| row.backup == *id).unwrap();
    assert_eq!((row(&copy).copy_of.as_ref(), row(&old.backup).copy_of.as_ref()), (Some(&old.backup), None));
    assert_eq!(row(&copy).arrived_at, row(&old.backup).arrived_at, "as in the plan");
    let connected = stage.connected(Role::Reader).await;
    let repository = connected.open(next()).await.unwrap();
    let facts =
        stonewal::commands::retention::gather(&connected, &repository, &super::stage::cluster()).await.unwrap().facts;
    let fact = |id: &BackupId| facts.backups.iter().find(|fact| fact.id == *id).unwrap();
    assert_eq!(fact(&old.backup).replaced_by.as_ref(), Some(&copy));
    assert_eq!((fact(&other.backup).replaced_by.as_ref(), fact(&copy).replaced_by.as_ref()), (None, None));
    assert_eq!(fact(&copy).arrived_at, fact(&old.backup).arrived_at, "it is as old as its original");
    copied_again_after_a_rotation(&stage, &old.backup, &copy).await;
}

pub(super) fn copying(stage: &Stage, access: Access, backups: &[&BackupId]) -> reencrypt::Options {
    reencrypt::Options {
        repository: stage.repository(Role::Writer),
        access,
        cluster: super::stage::cluster(),
        backups: backups.iter().map(|id| (*id).clone()).collect(),
        wal: false,
        chunk_bytes: stonewal::limits::CHUNK_BYTES_MIN,
        uploads: 2,
        downloads: 2,
    }
}

/// What was copied before a rotation opens for who was revoked by it, so it is no copy that would do now.
async fn copied_again_after_a_rotation(stage: &Stage, old: &BackupId, copy: &BackupId) {
    tokio::time::sleep(Duration::from_secs(1)).await;
    rotated(stage, NEXT, THIRD, true).await.unwrap();
    let third = || Access::Passphrase(THIRD.into());
    let (progress, never) = (Progress::new(), CancellationToken::new());
    let done = reencrypt::run(copying(stage, third(), &[old]), &progress, &never).await.unwrap();
    let later = done.backups[0].to.clone();
    assert!(!done.backups[0].already && later != *copy && done.warnings.is_empty(), "{done:?}");
    let refused = read(stage, id(&later), Access::Passphrase(NEXT.into())).await.unwrap_err();
    assert!(matches!(refused, Error::Catalog(catalog::Error::Keys(keys::Error::NotARecipient { .. }))), "{refused}");
    let done = reencrypt::run(copying(stage, third(), &[old, copy]), &progress, &never).await.unwrap();
    assert!(done.backups.iter().all(|one| one.already && one.to == later), "{done:?}");
    let connected = stage.connected(Role::Reader).await;
    let repository = connected.open(third()).await.unwrap();
    let facts =
        stonewal::commands::retention::gather(&connected, &repository, &super::stage::cluster()).await.unwrap().facts;
    let fact = |id: &BackupId| facts.backups.iter().find(|fact| fact.id == *id).unwrap();
    assert_eq!([old, copy].map(|id| fact(id).replaced_by.as_ref()), [Some(&later); 2]);
    assert_eq!((fact(&later).replaced_by.as_ref(), fact(&later).copy_of.as_ref()), (None, Some(old)));
}
