//! `restore`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Restore a backup
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Restore {
    Dump(RestoreDump),
}

/// Restore a dump into an empty database, a file, or standard output
///
/// Into a database it is one transaction: everything is there or nothing is. The database must exist and be empty, and
/// the restore must be confirmed: by typing its name, by --confirm, or by CONFIRM_RESTORE=true. Roles that the target
/// lacks are created; those that it has are left as they are. The source is never taken as the target by default.
///
/// A file appears under its name only when it is complete. On standard output, only exit code 0 or 3 says that the data
/// was complete.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  createdb -h other.example -T template0 app_restored
  stonewal restore dump latest --to postgres://admin@other.example/app_restored
  stonewal restore dump 20261124T031500Z-5b0c6f2e --to-file app.sql
  stonewal restore dump --to-stdout --globals-only | less

Variables:
  RESTORE_DATABASE_URL         the target, with a password if need be
  CONFIRM_RESTORE=true         the same as --confirm
  BACKUP_PASSPHRASE            or keys.identity_file
  PGPASSWORD, PG*, ~/.pgpass   what the target's URL does not say
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, AWS_*")]
#[expect(clippy::struct_excessive_bools, reason = "they are switches")]
pub(in crate::cli) struct RestoreDump {
    /// Which backup: an id as `stonewal list` shows it, or latest
    #[arg(value_name = "BACKUP", default_value = "latest")]
    pub(in crate::cli) backup: String,
    /// The empty database to restore into, without a password
    #[arg(long, value_name = "URL", group = "target")]
    pub(in crate::cli) to: Option<String>,
    /// A new file for the SQL
    #[arg(long, value_name = "FILE", group = "target")]
    pub(in crate::cli) to_file: Option<PathBuf>,
    /// Write the SQL to standard output
    #[arg(long, group = "target")]
    pub(in crate::cli) to_stdout: bool,
    /// Roles and tablespaces instead of the database (with --to-file or --to-stdout)
    #[arg(long, conflicts_with_all = ["to", "no_globals"])]
    pub(in crate::cli) globals_only: bool,
    /// Create no roles in the target
    #[arg(long, conflicts_with_all = ["to_file", "to_stdout"])]
    pub(in crate::cli) no_globals: bool,
    /// Restore without asking
    #[arg(long, conflicts_with_all = ["to_file", "to_stdout"])]
    pub(in crate::cli) confirm: bool,
    /// Directory that holds psql
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub(in crate::cli) bin_dir: Option<String>,
}
