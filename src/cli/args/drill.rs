//! `drill`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Restore a backup into a disposable PostgreSQL, check it, time it, and keep signed evidence
///
/// A dump goes into a new server; a base is recovered by the stored WAL, to its end or to a moment. The server listens on a
/// Unix socket in a directory of the drill's own and nowhere else, archives nothing, and connects to nobody. Then come the
/// checks of `verify restore` and queries of your own. What came of it is signed and stored under a lock. Everything that was
/// made is removed, also when the drill is interrupted, fails or is killed.
///
/// Exit code 0: it passed. 3: it passed, with warnings, or its evidence could not be stored. 5: restored, but a check failed
/// or an objective was missed. 1 and 4: it could not be carried out, which is evidence too.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "\
Examples:
  stonewal drill
  stonewal drill --backup random --kind dump --sql checks/balance.sql
  stonewal drill --target-time '2026-11-24 17:59:30+01:00' --rto 30m --rpo 15m
  stonewal drill --kind base --schedule systemd
  stonewal drill --from-replica frankfurt
  stonewal drill list

A query of yours stands in a file of its own and gives one boolean column. It passes if it gives at
least one row and every row is true. It runs in a transaction that can change nothing.

The programs of the backup's major version must be installed (Debian: postgresql-15). The host reads
data and adds evidence: the passphrase, or a recovery file and a writer file; the S3 rights of a writer.

With --from-replica the backup and its WAL come from that replica alone. The evidence goes into the
repository; if that cannot be opened when the drill begins, it says so, goes on, and stores none
(exit code 3).

Variables:
  BACKUP_PASSPHRASE            or keys.identity_file, and keys.writer_file to sign with
  STONEWAL_DRILL_*, STONEWAL_VERIFY_*, STONEWAL_REPOSITORY, STONEWAL_CLUSTER, AWS_*"
)]
pub(in crate::cli) struct Drill {
    /// Which backup: latest, random, or an id as `stonewal list` shows it
    #[arg(long, value_name = "BACKUP", default_value = "latest")]
    pub(in crate::cli) backup: String,
    /// Only a dump or only a base
    #[arg(long, value_name = "KIND")]
    pub(in crate::cli) kind: Option<String>,
    /// Recover a base to a moment by the server's clock, with its offset
    #[arg(long, value_name = "TIME", group = "goal")]
    pub(in crate::cli) target_time: Option<String>,
    /// Recover a base to a position in the WAL
    #[arg(long, value_name = "LSN", group = "goal")]
    pub(in crate::cli) target_lsn: Option<String>,
    /// Make the drill's directory in this one
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) dir: Option<String>,
    /// Check this database of a base that has several
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) database: Option<String>,
    /// A file with a query that must be true (may be repeated)
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) sql: Vec<String>,
    /// Longest time to a checked database
    #[arg(long, value_name = "DURATION")]
    pub(in crate::cli) rto: Option<String>,
    /// Longest time between the newest commit that comes back and the moment wanted
    #[arg(long, value_name = "DURATION")]
    pub(in crate::cli) rpo: Option<String>,
    /// Give up after this time
    #[arg(long, value_name = "DURATION")]
    pub(in crate::cli) timeout: Option<String>,
    /// What verify.release_query must answer
    #[arg(long, value_name = "RELEASE")]
    pub(in crate::cli) release: Option<String>,
    /// Leave the restored directory, with its server stopped, and scripts that start and stop it
    #[arg(long)]
    pub(in crate::cli) keep: bool,
    /// Store nothing
    #[arg(long)]
    pub(in crate::cli) no_evidence: bool,
    /// Only remove what killed drills left
    #[arg(long)]
    pub(in crate::cli) clean: bool,
    /// Print units that run this drill every week: systemd or cron
    #[arg(long, value_name = "FOR")]
    pub(in crate::cli) schedule: Option<String>,
    #[command(subcommand)]
    pub(in crate::cli) what: Option<DrillWhat>,
}

/// What there is besides drills themselves.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum DrillWhat {
    List(DrillList),
    Show(DrillShow),
    Guard(DrillGuard),
}

/// List the evidence of drills, newest first
///
/// Only evidence signed by a trusted writer counts, under its own name and in its first version; whatever else lies among it
/// is reported on standard error, and the exit code is 3.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal drill list
  stonewal drill list --json | jq -r '.drills[0].result'

Variables:
  BACKUP_PASSPHRASE            or keys.writer_file, or keys.identity_file
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, AWS_*")]
pub(in crate::cli) struct DrillList {}

/// Show the evidence of one drill
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal drill show
  stonewal drill show 20261128T040000Z-0badcafe --json

Variables:
  BACKUP_PASSPHRASE            or keys.writer_file, or keys.identity_file
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, AWS_*")]
pub(in crate::cli) struct DrillShow {
    /// Which drill: an id as `stonewal drill list` shows it, or latest
    #[arg(value_name = "DRILL", default_value = "latest")]
    pub(in crate::cli) drill: String,
}

/// Wait for the end of a drill and remove what is left of it (a drill starts this itself)
#[derive(Debug, Args)]
#[command(hide = true)]
pub(in crate::cli) struct DrillGuard {
    /// The directory of the drill
    pub(in crate::cli) dir: PathBuf,
}
