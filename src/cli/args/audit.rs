//! `audit`.

use clap::{Args, Subcommand};

/// Who did what with the repository
///
/// Each command that makes, reads, restores, lengthens, holds, deletes or rotates what is stored leaves two signed and
/// locked records in the bucket, one when it begins and one when it has ended. Whoever reads the bucket and has keys of any
/// kind can list and verify them.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Audit {
    Log(AuditLog),
    Verify(AuditVerify),
}

/// List what was done
///
/// One line for each deed; with --csv and --json, every record as it is stored. All that is given must fit. Exit code 3 when
/// something lies among the records that is none.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal audit log --since 2026-11-01T00:00:00Z --deed restore
  stonewal audit log --backup 20261124T031500Z-5b0c6f2e
  stonewal audit log --csv > audit.csv
  stonewal audit log --json | jq -r '.records[] | select(.outcome.exit != 0) | .deed'

Variables:
  BACKUP_PASSPHRASE            or keys.writer_file, or keys.identity_file: they say whose records count
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, AWS_*")]
pub(in crate::cli) struct AuditLog {
    /// From this moment on; a time with its offset
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) since: Option<String>,
    /// Up to this moment
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) until: Option<String>,
    /// Such as backup.dump, or backup for all that begins with it
    #[arg(long, value_name = "DEED")]
    pub(in crate::cli) deed: Option<String>,
    /// By this user of the system
    #[arg(long, value_name = "USER")]
    pub(in crate::cli) who: Option<String>,
    /// On this host
    #[arg(long, value_name = "HOST")]
    pub(in crate::cli) host: Option<String>,
    /// About the backup with this id
    #[arg(long, value_name = "BACKUP")]
    pub(in crate::cli) backup: Option<String>,
    /// All clusters, even if one is configured
    #[arg(long, conflicts_with = "cluster")]
    pub(in crate::cli) all_clusters: bool,
    /// As comma-separated values, for a spreadsheet
    #[arg(long, conflicts_with = "json")]
    pub(in crate::cli) csv: bool,
}

/// Prove that no record was removed or changed
///
/// Every record that another names must be there and be the same; a break is named and means exit code 4. Told besides: what
/// began and never ended, locks that have ended or end soon, and what lies among the records and is none (exit code 3).
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal audit verify
  stonewal audit verify --json | jq '.breaks'

Variables:
  BACKUP_PASSPHRASE            or keys.writer_file, or keys.identity_file: they say whose records count
  STONEWAL_REPOSITORY, STONEWAL_STATUS_MIN_LOCK, AWS_*")]
pub(in crate::cli) struct AuditVerify {}
