//! `cost`.

use clap::Args;

/// Tell what the repository occupies, what of it expires, and what of it is not ours
///
/// Always of the whole repository, since clusters share keys and records; from one listing of all versions. The plans of
/// retention.* say what is kept and what expires: of the cluster that is configured or given, else of all. Without any key
/// nothing is planned, and only sizes are told. Exit code 3 when there is what does not belong there, such as objects
/// written over ours, unknown names, delete markers or unfinished uploads: it is paid for until somebody removes it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal cost
  stonewal cost --locks --all-clusters
  stonewal cost --json | jq -r '.total.current.bytes, .total.noncurrent.bytes'
  STONEWAL_RETENTION_PRICE_PER_GIB_MONTH=0.023 stonewal cost

Until when locks hold is told by the plan and the settings: what is kept counts as locked for as
long as the plan needs it, what expires for lock.retain from its arrival on. Of what is not ours
nothing is known unless every version is asked (--locks), which takes a request or two for each.

Money is told where a price is set: retention.price_per_gib_month for the usual storage class,
retention.price_by_class for others. Requests and traffic are not part of it. Unfinished uploads
are shown to the auditor's credentials; how much they hold is not counted.

Variables:
  BACKUP_PASSPHRASE            or keys.writer_file, or keys.identity_file: they say whose backups count
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, STONEWAL_RETENTION_*, AWS_*")]
pub(in crate::cli) struct Cost {
    /// Ask every version for its lock and its legal hold
    #[arg(long)]
    pub(in crate::cli) locks: bool,
    /// Plan for all clusters, even if one is configured
    #[arg(long, conflicts_with = "cluster")]
    pub(in crate::cli) all_clusters: bool,
}
