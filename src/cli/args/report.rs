//! `report`.

use std::path::PathBuf;

use clap::Args;

/// Report on everything that an auditor asks about: one page that stands by itself
///
/// When recovery is possible and where WAL is missing, which backups there are, until when each is locked and until when it
/// is needed, and what lies in the repository that does not belong there. Of the cluster that is configured or given, else of
/// all. Only the bucket is looked at.
///
/// The page is HTML without scripts; it loads nothing and prints well. --markdown and --json say the same.
///
/// Exit code 3 when a backup is not whole or something does not belong there; `stonewal status` judges the cluster.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal report --into report.html
  stonewal report --markdown
  stonewal report --all-clusters --json | jq '.clusters[] | {cluster, health, restorable}'

Variables:
  BACKUP_PASSPHRASE            or keys.writer_file, or keys.identity_file: they say whose backups count
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, STONEWAL_RETENTION_*, STONEWAL_STATUS_*, AWS_*")]
pub(in crate::cli) struct Report {
    /// Write the page into this file, in place of what is there, instead of to standard output
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) into: Option<PathBuf>,
    /// Markdown instead of HTML
    #[arg(long)]
    pub(in crate::cli) markdown: bool,
    /// All clusters, even if one is configured
    #[arg(long, conflicts_with = "cluster")]
    pub(in crate::cli) all_clusters: bool,
}
