//! The right key, the wrong key, somebody else's key, and an `init` that was interrupted.

use stonewal::catalog::{self, Access};
use stonewal::commands::{Class, Error, Which, doctor, init};
use stonewal::keys;
use stonewal::store::roles::Role;
use stonewal::store::{Append as _, Prune as _};
use stonewal::verify::Level;

use super::stage::{PASSPHRASE, Stage, run_backup};

#[tokio::test]
async fn the_recovery_file_opens_everything_and_a_wrong_passphrase_nothing() {
    let Some(stage) = Stage::light("recovery_file", |_| ()).await else { return };
    let by_host = stage.backup().await;
    let by_operator = run_backup(stage.backup_options_with(Stage::passphrase())).await.unwrap();
    assert_ne!(by_host.backup, by_operator.backup);
    let before = stage.bytes(Which::Latest).await;
    for which in [Which::Latest, super::stage::id(&by_host.backup)] {
        let (bytes, ended) = stage.restored(which, |options| options.access = stage.recovery()).await;
        assert_eq!(ended.unwrap().plain_bytes, bytes.len() as u64);
        assert_eq!(bytes.len(), before.len());
    }
    let opened = stage.verify(Role::Reader, stage.recovery(), Level::Decrypt).await.unwrap();
    assert!(opened.backups.len() == 2 && !opened.has_findings(), "{opened:?}");

    let wrong = |_: &Stage| Access::Passphrase(format!("{PASSPHRASE}\n").into());
    let (bytes, ended) = stage.restored(Which::Latest, |options| options.access = wrong(&stage)).await;
    let error = ended.unwrap_err();
    let is_wrong = |error: &Error| {
        matches!(error, Error::Catalog(catalog::Error::Keys(keys::Error::WrongPassphrase)))
            && error.class() == Class::Integrity
            && error.hint().is_some()
    };
    assert!(bytes.is_empty() && is_wrong(&error), "{error}");
    let error = run_backup(stage.backup_options_with(wrong(&stage))).await.unwrap_err();
    assert!(is_wrong(&error), "{error}");
    // An operator who mistypes the passphrase does not found a second repository.
    let error = init::run(init::Options { passphrase: "wrong".into(), ..stage.init() }).await.unwrap_err();
    assert!(is_wrong(&error), "{error}");
}

#[tokio::test]
async fn the_recovery_file_cannot_publish() {
    let Some(stage) = Stage::light("recovery_cannot_publish", |_| ()).await else { return };
    let before = stage.entries().await.len();
    let error = run_backup(stage.backup_options_with(stage.recovery())).await.unwrap_err();
    assert_eq!(error.class(), Class::Usage, "{error}");
    assert_eq!(stage.entries().await.len(), before);
}

#[tokio::test]
async fn the_writer_file_of_another_repository_publishes_nothing() {
    let Some(stage) = Stage::light("another_repository", |_| ()).await else { return };
    let mut other = stage.init();
    other.repository.prefix = "elsewhere/".into();
    other.recovery_file = None;
    assert!(init::run(other).await.unwrap().created_repository);
    // PAINS B5: it was made with a passphrase alone, and that is said.
    let mut examined = stage.doctor_options(Role::Writer, Some(Stage::passphrase()));
    (examined.repository.prefix, examined.probe) = ("elsewhere/".into(), false);
    let checks = doctor::run(examined).await.unwrap().checks;
    let alone = checks.iter().find(|check| check.name == "recipients").unwrap();
    assert_eq!(alone.status, doctor::Status::Warn, "{alone:?}");
    assert!(alone.hint.as_ref().unwrap().contains("keys add --recovery-file"), "{alone:?}");
    let before = stage.entries().await.len();
    let mut options = stage.backup_options();
    options.repository.prefix = "elsewhere".into();
    let error = run_backup(options).await.unwrap_err();
    assert!(matches!(error, Error::Catalog(catalog::Error::OtherRepository { .. })), "{error}");
    let mut options = stage.backup_options();
    options.repository.prefix = "nowhere".into();
    let error = run_backup(options).await.unwrap_err();
    assert!(matches!(error, Error::Catalog(catalog::Error::NoRepository { .. })), "{error}");
    assert_eq!(stage.entries().await.len(), before);
}

#[tokio::test]
async fn an_interrupted_init_is_completed_and_a_second_one_changes_nothing() {
    let Some(stage) = Stage::light("interrupted_init", |_| ()).await else { return };
    let again = || init::Options { recovery_file: None, ..stage.init() };
    let entries = stage.entries().await;
    let first = init::run(again()).await.unwrap();
    assert!(!first.created_bucket && !first.created_repository && first.bundle.is_none());
    assert_eq!(first.recipients.len(), 2);
    assert_eq!(stage.entries().await.len(), entries.len(), "an existing repository is left as it is");

    // As after a crash between bundle and record.
    let record = entries.iter().find(|entry| entry.key.as_str() == "flow/repository").unwrap();
    let store = stage.connected(Role::Admin).await.store;
    store.delete_version(&record.key, &record.version, true).await.unwrap();
    let second = init::run(again()).await.unwrap();
    assert_eq!((second.repository, second.created_repository), (first.repository, false));
    assert_eq!(stage.entries().await.len(), entries.len(), "the record is back");
    stage.backup().await;
    let opened = stage.verify(Role::Reader, Stage::passphrase(), Level::Decrypt).await.unwrap();
    assert!(!opened.has_findings() && opened.backups.len() == 1, "{opened:?}");

    let refused = init::run(stage.init()).await.unwrap_err();
    assert!(matches!(refused, Error::Usage(_)), "recipients are named at the beginning: {refused}");
}

/// The record's name is fixed, so its lock cannot be renewed by a copy; a host trusts its certificate instead.
#[tokio::test]
async fn a_host_goes_on_when_the_record_is_gone_or_was_forged_since() {
    let Some(stage) = Stage::light("record_gone", |_| ()).await else { return };
    let entries = stage.entries().await;
    let record = entries.iter().find(|entry| entry.key.as_str() == "flow/repository").unwrap();
    let store = stage.connected(Role::Admin).await.store;
    store.delete_version(&record.key, &record.version, true).await.unwrap();
    let made = stage.backup().await;
    assert!(made.warnings.iter().any(|warning| warning.contains("record is gone")), "{:?}", made.warnings);

    let body = bytes::Bytes::from_static(b"forged");
    store.put(stonewal::store::Put { key: record.key.clone(), body, lock: None }).await.unwrap();
    let made = stage.backup().await;
    assert!(made.warnings.iter().any(|warning| warning.contains("flow/repository")), "{:?}", made.warnings);
    assert!(!stage.bytes(super::stage::id(&made.backup)).await.is_empty());
}
