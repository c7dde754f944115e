//! `retention` and `hold`.

use clap::{Args, Subcommand};

/// Decide how long backups are kept
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Retention {
    Plan(RetentionPlan),
    Extend(RetentionExtend),
    Apply(RetentionApply),
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

/// Lengthen locks so that everything the plan keeps stays locked for as long
///
/// Never shortens a lock and never changes its mode. Run it weekly: what has no end in sight is locked retention.margin
/// longer than it is needed today. The credentials of retention.profile change locks (role retainer), the usual ones read.
/// It may be interrupted and run again. Exit code 3 when something the plan needs is gone or could not be locked as long.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal retention extend --dry-run
  stonewal retention extend
  stonewal retention extend --acknowledge-compliance 2027-01-05

Variables:
  BACKUP_PASSPHRASE            or keys.writer_file, or keys.identity_file: they say whose backups count
  STONEWAL_RETENTION_PROFILE   profile of the AWS configuration files that may change locks
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, STONEWAL_RETENTION_*, AWS_*")]
pub(in crate::cli) struct RetentionExtend {
    /// Only tell what would be lengthened, until when, and what it costs
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// The furthest day until which compliance locks may be set: nobody can take one back
    #[arg(long, value_name = "DATE")]
    pub(in crate::cli) acknowledge_compliance: Option<String>,
}

/// Remove what the plan expires and no lock holds
///
/// Tells what would go unless --delete is given. Removes single versions, never a key as a whole, and asks for no bypass:
/// what is still locked stays, and its lock is told (exit code 3). Delete markers over anything of ours, and partial WAL
/// that a whole piece has replaced, go too. The credentials of retention.profile delete (role pruner), the usual ones read.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal retention apply
  stonewal retention apply --delete

Variables:
  BACKUP_PASSPHRASE            or keys.writer_file, or keys.identity_file: they say whose backups count
  STONEWAL_RETENTION_PROFILE   profile of the AWS configuration files that may delete
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, STONEWAL_RETENTION_*, AWS_*")]
pub(in crate::cli) struct RetentionApply {
    /// Delete
    #[arg(long)]
    pub(in crate::cli) delete: bool,
}

/// Legal holds: nothing they lie on can be removed until they are taken away
///
/// A hold lies on every object that a backup needs: manifest, chunks, keys, the identity bundle, and of a base backup its
/// WAL. The credentials of retention.profile set it (role retainer), the usual ones read.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Hold {
    Add(HoldAdd),
    Remove(HoldRemove),
    List(HoldList),
}

/// Hold a backup
///
/// Interrupted, run it again. Exit code 3 when something the backup needs is gone.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal hold add 20261124T031500Z-5b0c6f2e
  stonewal hold add 20261124T031500Z-5b0c6f2e --wal-until latest
  stonewal hold add 20261124T031500Z-5b0c6f2e --wal-until 2026-11-24T17:59:30+01:00

Variables:
  BACKUP_PASSPHRASE            or keys.writer_file, or keys.identity_file
  STONEWAL_RETENTION_PROFILE   profile of the AWS configuration files that may set holds
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, AWS_*")]
pub(in crate::cli) struct HoldAdd {
    /// Its id, as `stonewal list` shows it
    #[arg(value_name = "BACKUP")]
    pub(in crate::cli) backup: String,
    /// Of a base backup, how much of the WAL behind it: next-base, latest (all that is stored now), none, or what
    /// a recovery to a moment takes: a time of the server with its offset
    #[arg(long, value_name = "WHERE", default_value = "next-base")]
    pub(in crate::cli) wal_until: String,
}

/// Take the hold of a backup away
///
/// Locks stay as they are. What another held backup needs stays held. Interrupted, run it again.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  stonewal hold remove 20261124T031500Z-5b0c6f2e

Variables:
  as for `stonewal hold add`")]
pub(in crate::cli) struct HoldRemove {
    /// Its id, as `stonewal hold list` shows it
    #[arg(value_name = "BACKUP")]
    pub(in crate::cli) backup: String,
}

/// List the backups that are held
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  stonewal hold list --json | jq -r '.held[].backup'

Variables:
  BACKUP_PASSPHRASE            or keys.writer_file, or keys.identity_file
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, AWS_*")]
pub(in crate::cli) struct HoldList {}
