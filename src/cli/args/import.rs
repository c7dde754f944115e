//! `import`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Bring over an encrypted dump that `pg_dump | gzip | openssl enc -aes-256-cbc` wrote
///
/// Into the repository it becomes a dump like any other: sealed, locked, listed, restored and verified as such. Its age is that of
/// the import; when it was taken is told by --meta, by its name (…-20251103T031500Z.sql.gz.enc) or by --taken-at, and shown by
/// `stonewal show`. An import that would hide a newer dump as the latest one is refused: give old files a cluster name of their
/// own, and import the oldest first. With --restore the file goes straight into an empty database, in one transaction, and no
/// repository is needed.
///
/// How the key was made of the passphrase is found out: -pbkdf2 with --iterations, 100000 or 10000 rounds, or the older -md sha256
/// and -md md5.
/// Nothing authenticates such files. What can be checked (padding, gzip's CRC and length, pg_dump's closing line, size and SHA-256
/// of --meta) is checked before anything is committed or stored: on its way into the repository FILE is read twice, unless it is a pipe.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_long_help = "\
Examples:
  stonewal import app-full-20251103T031500Z.sql.gz.enc --cluster main-old
  stonewal import app.sql.gz.enc --meta app.meta.json --cluster main-old
  stonewal import app.sql.gz.enc --iterations 600000     # as in `openssl enc -pbkdf2 -iter 600000`
  stonewal import app.sql.gz.enc --restore --to postgres://admin@other.example/app_restored

Variables:
  IMPORT_PASSPHRASE            of the file; or import.passphrase_file; else BACKUP_PASSPHRASE
  BACKUP_PASSPHRASE            of the repository; or keys.writer_file
  RESTORE_DATABASE_URL         with --restore: the target, with a password if need be
  CONFIRM_RESTORE=true         the same as --confirm
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, AWS_*, PG*")]
pub(in crate::cli) struct Import {
    #[command(subcommand)]
    pub(in crate::cli) what: Option<ImportWhat>,
    /// The encrypted dump
    #[arg(value_name = "FILE", required = true)]
    pub(in crate::cli) file: Option<PathBuf>,
    /// The .meta.json that was written beside it: size and SHA-256 are checked
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) meta: Option<PathBuf>,
    /// When it was taken
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) taken_at: Option<String>,
    /// Rounds of -pbkdf2 (openssl's -iter) to try first
    #[arg(long, value_name = "N")]
    pub(in crate::cli) iterations: Option<String>,
    /// Straight into an empty database instead of the repository
    #[arg(long)]
    pub(in crate::cli) restore: bool,
    /// The empty database, without a password
    #[arg(long, value_name = "URL", requires = "restore")]
    pub(in crate::cli) to: Option<String>,
    /// Restore without asking
    #[arg(long, requires = "restore")]
    pub(in crate::cli) confirm: bool,
    /// Directory that holds psql
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub(in crate::cli) bin_dir: Option<String>,
}

/// What to import besides dumps.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ImportWhat {
    Base(ImportBase),
}

/// Bring over a base backup that pg_basebackup wrote, with its WAL
///
/// PATH is the directory that pg_basebackup wrote: with base.tar, pg_wal.tar and one tar for each tablespace (-Ft, also
/// compressed by gzip, zstd or lz4), or a data directory (-Fp); or base.tar itself, with the rest beside it. It becomes a base
/// backup like any other: `restore base`, `drill`, `verify` and retention treat it as such. Its age is that of the import; when it
/// was taken is shown by `stonewal show`.
///
/// --wal DIR is what pg_receivewal or archive_command filled, also compressed. All of it is stored as WAL of the cluster, as
/// `wal push` does it, so that the backup restores to any moment in it. What is stored already is compared and left.
///
/// Everything is read once before anything is stored: every file is compared with backup_manifest, and the WAL that was written
/// during the backup must be there. Refused are data directories of servers, incremental backups, backups without
/// backup_manifest, versions before 13, and WAL of another cluster.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal import base /backups/base-20251103 --cluster main-old
  stonewal import base /backups/base.tar.gz --wal /backups/wal --cluster main-old
  stonewal import base /backups/copied --taken-at 2025-11-03T03:20:00Z

Variables:
  BACKUP_PASSPHRASE            of the repository; or keys.writer_file
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, AWS_*")]
pub(in crate::cli) struct ImportBase {
    /// What pg_basebackup wrote
    #[arg(value_name = "PATH")]
    pub(in crate::cli) from: PathBuf,
    /// Directory with WAL to store as well
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) wal: Option<PathBuf>,
    /// When the backup had ended, if the time of the file backup_manifest was lost by copying
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) taken_at: Option<String>,
}
