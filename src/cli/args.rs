//! The command line as it is written. Nothing here is validated beyond its shape: `config` does that for flags, files
//! and variables alike.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

mod audit;
mod backup;
mod drill;
mod import;
mod keys;
mod look;
mod proof;
mod replica;
mod report;
mod restore;
mod retention;
mod serve;
mod setup;
mod stream;
mod wal;

pub(super) use audit::{Audit, AuditLog, AuditVerify};
pub(super) use backup::{Backup, BackupBase, BackupDump, StoreFlags};
pub(super) use drill::{Drill, DrillShow, DrillWhat};
pub(super) use import::{Import, ImportBase, ImportWhat};
pub(super) use keys::{Keys, KeysAdd, KeysRotate, Reencrypt, Writer};
pub(super) use look::{List, Show, Status, Verify};
pub(super) use proof::{VerifyRestore, VerifyWhat};
pub(super) use replica::{Replica, ReplicaCopy, ReplicaVerify};
pub(super) use report::{Checklist, Report, ReportDr, ReportWhat};
pub(super) use restore::{Restore, RestoreBase, RestoreDump};
pub(super) use retention::{
    Hold, HoldAdd, HoldList, HoldRemove, Retention, RetentionApply, RetentionExtend, RetentionPlan,
};
pub(super) use serve::{Demo, Doctor, Serve, Store};
pub(super) use setup::{Init, LockFlags};
pub(super) use stream::WalStream;
pub(super) use wal::{Wal, WalFetch, WalPush, WalVerify};

/// PostgreSQL backups set in stone.
///
/// Streams pg_dump through compression and encryption straight into an Object-Locked S3 bucket, and back into psql. What
/// is in the bucket can be neither changed nor removed until its lock ends, and only key holders can read it.
#[derive(Debug, Parser)]
#[command(
    name = "stonewal",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_long_help = "\
Start here:
  export STONEWAL_REPOSITORY=s3://my-backups/prod
  export BACKUP_PASSPHRASE='a long sentence that only you and your safe know'
  export DATABASE_URL=postgres://backup@db.example/app
  stonewal init --recovery-file recovery.txt && stonewal doctor && stonewal backup dump

Settings come from flags, then variables, then configuration files (/etc/stonewal/stonewal.toml,
~/.config/stonewal/stonewal.toml). Every key has a variable: lock.retain is STONEWAL_LOCK_RETAIN.
AWS_* and PG* variables, profiles, service files and ~/.pgpass work as everywhere else. There is no
flag for a secret: other users of the host could read it.

Exit codes:
  0 done                         3 done, with warnings
  1 failed, nothing published    4 integrity, signature or decryption failure
  2 usage or configuration       5 verification failed: do not promote
                               130 interrupted
wal fetch alone: 0 written, 1 proven not to exist, 126 and above: stop recovery"
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// Read this configuration file and no other
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Bucket and prefix of the repository
    #[arg(long, global = true, value_name = "s3://BUCKET/PREFIX")]
    pub(super) repository: Option<String>,
    /// Name of the PostgreSQL cluster in the repository
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) cluster: Option<String>,
    /// URL of an S3 store other than AWS
    #[arg(long, global = true, value_name = "URL")]
    pub(super) endpoint: Option<String>,
    /// Region of the bucket
    #[arg(long, global = true)]
    pub(super) region: Option<String>,
    /// Profile of the AWS configuration files
    #[arg(long, global = true)]
    pub(super) profile: Option<String>,
    /// Certificate authority of the endpoint (PEM), besides the system's
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub(super) ca_file: Option<String>,
    /// Read from this replica alone: the NAME of a section [replica.NAME]
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub(super) from_replica: Option<String>,
    /// File with the passphrase, if BACKUP_PASSPHRASE is not set
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub(super) passphrase_file: Option<String>,
    /// Writer file: this host backs up and cannot decrypt
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub(super) writer_file: Option<String>,
    /// Recovery file: reads backups without the passphrase
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub(super) identity_file: Option<String>,
    /// Why this is done, such as a ticket; stands in the audit record
    #[arg(long, global = true, value_name = "TEXT", hide_short_help = true)]
    pub(super) reason: Option<String>,
    /// Print one JSON document on standard output, for success and failure alike
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// No progress, no closing summary: only data, warnings and errors
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// Log more on standard error; twice and three times for still more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// Form of log lines: human or json
    #[arg(long, global = true, value_name = "FORM", hide_short_help = true)]
    pub(super) log_format: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Init(Init),
    Doctor(Doctor),
    #[command(subcommand)]
    Backup(Backup),
    #[command(subcommand)]
    Restore(Restore),
    #[command(subcommand)]
    Wal(Wal),
    Import(Import),
    List(List),
    Show(Show),
    Verify(Verify),
    Drill(Box<Drill>),
    Status(Status),
    Report(Report),
    Checklist(Checklist),
    #[command(subcommand)]
    Retention(Retention),
    #[command(subcommand)]
    Hold(Hold),
    #[command(subcommand)]
    Audit(Audit),
    #[command(subcommand)]
    Replica(Replica),
    #[command(subcommand)]
    Keys(Keys),
    Reencrypt(Reencrypt),
    #[command(subcommand)]
    Store(Store),
    Demo(Demo),
}
