//! `backup`.

use clap::{Args, Subcommand};

use super::LockFlags;

/// Make a backup
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Backup {
    Dump(BackupDump),
    Base(BackupBase),
}

/// What is asked of the store besides taking a backup.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct StoreFlags {
    /// Refuse a store that does not prove, on a small object, that its locks hold
    #[arg(long)]
    pub(in crate::cli) require_worm: bool,
    /// Read back everything that was stored; exit code 4 if it is not what was sent
    #[arg(long)]
    pub(in crate::cli) verify_after_upload: bool,
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
    /// Roles and tablespaces: full (reads pg_authid), no-passwords or off
    #[arg(long, value_name = "HOW")]
    pub(in crate::cli) globals: Option<String>,
    /// Rows of every table, counted in the same snapshot: exact or off
    #[arg(long, value_name = "HOW")]
    pub(in crate::cli) counts: Option<String>,
    /// Record what the rows of the tables that match come to, which reads them once more (may be repeated)
    #[arg(long = "digest", value_name = "PATTERN")]
    pub(in crate::cli) digests: Vec<String>,
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
    pub(in crate::cli) store: StoreFlags,
    #[command(flatten)]
    pub(in crate::cli) lock: LockFlags,
}

/// Back up a whole PostgreSQL cluster: its files, over the replication protocol
///
/// The source is --from, else STONEWAL_POSTGRES_URL, else REPLICATION_DATABASE_URL, else DATABASE_URL, else the PG* variables
/// and the defaults of libpq. The role needs REPLICATION. The WAL that makes the files consistent comes along, so that every
/// base restores by itself; with the WAL that `wal stream` or `wal push` stores, it restores to any later moment.
///
/// The backup exists once the server has said that all was well and the store has acknowledged and locked every byte; until
/// then, and on any failure, there is none. Nothing is written to a local disk.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  REPLICATION_DATABASE_URL=postgres://backup@db.example/postgres stonewal backup base
  stonewal backup base --from service=db --codec zstd --max-rate 100MiB --checkpoint spread

Once, on the server:
  CREATE ROLE backup LOGIN REPLICATION PASSWORD '...';
  pg_hba.conf:  hostssl replication,postgres backup 203.0.113.7/32 scram-sha-256

Variables:
  REPLICATION_DATABASE_URL, DATABASE_URL, PG*   the source
  BACKUP_PASSPHRASE            or keys.writer_file on a host that must not decrypt
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, STONEWAL_LOCK_RETAIN, STONEWAL_DUMP_CODEC, STONEWAL_LIMITS_*
  AWS_*                        credentials, region, profile")]
pub(in crate::cli) struct BackupBase {
    /// The server, without a password
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) from: Option<String>,
    /// Label that PostgreSQL writes into backup_label
    #[arg(long)]
    pub(in crate::cli) label: Option<String>,
    /// The checkpoint to begin with: fast, or spread over minutes
    #[arg(long, value_name = "HOW", default_value = "fast")]
    pub(in crate::cli) checkpoint: String,
    /// Most bytes per second that the server reads, such as 50MiB
    #[arg(long, value_name = "SIZE")]
    pub(in crate::cli) max_rate: Option<String>,
    /// Take pages whose checksums are wrong as they are
    #[arg(long)]
    pub(in crate::cli) no_verify_checksums: bool,
    /// Compression: gzip, zstd (faster), lz4 or none
    #[arg(long)]
    pub(in crate::cli) codec: Option<String>,
    /// Compression level: gzip 1 to 9, zstd 1 to 19, lz4 1 to 12
    #[arg(long)]
    pub(in crate::cli) level: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) store: StoreFlags,
    #[command(flatten)]
    pub(in crate::cli) lock: LockFlags,
}
