//! `retention plan`.

use clap::{Args, Subcommand};

/// Decide how long backups are kept
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Retention {
    Plan(RetentionPlan),
}

/// Tell for every backup and all WAL whether it is kept, until when, and why
///
/// Changes nothing and needs no right to. The rules are retention.* of the configuration; ages are the store's, only whole
/// backups signed by a trusted writer count, and a policy that would leave none of a kind is refused with exit code 2.
/// Exit code 3 when something deserves a look: a backup that is not whole, or things that do not belong there.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal retention plan
  stonewal retention plan --at 2027-01-01T00:00:00Z
  stonewal retention plan --json | jq -r '.clusters[].backups[] | select(.verdict == \"expire\").backup'

Variables:
  BACKUP_PASSPHRASE            or keys.writer_file, or keys.identity_file: they say whose backups count
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, STONEWAL_RETENTION_*, AWS_*")]
pub(in crate::cli) struct RetentionPlan {
    /// As it will be then, if nothing else is stored; a time with its offset
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) at: Option<String>,
    /// All clusters, even if one is configured
    #[arg(long, conflicts_with = "cluster")]
    pub(in crate::cli) all_clusters: bool,
}
