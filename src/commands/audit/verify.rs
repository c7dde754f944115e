//! `stonewal audit verify`: is everything that was recorded still there?

use serde::Serialize;

use crate::catalog::Access;
use crate::commands::{Connected, RepositoryOptions, Result};
use crate::verify::{AuditReport, verify_audit};

/// What to verify.
#[derive(Debug)]
pub struct Options {
    /// Where.
    pub repository: RepositoryOptions,
    /// Keys of any kind: they say whose records count.
    pub access: Access,
    /// Locks that end within this time are told.
    pub soon: std::time::Duration,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Bucket and prefix.
    pub location: String,
    /// Of the whole log.
    #[serde(flatten)]
    pub report: AuditReport,
}

/// Verifies.
pub async fn run(options: Options) -> Result<Outcome> {
    let connected = Connected::to(&options.repository).await?;
    let repository = connected.open(options.access).await?;
    let report = verify_audit(&repository, options.soon).await?;
    Ok(Outcome { location: connected.location, report })
}
