//! `stonewal verify`: are the backups still there, unchanged, locked and readable?

use serde::Serialize;

use super::{Connected, Error, RepositoryOptions, Result, Which};
use crate::catalog::{Access, Backup, Repository};
use crate::format::{BackupId, ClusterName};
use crate::observe::Progress;
use crate::verify::{self, Coverage, Findings, Level, Percent, Sample};

/// What to verify.
#[derive(Debug)]
pub struct Options {
    /// Where.
    pub repository: RepositoryOptions,
    /// Keys: any kind for `list` and `checksum`, reading ones for `decrypt`.
    pub access: Access,
    /// One cluster; `None` = all.
    pub cluster: Option<ClusterName>,
    /// One backup; `None` = all.
    pub which: Option<Which>,
    /// How deep.
    pub level: Level,
    /// A part of the data that is read instead of all; for levels that read.
    pub sample: Option<Percent>,
    /// What the part is drawn by; `None` = by chance.
    pub seed: Option<u32>,
    /// Chunks fetched at once.
    pub downloads: usize,
}

/// One backup's result.
#[derive(Debug, Serialize)]
pub struct Verified {
    /// Cluster.
    pub cluster: ClusterName,
    /// Backup.
    pub backup: BackupId,
    /// Bytes stored.
    pub stored_bytes: u64,
    /// Whether it can be restored as far as this level can tell.
    pub whole: bool,
    /// What is wrong with it or lies beside it.
    pub findings: Findings,
}

/// All results.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// How deep.
    pub level: Level,
    /// What was drawn, and how much that came to; absent where everything was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sampled>,
    /// By backup, oldest first within each cluster.
    pub backups: Vec<Verified>,
    /// What was found outside of backups: among keys, and manifests that are not genuine.
    pub beside: Findings,
}

/// What was read instead of everything.
#[derive(Debug, Serialize)]
pub struct Sampled {
    /// What was drawn: again with this seed, the same objects are read.
    #[serde(flatten)]
    pub sample: Sample,
    /// How much of all that is.
    #[serde(flatten)]
    pub coverage: Coverage,
}

impl Outcome {
    /// Whether a backup cannot be restored.
    pub fn has_damage(&self) -> bool {
        self.backups.iter().any(|backup| !backup.whole)
    }

    /// Whether anything at all was found.
    pub fn has_findings(&self) -> bool {
        self.beside.total() > 0 || self.backups.iter().any(|backup| backup.findings.total() > 0)
    }
}

/// Verifies. Damage is a result, not an error; an error means that we could not look.
pub async fn run(options: Options, progress: &Progress) -> Result<Outcome> {
    let connected = Connected::to(&options.repository).await?;
    let repository = connected.open(options.access).await?;
    if options.level == Level::Decrypt && !repository.with_keyring(crate::keys::Keyring::can_read_data) {
        let why = "level decrypt needs keys that can read; a writer file can verify with --level checksum";
        return Err(Error::Usage(why.into()));
    }
    let mut beside = Findings::default();
    beside.extend(repository.findings().iter().cloned());
    beside.extend(repository.examine_certificates().await?);
    let clusters = match options.cluster {
        Some(cluster) => vec![cluster],
        None => repository.clusters().await?,
    };
    let sample =
        options.sample.map(|percent| Sample { percent, seed: options.seed.unwrap_or_else(|| fastrand::u32(..)) });
    let (level, downloads, progress) = (options.level, options.downloads, progress.clone());
    let how = verify::Options { level, sample, downloads, progress };
    let mut sampled = sample.map(|sample| Sampled { sample, coverage: Coverage::default() });
    let mut backups = Vec::new();
    for cluster in &clusters {
        for id in wanted(&repository, cluster, options.which.as_ref()).await? {
            let Some(backup) = look(&repository, cluster, &id, &mut beside).await? else { continue };
            let findings = verify::verify(&repository, &backup, &how).await?;
            if let Some(Sampled { sample, coverage }) = &mut sampled {
                coverage.add(sample.coverage(&repository, &backup));
            }
            let whole = !findings.has_damage();
            let stored_bytes = backup.clear().stored_bytes();
            backups.push(Verified { cluster: cluster.clone(), backup: id, stored_bytes, whole, findings });
        }
    }
    Ok(Outcome { level, sample: sampled, backups, beside })
}

async fn wanted(repository: &Repository, cluster: &ClusterName, which: Option<&Which>) -> Result<Vec<BackupId>> {
    Ok(match which {
        None => repository.candidates(cluster).await?,
        Some(Which::Id(id)) => {
            // Asked for by name: that it does not exist is an answer worth an error.
            repository.backup(cluster, id).await?;
            vec![id.clone()]
        }
        Some(Which::Latest) => {
            // What lies beside it is told when it is looked at.
            let (backup, _) = repository.latest(cluster).await?;
            vec![backup.clear().backup.clone()]
        }
    })
}

/// The backup in a folder, if there is one: an interrupted backup leaves a folder and no manifest.
async fn look(
    repository: &Repository,
    cluster: &ClusterName,
    id: &BackupId,
    beside: &mut Findings,
) -> Result<Option<Backup>> {
    let (backup, findings) = repository.look(cluster, id).await?;
    beside.extend(findings);
    Ok(backup)
}
