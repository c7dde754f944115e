//! `import`.

use std::path::PathBuf;

use clap::Args;

/// Bring over an encrypted dump that `pg_dump | gzip | openssl enc -aes-256-cbc` wrote
///
/// Into the repository it becomes a dump like any other: sealed, locked, listed, restored and verified as such. Its age is that of
/// the import; when it was taken is told by --meta, by its name (…-20251103T031500Z.sql.gz.enc) or by --taken-at, and shown by
/// `stonewal show`. An import that would hide a newer dump as the latest one is refused: give old files a cluster name of their
/// own, and import the oldest first. With --restore the file goes straight into an empty database, in one transaction, and no
/// repository is needed.
///
/// How the key was made of the passphrase is found out: -pbkdf2 with 100000 or 10000 rounds, or the older -md sha256 and -md md5.
/// Nothing authenticates such files. What can be checked (padding, gzip's CRC and length, pg_dump's closing line, size and SHA-256
/// of --meta) is checked before anything is committed.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal import app-full-20251103T031500Z.sql.gz.enc --cluster main-old
  stonewal import app.sql.gz.enc --meta app.meta.json --cluster main-old
  stonewal import app.sql.gz.enc --restore --to postgres://admin@other.example/app_restored

Variables:
  IMPORT_PASSPHRASE            of the file; or import.passphrase_file; else BACKUP_PASSPHRASE
  BACKUP_PASSPHRASE            of the repository; or keys.writer_file
  RESTORE_DATABASE_URL         with --restore: the target, with a password if need be
  CONFIRM_RESTORE=true         the same as --confirm
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, AWS_*, PG*")]
pub(in crate::cli) struct Import {
    /// The encrypted dump
    #[arg(value_name = "FILE")]
    pub(in crate::cli) file: PathBuf,
    /// The .meta.json that was written beside it: size and SHA-256 are checked
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) meta: Option<PathBuf>,
    /// When it was taken
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) taken_at: Option<String>,
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
