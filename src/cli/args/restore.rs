//! `restore`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Restore a backup
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Restore {
    Dump(RestoreDump),
    Base(Box<RestoreBase>),
}

/// What lies in archive tiers.
#[derive(Debug, Args)]
pub(in crate::cli) struct ThawFlags {
    /// Request what lies in archive tiers and wait until it is readable, then restore; with --plan, only request it
    #[arg(long)]
    pub(in crate::cli) thaw: bool,
    /// How fast: standard, bulk (cheaper) or expedited (dearer)
    #[arg(long = "thaw-tier", value_name = "TIER", requires = "thaw")]
    pub(in crate::cli) tier: Option<String>,
    /// For so many days it stays readable
    #[arg(long = "thaw-days", value_name = "DAYS", requires = "thaw")]
    pub(in crate::cli) days: Option<String>,
}

/// Restore a dump into an empty database, a file, or standard output
///
/// Into a database it is one transaction: everything is there or nothing is. The database must exist and be empty, and
/// the restore must be confirmed: by typing its name, by --confirm, or by CONFIRM_RESTORE=true. Roles that the target
/// lacks are created; those that it has are left as they are. The source is never taken as the target by default.
///
/// A file appears under its name only when it is complete. On standard output, only exit code 0 or 3 says that the data
/// was complete.
///
/// With --table, only that table comes back, with what belongs to it: its partitions, the sequences of its columns, defaults,
/// keys, indexes, constraints, triggers, policies, comments and rights; the database need not be empty, but must not have the
/// table. --as gives it, and all of that, another name, and leaves out its foreign keys. --data-only puts the rows into a
/// table that is there and empty, whose triggers fire. What refers to a table, function or role that the target lacks is left
/// out and told. Types and functions that the definition itself uses must be there.
///
/// What lies in an archive tier is refused before the first byte. --thaw requests it and waits, for hours or days, so confirm
/// beforehand (--confirm); interrupt it and run it again whenever you like. --plan --thaw requests it today for a restore
/// tomorrow. The archive bills it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  createdb -h other.example -T template0 app_restored
  stonewal restore dump latest --to postgres://admin@other.example/app_restored
  stonewal restore dump 20261124T031500Z-5b0c6f2e --to-file app.sql
  stonewal restore dump --to-stdout --globals-only | less
  stonewal restore dump 20251124T031500Z-5b0c6f2e --plan --thaw --thaw-tier bulk
  stonewal restore dump --table audit_logs --as audit_logs_restored --to postgres://admin@db.example/app
  stonewal restore dump --table sales.orders --table sales.lines --to-file orders.sql

Variables:
  RESTORE_DATABASE_URL         the target, with a password if need be
  CONFIRM_RESTORE=true         the same as --confirm
  BACKUP_PASSPHRASE            or keys.identity_file
  PGPASSWORD, PG*, ~/.pgpass   what the target's URL does not say
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, STONEWAL_RESTORE_THAW_*, AWS_*")]
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
    /// Only say what would be fetched, and what of it lies in archive tiers
    #[arg(long, group = "target", conflicts_with_all = ["tables", "globals_only"])]
    pub(in crate::cli) plan: bool,
    #[command(flatten)]
    pub(in crate::cli) thaw: ThawFlags,
    /// Only this table and what belongs to it: SCHEMA.TABLE, or TABLE for one in public (may be repeated)
    #[arg(long = "table", value_name = "TABLE", conflicts_with = "globals_only")]
    pub(in crate::cli) tables: Vec<String>,
    /// The rows of these tables alone, into tables that are there and empty
    #[arg(long, requires = "tables")]
    pub(in crate::cli) data_only: bool,
    /// Restore the table under this name
    #[arg(long = "as", value_name = "NAME", requires = "tables")]
    pub(in crate::cli) rename: Option<String>,
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

