//! Is what was stored still there, unchanged, locked and readable?

mod audit;
pub mod chain;
mod findings;
mod listed;
pub mod restored;
mod sample;
mod streams;
mod wal;

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

pub use audit::{AuditReport, Break, BreakKind, Unfinished, verify_audit};
#[cfg(test)]
pub(crate) use audit::{Bounds as AuditBounds, verify_within as verify_audit_within};
pub use findings::Findings;
pub use sample::{Coverage, Percent, Sample};
pub use wal::{Gap, TimelineReport, WalLevel, WalReport, Window, verify_wal};

use crate::catalog::{self, Backup, Repository};
use crate::observe::Progress;
use crate::pipeline;

/// How deep to look. Each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Every object is listed in its pinned version and locked long enough; no data is read.
    List,
    /// Every object holds the bytes recorded: reads everything, needs no key.
    Checksum,
    /// Every frame authenticates and decompresses: reads everything, needs the payload keys.
    Decrypt,
}

impl Level {
    const ALL: [(Self, &str); 3] = [(Self::List, "list"), (Self::Checksum, "checksum"), (Self::Decrypt, "decrypt")];
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(level, _)| level == self).map_or("", |(_, name)| name))
    }
}

impl FromStr for Level {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let level = Self::ALL.iter().find(|(_, name)| *name == text).map(|(level, _)| *level);
        level.ok_or_else(|| format!("{text:?} is none of list, checksum, decrypt"))
    }
}

/// A verification that could not be carried out; what it would have found is unknown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The repository could not be searched or its keys not opened.
    #[error(transparent)]
    Catalog(#[from] catalog::Error),
    /// Data could not be fetched.
    #[error(transparent)]
    Pipeline(#[from] pipeline::Error),
}

/// How to verify.
#[derive(Clone, Debug)]
pub struct Options {
    /// How deep.
    pub level: Level,
    /// What is read of the data; `None` = everything. Listings and locks are looked at whole.
    pub sample: Option<Sample>,
    /// Chunks fetched at once.
    pub downloads: usize,
    /// Counts what was fetched.
    pub progress: Progress,
}

/// What listings show of one backup: whether all that its manifest pins is there, in these versions and lengths, and what
/// lies over it. Reads no object and no lock.
pub async fn presence(repository: &Repository, backup: &Backup) -> Result<Findings, Error> {
    let mut findings = Findings::default();
    listed::presence(repository, backup, &mut findings).await?;
    Ok(findings)
}

/// Verifies one backup. What is wrong with it is in the result; an error means that the store did not let us look.
pub async fn verify(repository: &Repository, backup: &Backup, options: &Options) -> Result<Findings, Error> {
    let mut findings = Findings::default();
    listed::check(repository, backup, &mut findings).await?;
    match options.level {
        Level::List => {}
        Level::Checksum => streams::checksum(repository, backup, options, &mut findings).await?,
        Level::Decrypt => streams::decrypt(repository, backup, options, &mut findings).await?,
    }
    Ok(findings)
}
