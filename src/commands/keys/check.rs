//! `stonewal keys check`: do these keys open every data key there is? No data is read.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;

use super::every::{Use, each};
use super::rewrap::Closed;
use crate::catalog::{Access, Finding};
use crate::commands::{Connected, Error, RepositoryOptions, Result};
use crate::keys::Keyring;
use crate::limits::{FINDINGS_MAX, KEYS_IN_FLIGHT};

/// What to check.
#[derive(Debug)]
pub struct Options {
    /// Where.
    pub repository: RepositoryOptions,
    /// The keys in question.
    pub access: Access,
}

/// What they open.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Bucket and prefix.
    pub location: String,
    /// As whom these keys read, the newest first.
    pub reads_as: Vec<String>,
    /// Whether the data keys of new backups are wrapped to them, as far as the repository says.
    pub counts: Option<bool>,
    /// Data keys there are.
    pub keys: u64,
    /// Data keys that opened.
    pub opened: u64,
    /// Those that did not; the first ones.
    pub closed: Vec<Closed>,
    /// How many did not.
    pub closed_count: u64,
    /// Whether a key among them is lost or was tampered with, or WAL is, so that nobody can tell its key.
    pub damaged: bool,
    /// What cannot be read, or does not belong there.
    pub findings: Vec<Finding>,
}

/// Checks.
pub async fn run(options: Options) -> Result<Outcome> {
    let connected = Connected::to(&options.repository).await?;
    let repository = connected.open(options.access).await?;
    let reads_as: Vec<String> =
        repository.with_keyring(|ring| ring.reads_as().iter().map(ToString::to_string).collect());
    if !repository.with_keyring(Keyring::can_read_data) {
        let why = "a writer file reads no data: give a recovery file with --identity-file, or the passphrase";
        return Err(Error::Usage(why.into()));
    }
    let recipients: Vec<String> =
        repository.with_keyring(|ring| ring.recipients().iter().map(ToString::to_string).collect());
    let counts = (!recipients.is_empty()).then(|| reads_as.iter().any(|one| recipients.contains(one)));
    let (mut keys, mut closed, mut closed_count, mut damaged) = (0, Vec::new(), 0, false);
    let opening = &repository;
    let found = each(&repository, async |batch: Vec<Use>| {
        keys += batch.len() as u64;
        let tries = stream::iter(batch).map(|key| async move {
            let opened = key.open(opening).await;
            opened.err().map(|error| Closed::of(&key, error)).transpose()
        });
        let results: Vec<Option<Closed>> = tries.buffered(KEYS_IN_FLIGHT).try_collect().await?;
        for one in results.into_iter().flatten() {
            damaged |= one.damaged;
            closed_count += 1;
            if closed.len() < FINDINGS_MAX {
                closed.push(one);
            }
        }
        Ok(())
    });
    let mut findings = repository.findings().to_vec();
    findings.extend(found.await?);
    damaged |= findings.iter().any(|finding| finding.kind.is_damage());
    let opened = keys - closed_count;
    let location = connected.location;
    Ok(Outcome { location, reads_as, counts, keys, opened, closed, closed_count, damaged, findings })
}
