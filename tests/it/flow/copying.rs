//! Copies under fresh keys, when the store or somebody else interferes.

use stonewal::commands::{Error, reencrypt};
use stonewal::format::BackupId;
use stonewal::observe::Progress;
use stonewal::store::roles::Role;
use tokio_util::sync::CancellationToken;

use super::damage::file_of;
use super::rotation::copying;
use super::stage::{BUCKET, Stage, cluster, id};
use crate::support::gate::Gate;

fn through(stage: &Stage, gate: &Gate, old: &BackupId) -> reencrypt::Options {
    let mut options = copying(stage, Stage::passphrase(), &[old]);
    options.repository.s3.endpoint = Some(gate.endpoint());
    options
}

/// The key of the object that a request is for.
fn key(line: &str) -> String {
    let path = line.split(' ').nth(1).unwrap();
    path.split('?').next().unwrap().strip_prefix(&format!("/{BUCKET}/")).unwrap().to_owned()
}

/// Retention gives up originals for what is published: what the store did not keep must be noticed before.
#[tokio::test]
async fn b05_a_copy_that_cannot_be_read_back_is_none() {
    let Some(stage) = Stage::new("read_back", |_| ()).await else { return };
    let old = stage.backup().await.backup;
    let original = old.to_string();
    let gate = Gate::start(stage.server().endpoint(), move |line| {
        line.starts_with("GET ") && line.contains("/dump/") && !line.contains(&original)
    });
    let gate = gate.await;
    let (progress, never) = (Progress::new(), CancellationToken::new());
    let running = reencrypt::run(through(&stage, &gate, &old), &progress, &never);
    let rotting = async {
        let file = file_of(&stage.options.root, &key(&gate.held(1).await[0]));
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        std::fs::write(&file, bytes).unwrap();
        gate.open();
    };
    let (ended, ()) = tokio::join!(running, rotting);
    let error = ended.unwrap_err();
    assert!(matches!(error, Error::BadCopy { .. }), "{error:?}");
    let listed = stage.list(Role::Reader, Stage::passphrase()).await;
    assert_eq!(listed.backups.iter().map(|row| &row.backup).collect::<Vec<_>>(), [&old]);
    assert!(!stage.bytes(id(&old)).await.is_empty());
}

/// Once the manifest is stored there is a copy: what fails then is told, and is no failure (invariant I2).
#[tokio::test]
async fn i02_a_copy_that_was_committed_is_told_as_one() {
    let Some(stage) = Stage::new("copy_committed", |_| ()).await else { return };
    let old = stage.backup().await.backup;
    let mut committed = false;
    let gate = Gate::start(stage.server().endpoint(), move |line| {
        let before = committed;
        committed |= line.starts_with("PUT ") && line.contains("/manifest-");
        before
    });
    let gate = gate.await;
    let (progress, cancel) = (Progress::new(), CancellationToken::new());
    let running = reencrypt::run(through(&stage, &gate, &old), &progress, &cancel);
    let interrupting = async {
        gate.held(1).await;
        cancel.cancel();
        gate.open();
    };
    let (ended, ()) = tokio::join!(running, interrupting);
    let done = ended.unwrap();
    let (copied, said) = (&done.backups[0], done.warnings.join("\n"));
    assert!(!copied.already && copied.plain_bytes > 0, "{done:?}");
    let left = format!("stonewal verify {} --level decrypt", copied.to);
    assert!(said.contains(&left), "{said}");
    let connected = stage.connected(Role::Reader).await;
    let repository = connected.open(Stage::passphrase()).await.unwrap();
    let facts = stonewal::commands::retention::gather(&connected, &repository, &cluster()).await.unwrap().facts;
    let fact = facts.backups.iter().find(|fact| fact.id == old).unwrap();
    assert_eq!(fact.replaced_by.as_ref(), Some(&copied.to));
}
