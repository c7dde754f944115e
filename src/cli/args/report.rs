//! `report`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "\
Examples:
  stonewal report --into report.html
  stonewal report --markdown
  stonewal report dr --into docs/DR.md
  stonewal report --all-clusters --json | jq '.clusters[] | {cluster, health, restorable}'

Variables:
  BACKUP_PASSPHRASE            or keys.writer_file, or keys.identity_file: they say whose backups count
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, STONEWAL_RETENTION_*, STONEWAL_STATUS_*, AWS_*"
)]
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
    #[command(subcommand)]
    pub(in crate::cli) what: Option<ReportWhat>,
}

/// What to report besides a page.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ReportWhat {
    Dr(ReportDr),
}

/// Refresh the table of RTO and RPO in a document on disaster recovery
///
/// Objectives, what the last drill measured, and the worst of the newest drills, for every cluster or the one that is
/// configured or given. The table stands between two lines of the document, and everything else stays byte for byte:
///
///   <!-- stonewal:dr -->
///
///   <!-- /stonewal:dr -->
///
/// The document is replaced as a whole, or not at all.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal report dr --into docs/DR.md
  stonewal report dr --into docs/DR.md && git commit -m 'Drill of this week' docs/DR.md

Variables:
  BACKUP_PASSPHRASE            or keys.writer_file, or keys.identity_file: they say whose evidence counts
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, AWS_*")]
pub(in crate::cli) struct ReportDr {
    /// The document
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) into: PathBuf,
    /// All clusters, even if one is configured
    #[arg(long, conflicts_with = "cluster")]
    pub(in crate::cli) all_clusters: bool,
}

/// Check the seven points that must hold before anybody says "we have backups"
///
/// Stored backups are encrypted and whole; WAL covers the recovery window; a restore was rehearsed; a recovery to a moment was
/// rehearsed, with recovery.signal; the restored database passed its checks; the use of backups is recorded; the restored
/// database belongs to the approved release. Each with what it rests on: the bucket, the evidence of drills, the audit log.
///
/// Exit code 5 while a point is open.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal checklist
  stonewal checklist --release \"$(git rev-parse HEAD)\" --markdown >> incident.md
  stonewal checklist --json | jq '.clusters[].checklist[] | select(.ticked | not)'

Variables:
  BACKUP_PASSPHRASE            or keys.writer_file, or keys.identity_file: they say whose evidence counts
  STONEWAL_CHECKLIST_MAX_AGE   so old may a drill be
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, STONEWAL_RETENTION_*, AWS_*")]
pub(in crate::cli) struct Checklist {
    /// The release that is approved
    #[arg(long, value_name = "RELEASE")]
    pub(in crate::cli) release: Option<String>,
    /// Markdown, for a ticket
    #[arg(long)]
    pub(in crate::cli) markdown: bool,
    /// All clusters, even if one is configured
    #[arg(long, conflicts_with = "cluster")]
    pub(in crate::cli) all_clusters: bool,
}
