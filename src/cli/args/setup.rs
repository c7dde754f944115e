//! `init`.

use std::path::PathBuf;

use clap::Args;

/// How new objects are locked.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Object Lock")]
pub(in crate::cli) struct LockFlags {
    /// governance, or compliance, which nobody can shorten
    #[arg(long, value_name = "MODE")]
    pub(in crate::cli) lock_mode: Option<String>,
    /// How long new objects are locked, such as 35d, 6w or 1y
    #[arg(long, value_name = "DURATION")]
    pub(in crate::cli) retain: Option<String>,
    /// "none" for a bucket that protects nothing
    #[arg(long, value_name = "object-lock|none", hide_short_help = true)]
    pub(in crate::cli) immutability: Option<String>,
}

/// Create a repository, or check the one that is there
///
/// Creates the bucket with versioning and Object Lock if it is missing, then the repository record and the identity
/// bundle, sealed under the passphrase. A repository that exists is opened and left as it is, so this is safe to run
/// again. Prints what to keep safe.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal init --repository s3://my-backups/prod --retain 90d --recovery-file recovery.txt
  stonewal init --lifecycle
  stonewal init --recipient age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq

Variables:
  BACKUP_PASSPHRASE            seals the identity bundle (or keys.passphrase_file)
  STONEWAL_REPOSITORY          bucket and prefix
  STONEWAL_LOCK_MODE, STONEWAL_LOCK_RETAIN, STONEWAL_KEYS_RECIPIENTS
  AWS_*                        credentials, region, profile")]
pub(in crate::cli) struct Init {
    /// Make one more recipient and write its secret half to this new file: it opens every backup without the
    /// passphrase, and belongs into another safe
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) recovery_file: Option<PathBuf>,
    /// Install a lifecycle rule that removes leftovers only: unfinished uploads, delete markers over nothing, and what was
    /// written over or hidden for longer than the retention plan keeps anything. Rules of others stay; one that would
    /// break the plan is refused
    #[arg(long)]
    pub(in crate::cli) lifecycle: bool,
    /// Further age recipient of every backup (may be repeated)
    #[arg(long = "recipient", value_name = "age1…")]
    pub(in crate::cli) recipients: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) lock: LockFlags,
}
