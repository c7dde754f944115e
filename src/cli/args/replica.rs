//! `replica copy`, `replica verify`, `replica list`.

use clap::{Args, Subcommand};

/// Fill, compare and show copies of the repository in other buckets
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Replica {
    Copy(ReplicaCopy),
    Verify(ReplicaVerify),
    List(ReplicaList),
}

/// Copy what the replica lacks
///
/// Ciphertext, names and locks, as they are stored: no key is needed, only credentials that read the repository and write the
/// replica. Keys and records go first, then chunks, then the manifests that pin them, then WAL in its order: whenever it is
/// interrupted, what the replica shows can be restored, and the next run goes on. Each object is stored in one request with its SHA-256 and
/// the lock that it has here; locks and legal holds that were lengthened or set since follow. Nothing there is ever removed.
#[derive(Debug, Args)]
#[command(after_long_help = "\
The configuration names the replica:
  [replica.frankfurt]
  repository = \"s3://my-backups-fra/prod\"     # the prefix of the repository
  region = \"eu-central-1\"
  profile = \"frankfurt\"                       # credentials with the rights of a writer, there

Examples:
  stonewal replica copy frankfurt --dry-run
  stonewal replica copy frankfurt --limit 50MiB/s
  stonewal replica copy frankfurt --acknowledge-compliance 2027-01-05

With keys at hand (BACKUP_PASSPHRASE or a key file) only genuine manifests are copied.

Variables:
  STONEWAL_REPOSITORY, STONEWAL_LIMITS_MEMORY, AWS_*")]
pub(in crate::cli) struct ReplicaCopy {
    /// NAME of the section [replica.NAME]
    #[arg(value_name = "NAME")]
    pub(in crate::cli) name: String,
    /// At most so many bytes a second, such as 50MiB/s
    #[arg(long, value_name = "RATE")]
    pub(in crate::cli) limit: Option<String>,
    /// Compliance locks there may be lengthened up to the end of this day, which nobody can take back
    #[arg(long, value_name = "DATE")]
    pub(in crate::cli) acknowledge_compliance: Option<String>,
    /// Only tell what would be copied
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

/// Compare the replica with the repository
///
/// Every object here is looked for there, by two listings: missing, something else, locked for less time or less strictly; what lies
/// there alone is told. Exit code 1 when something has been missing for longer than --max-lag, 4 when an object is something else there,
/// or --deep finds that it rotted here; 3 when a lock is short or the listings alone do not prove that two objects are equal.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal replica verify frankfurt
  stonewal replica verify frankfurt --deep --json | jq '{missing, different, lag_seconds}'

Listings tell that objects are equal by version id (replication by the provider keeps it) or ETag. Under KMS keys
ETags say nothing: --deep reads both sides. With keys at hand (BACKUP_PASSPHRASE or a key file, any) it tells what rotted
on both sides as damage; without, a manifest that says so may be planted, and it is a warning.

Variables:
  STONEWAL_REPOSITORY, STONEWAL_LIMITS_MEMORY, AWS_*")]
pub(in crate::cli) struct ReplicaVerify {
    /// NAME of the section [replica.NAME]
    #[arg(value_name = "NAME")]
    pub(in crate::cli) name: String,
    /// Read every object on both sides and compare their digests
    #[arg(long)]
    pub(in crate::cli) deep: bool,
    /// So long may something be missing there, instead of replica.NAME.max_lag
    #[arg(long, value_name = "DURATION")]
    pub(in crate::cli) max_lag: Option<String>,
}

/// Show the configured replicas
///
/// Bucket, endpoint, versioning, Object Lock, and whether it holds a copy of this repository. Exit code 3 when one could not be
/// read, protects nothing, or holds something else.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  stonewal replica list

Variables:
  STONEWAL_REPOSITORY, AWS_*")]
pub(in crate::cli) struct ReplicaList {}
