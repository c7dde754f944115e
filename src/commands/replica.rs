//! `stonewal replica`: a copy of the repository in another bucket, filled, compared, shown.
//!
//! Everything here is about ciphertext and needs storage credentials only: reading ones for the repository, writing ones for a
//! replica that is filled.

pub mod copy;
mod copying;
pub mod list;
mod pace;
mod pairs;
mod pinned;
pub mod verify;

pub(super) use pairs::is_copy;

use std::sync::Arc;
use std::time::Duration;

use super::sides::check_other;
use super::{Error, Replica, RepositoryOptions, Result};
use crate::format::names::Names;
use crate::limits::{CHUNK_BYTES_MAX, MANIFEST_BYTES_MAX, SMALL_OBJECT_BYTES_MAX};
use crate::store::{self, Checksum, Entry, ObjectKey, Read as _, S3, S3Options, versions_of};

/// No object of ours is longer.
const OBJECT_BYTES_MAX: u64 =
    if MANIFEST_BYTES_MAX > CHUNK_BYTES_MAX as u64 { MANIFEST_BYTES_MAX } else { CHUNK_BYTES_MAX as u64 };

/// What lies under a replica's name for the repository record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// The record of this repository.
    Same,
    /// Nothing: it was not filled yet.
    None,
    /// The record of another repository, or something else.
    Other,
}

/// Both buckets.
struct Ends {
    here: Arc<S3>,
    there: Arc<S3>,
    names: Names,
    name: String,
    /// Where the copy is, for people.
    location: String,
    max_lag: Duration,
}

impl Ends {
    /// Connects to the repository and to the replica called `name`; asks nothing yet.
    async fn of(options: &RepositoryOptions, name: &str) -> Result<Self> {
        let names = Names::new(&options.prefix)?;
        let replica = find(options, name)?;
        replica.s3.check_profile().await?;
        let location = format!("s3://{}/{}", replica.s3.bucket, names.prefix());
        let here = Arc::new(S3::connect(options.s3.clone()).await?);
        // What is copied is known by its SHA-256, so that is what the far side keeps and shows.
        let options = S3Options { checksum: Checksum::Sha256, ..replica.s3.clone() };
        let there = Arc::new(S3::connect(options).await?);
        check_other(&here, &there, replica)?;
        Ok(Self { here, there, names, name: name.to_owned(), location, max_lag: replica.max_lag })
    }

    /// Whose record the replica holds. Of several under the name, ours counts: somebody else may have been faster.
    async fn identity(&self) -> Result<Identity> {
        let key = ObjectKey::new(self.names.repository());
        let small = |entry: &Entry| entry.bytes <= SMALL_OBJECT_BYTES_MAX;
        let ours = versions_of(&*self.here, &key, small).await?;
        let Some(ours) = ours.first() else {
            return Err(crate::catalog::Error::NoRepository { location: self.here.bucket().to_owned() }.into());
        };
        let record = self.here.get(&key, &ours.version, 0..ours.bytes).await?;
        let theirs = versions_of(&*self.there, &key, small).await.map_err(|error| self.without_bucket(error))?;
        for entry in theirs.iter().filter(|entry| entry.bytes == ours.bytes) {
            if self.there.get(&key, &entry.version, 0..entry.bytes).await? == record {
                return Ok(Identity::Same);
            }
        }
        Ok(if theirs.is_empty() { Identity::None } else { Identity::Other })
    }

    /// What to do where the replica's bucket is missing: `stonewal init` would put another repository there, under locks.
    fn without_bucket(&self, error: store::Error) -> Error {
        if !matches!(error, store::Error::NoBucket { .. }) {
            return error.into();
        }
        Error::NotReady {
            what: format!("replica {}: {error}", self.name),
            remedy: "check the section replica.NAME, or create the bucket with versioning and Object Lock (infra/), not with `stonewal init`: that would put another repository there, which nobody can delete".into(),
        }
    }

    /// Refuses a bucket that holds another repository.
    async fn check_identity(&self) -> Result<Identity> {
        match self.identity().await? {
            Identity::Other => Err(Error::OtherReplica { name: self.name.clone(), location: self.location.clone() }),
            identity => Ok(identity),
        }
    }
}

fn find<'a>(options: &'a RepositoryOptions, name: &str) -> Result<&'a Replica> {
    let found = options.replicas.iter().find(|replica| replica.name == name);
    let known: Vec<&str> = options.replicas.iter().map(|replica| replica.name.as_str()).collect();
    let known = if known.is_empty() { "there is none".to_owned() } else { format!("known: {}", known.join(", ")) };
    found.ok_or_else(|| Error::Usage(format!("the configuration has no section replica.{name} ({known})")))
}
