//! `backup`.

use clap::{Args, Subcommand};

use super::LockFlags;

/// Make a backup
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Backup {
    Dump(BackupDump),
}

/// Back up one database, and the cluster's roles and tablespaces, with pg_dump
///
/// The source is --from, else STONEWAL_POSTGRES_URL, else DATABASE_URL, else the PG* variables and the defaults of libpq.
/// The backup exists once pg_dump has ended well and the store has acknowledged and locked every byte; until then, and on
/// any failure, there is none. Nothing is written to a local disk.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  DATABASE_URL=postgres://backup@db.example/app stonewal backup dump
  stonewal backup dump --from service=app --codec zstd --exclude-table-data 'logs.*'

Variables:
  DATABASE_URL, PG*            the source; passwords in DATABASE_URL, PGPASSWORD or ~/.pgpass
  BACKUP_PASSPHRASE            or keys.writer_file on a host that must not decrypt
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, STONEWAL_LOCK_RETAIN, STONEWAL_DUMP_*, STONEWAL_LIMITS_*
  AWS_*                        credentials, region, profile")]
pub(in crate::cli) struct BackupDump {
    /// The database, without a password
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) from: Option<String>,
    /// Only schemas that match (may be repeated)
    #[arg(long = "schema", value_name = "PATTERN")]
    pub(in crate::cli) schemas: Vec<String>,
    /// Not the tables that match (may be repeated)
    #[arg(long = "exclude-table", value_name = "PATTERN")]
    pub(in crate::cli) exclude_tables: Vec<String>,
    /// The tables that match, but not their rows (may be repeated)
    #[arg(long = "exclude-table-data", value_name = "PATTERN")]
    pub(in crate::cli) exclude_table_data: Vec<String>,
    /// Leave ownership out
    #[arg(long)]
    pub(in crate::cli) no_owner: bool,
    /// Leave GRANT and REVOKE out
    #[arg(long)]
    pub(in crate::cli) no_privileges: bool,
    /// Roles and tablespaces: full, no-passwords (needs no superuser) or off
    #[arg(long, value_name = "HOW")]
    pub(in crate::cli) globals: Option<String>,
    /// Rows of every table, counted in the same snapshot: exact or off
    #[arg(long, value_name = "HOW")]
    pub(in crate::cli) counts: Option<String>,
    /// Compression: gzip, zstd (faster), lz4 or none
    #[arg(long)]
    pub(in crate::cli) codec: Option<String>,
    /// Compression level: gzip 1 to 9, zstd 1 to 19, lz4 1 to 12
    #[arg(long)]
    pub(in crate::cli) level: Option<String>,
    /// Directory that holds pg_dump and pg_dumpall
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub(in crate::cli) bin_dir: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) lock: LockFlags,
}
