//! `stonewal wal verify`: is the WAL there without a hole, genuine and readable?

use serde::Serialize;

use super::{Connected, Error, RepositoryOptions, Result};
use crate::catalog::{Access, Finding};
use crate::format::ClusterName;
use crate::observe::Progress;
use crate::verify::{WalLevel, WalReport, verify_wal};

/// What to verify.
#[derive(Debug)]
pub struct Options {
    /// Where.
    pub repository: RepositoryOptions,
    /// Keys of any kind; for the deepest level, ones that read.
    pub access: Access,
    /// One cluster; `None` = all.
    pub cluster: Option<ClusterName>,
    /// How deep.
    pub level: WalLevel,
}

/// All results.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// How deep.
    pub level: WalLevel,
    /// Clusters that have WAL, by name.
    pub clusters: Vec<WalReport>,
    /// What was found among the keys and records.
    pub beside: Vec<Finding>,
}

/// Verifies. Damage is a result, not an error; an error means that we could not look.
pub async fn run(options: Options, progress: &Progress) -> Result<Outcome> {
    let connected = Connected::to(&options.repository).await?;
    let repository = connected.open(options.access).await?;
    if options.level == WalLevel::Full && !repository.with_keyring(crate::keys::Keyring::can_read_data) {
        let why = "level full needs keys that can read; a writer file can verify with --level headers";
        return Err(Error::Usage(why.into()));
    }
    let all = match options.cluster {
        Some(cluster) => vec![cluster],
        None => repository.clusters().await?,
    };
    let mut clusters = Vec::new();
    for cluster in &all {
        let report = verify_wal(&repository, cluster, options.level, progress).await?;
        if !report.timelines.is_empty() || all.len() == 1 {
            clusters.push(report);
        }
    }
    Ok(Outcome { level: options.level, clusters, beside: repository.findings().to_vec() })
}