/// Restore a base backup into a new directory, to recover to any moment that the stored WAL covers
///
/// First comes the plan: which base, which WAL, how many bytes. A target that cannot be reached is refused before anything is
/// written; --plan stops there. Then the files: the directory must be new or empty, every tablespace must be given a new
/// place, and the restore must be confirmed: by typing the directory's name, by --confirm, or by CONFIRM_PITR=true.
///
/// PostgreSQL finds its settings, recovery.signal and a restore_command in the directory. The keys for that lie in
/// pg_wal/stonewal.recovery, readable by the owner only, and are removed when recovery ends. Until everything is durable
/// there is no global/pg_control, so that no server starts on half a restore.
///
/// What lies in an archive tier, in the backup or in the WAL behind it, is refused before the first byte. --thaw requests it and
/// waits, for hours or days, so confirm beforehand (--confirm); interrupt it and run it again whenever you like. --plan --thaw
/// requests it today for a restore tomorrow. The archive bills it. Give recovery itself enough days (--thaw-days): it reads its WAL
/// as it goes.
///
/// One table alone comes out of a base by way of a drill that is kept: see "One table back from a base backup" in the runbook.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal restore base --plan --target-time '2026-11-24 17:59:30+01:00'
  stonewal restore base --dir /srv/pg/restored --target-time 2026-11-24T16:59:30Z --action pause
  stonewal restore base 20261124T031500Z-5b0c6f2e --dir /srv/pg/restored --tablespace /fast=/srv/pg/fast
  stonewal restore base --dir /srv/pg/restored --target-time 2025-11-24T16:59:30Z --thaw --confirm
  pg_ctl -D /srv/pg/restored start

Variables:
  RESTORE_DIR                  the same as --dir
  CONFIRM_PITR=true            the same as --confirm
  BACKUP_PASSPHRASE            or keys.identity_file
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, STONEWAL_LIMITS_DOWNLOADS, STONEWAL_RESTORE_THAW_*, AWS_*")]
#[expect(clippy::struct_excessive_bools, reason = "they are switches")]
pub(in crate::cli) struct RestoreBase {
    /// Which base: an id as `stonewal list` shows it, or auto for the newest one that comes before the target
    #[arg(value_name = "BACKUP", default_value = "auto")]
    pub(in crate::cli) backup: String,
    /// The data directory: new or empty
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) dir: Option<PathBuf>,
    /// Only say what would be used and what can be reached
    #[arg(long)]
    pub(in crate::cli) plan: bool,
    #[command(flatten)]
    pub(in crate::cli) thaw: ThawFlags,
    /// A moment by the server's clock, with its offset
    #[arg(long, value_name = "TIME", group = "goal")]
    pub(in crate::cli) target_time: Option<String>,
    /// A position in the WAL, such as 0/16B3748
    #[arg(long, value_name = "LSN", group = "goal")]
    pub(in crate::cli) target_lsn: Option<String>,
    /// The end of a transaction
    #[arg(long, value_name = "XID", group = "goal")]
    pub(in crate::cli) target_xid: Option<u64>,
    /// A point made by pg_create_restore_point()
    #[arg(long, value_name = "NAME", group = "goal")]
    pub(in crate::cli) target_name: Option<String>,
    /// As soon as the base is consistent
    #[arg(long, group = "goal")]
    pub(in crate::cli) target_immediate: bool,
    /// Stop just before the target instead of just after it
    #[arg(long, requires = "goal")]
    pub(in crate::cli) exclusive: bool,
    /// latest, current (that of the base) or a number
    #[arg(long, value_name = "TIMELINE", default_value = "latest")]
    pub(in crate::cli) target_timeline: String,
    /// At the target: promote, pause or shutdown
    #[arg(long, default_value = "promote")]
    pub(in crate::cli) action: String,
    /// A new place for a tablespace (may be repeated)
    #[arg(long = "tablespace", value_name = "OLD=NEW")]
    pub(in crate::cli) tablespaces: Vec<String>,
    /// Only there to be answered: a base is whole
    #[arg(long = "table", value_name = "TABLE", hide = true)]
    pub(in crate::cli) tables: Vec<String>,
    /// Keep files that fit, remove what does not belong: over a stopped cluster of the same origin
    #[arg(long)]
    pub(in crate::cli) delta: bool,
    /// For a rehearsal: archive_mode = off, so that what it writes is not stored beside what it was restored from
    #[arg(long)]
    pub(in crate::cli) no_archive: bool,
    /// Where recovery gets its WAL: repository, local (fetched now, for a server without access to the store) or none
    #[arg(long, value_name = "WHERE", default_value = "repository")]
    pub(in crate::cli) wal: String,
    /// Chunks fetched at once
    #[arg(long)]
    pub(in crate::cli) jobs: Option<String>,
    /// Restore without asking
    #[arg(long, visible_alias = "yes")]
    pub(in crate::cli) confirm: bool,
    /// Directory that holds the server's programs
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub(in crate::cli) bin_dir: Option<String>,
}
