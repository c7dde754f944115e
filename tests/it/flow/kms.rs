//! A key in AWS KMS as a recipient: hosts know nothing of KMS, readers hold nothing but the right to use the key.

use std::path::Path;
use std::sync::Arc;

use aws_sdk_kms::types::{KeySpec, KeyUsageType};
use secrecy::SecretString;
use stonewal::catalog::{self, Access};
use stonewal::commands::keys::{Holder, add, check, revoke, rewrap};
use stonewal::commands::{Class, Error, Which, doctor};
use stonewal::keys::{self, Agreement, KmsAccess, KmsError, KmsFile};
use stonewal::kms::{KmsOptions, service};
use stonewal::store::roles::Role;

use super::stage::{PASSPHRASE, Stage, id};
use crate::support::kms::Keys;
use crate::support::servers::LocalStack;
use crate::support::skip;

fn holder(stage: &Stage) -> Holder {
    Holder { repository: stage.repository(Role::Writer), passphrase: PASSPHRASE.into(), bundle: None }
}

/// Whoever has the file, and asks this service.
fn with(file: &Path, service: Option<Arc<dyn Agreement>>) -> Access {
    let file = KmsFile::decode(&SecretString::from(std::fs::read_to_string(file).unwrap())).unwrap();
    Access::Kms(Box::new(KmsAccess { file, service }))
}

async fn added(
    stage: &Stage,
    key: &str,
    options: &KmsOptions,
    file: &Path,
) -> stonewal::commands::Result<add::Outcome> {
    let what = add::What::Kms { key: key.into(), options: options.clone(), file: file.into() };
    add::run(add::Options { holder: holder(stage), what, name: Some("cloud".into()), past: false }).await
}

async fn read(stage: &Stage, which: Which, access: Access) -> stonewal::commands::Result<usize> {
    let (bytes, ended) = stage.restored(which, |options| options.access = access).await;
    ended.map(|_| bytes.len())
}

fn of_kms(error: &Error) -> Option<&KmsError> {
    match error {
        Error::Keys(keys::Error::Kms(error)) | Error::Catalog(catalog::Error::Keys(keys::Error::Kms(error))) => {
            Some(error)
        }
        _ => None,
    }
}

/// PAINS B5, B16. LocalStack enforces no policy and lets disabled keys agree; a doomed key is out of use there too.
#[tokio::test]
async fn i07_b05_a_key_in_kms_opens_what_hosts_without_kms_wrote() {
    let server = match LocalStack::find() {
        Ok(server) => server,
        Err(why) => return skip("a key in KMS as a recipient", &why),
    };
    let Some(stage) = Stage::new("kms", |_| ()).await else { return };
    let (keys, file) = (Keys::of(&server), stage.dir.path().join("kms.txt"));
    let (options, (arn, alias)) = (keys.options(), keys.agreeing("flow").await);

    let signing = keys.key(KeySpec::EccNistP256, KeyUsageType::SignVerify).await;
    let refused = added(&stage, &signing, &options, &file).await.unwrap_err();
    let hint = refused.hint().unwrap_or_default();
    assert!(
        matches!(of_kms(&refused), Some(KmsError::OtherKind { .. })) && hint.contains("KEY_AGREEMENT"),
        "{refused}"
    );
    let refused = added(&stage, "alias/nobody", &options, &file).await.unwrap_err();
    assert!(matches!(of_kms(&refused), Some(KmsError::NoKey { .. })), "{refused}");
    assert!(!file.exists());

    let old = stage.backup().await;
    let done = added(&stage, &alias, &options, &file).await.unwrap();
    assert!(done.recipients == 3 && !done.already && done.added.ends_with(&format!(":{arn}")), "{done:?}");
    let again = added(&stage, &arn, &options, &stage.dir.path().join("again.txt")).await.unwrap();
    assert!(again.already && again.generation == done.generation, "{again:?}");
    let new = stage.backup().await;

    let ask = || service(options.clone());
    let length = read(&stage, id(&new.backup), Stage::passphrase()).await.unwrap();
    assert_eq!(read(&stage, id(&new.backup), with(&file, ask())).await.unwrap(), length);
    let refused = read(&stage, id(&old.backup), with(&file, ask())).await.unwrap_err();
    assert!(matches!(refused, Error::Catalog(catalog::Error::Keys(keys::Error::NotARecipient { .. }))), "{refused}");
    let wrapped =
        rewrap::run(rewrap::Options { repository: stage.repository(Role::Writer), access: Stage::passphrase() }).await;
    assert_eq!(wrapped.unwrap().added, 2);
    assert!(read(&stage, id(&old.backup), with(&file, ask())).await.unwrap() > 0);
    let checked =
        async |access| check::run(check::Options { repository: stage.repository(Role::Reader), access }).await;
    let found = checked(with(&file, ask())).await.unwrap();
    assert_eq!((found.keys, found.opened, found.counts), (4, 4, Some(true)), "{found:?}");

    let doctored = stage.doctor_options(Role::Reader, Some(with(&file, ask())));
    let outcome = doctor::run(doctor::Options { probe: false, ..doctored }).await.unwrap();
    let told = outcome.checks.iter().find(|check| check.name == "recipients").unwrap();
    assert_eq!(told.detail, "data keys are wrapped to 3 recipients, 1 of them in AWS KMS");

    // Whoever cannot ask is told so, and is not told that backups are damaged.
    let refused = read(&stage, id(&new.backup), with(&file, None)).await.unwrap_err();
    assert!(refused.class() == Class::Usage && refused.to_string().contains("feature `kms`"), "{refused}");
    let nowhere = KmsOptions { endpoint: Some("http://127.0.0.1:9".into()), ..options.clone() };
    let refused = read(&stage, id(&new.backup), with(&file, service(nowhere))).await.unwrap_err();
    assert!(matches!(of_kms(&refused), Some(KmsError::Unreachable { .. })) && refused.is_passing(), "{refused}");
    keys.doom(&arn).await;
    let refused = read(&stage, id(&new.backup), with(&file, ask())).await.unwrap_err();
    assert!(matches!(of_kms(&refused), Some(KmsError::OutOfUse { .. })), "{refused}");
    assert!(refused.class() == Class::Failed && refused.hint().is_some_and(|hint| hint.contains("enable the key")));
    assert!(of_kms(&checked(with(&file, ask())).await.unwrap_err()).is_some(), "no list of keys that do not open");
    assert_eq!(read(&stage, id(&new.backup), Stage::passphrase()).await.unwrap(), length);

    let done = revoke::run(revoke::Options { holder: holder(&stage), what: arn }).await.unwrap();
    assert_eq!(done.recipients, 2);
}
