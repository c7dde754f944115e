//! `list`, `show`, `verify`, `status`.

use clap::Args;

use super::VerifyWhat;

/// List the backups
///
/// Of the cluster that is configured or given, else of all. Only backups signed by a trusted writer are listed; whatever
/// else lies among them is reported on standard error, and the exit code is 3.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal list
  stonewal list --json | jq -r '.backups[-1].backup'

Variables:
  BACKUP_PASSPHRASE            or keys.writer_file, or keys.identity_file: they say whose backups count
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, AWS_*")]
pub(in crate::cli) struct List {
    /// All clusters, even if one is configured
    #[arg(long, conflicts_with = "cluster")]
    pub(in crate::cli) all_clusters: bool,
}

/// Show everything that is known of one backup
///
/// With keys that open it, the database, extensions and row counts too.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal show
  stonewal show 20261124T031500Z-5b0c6f2e --json

Variables:
  BACKUP_PASSPHRASE            or keys.writer_file, or keys.identity_file
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, AWS_*")]
pub(in crate::cli) struct Show {
    /// Which backup: an id as `stonewal list` shows it, or latest
    #[arg(value_name = "BACKUP", default_value = "latest")]
    pub(in crate::cli) backup: String,
}

/// Verify that backups are there, unchanged, locked and readable, or check a restored database
///
/// Exit code 4 when a backup is damaged; 3 when all are whole but something lies beside them, such as later versions,
/// delete markers or forged manifests, which a restore ignores, or when a lock is too short.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "\
Levels, each including those before it:
  list       every object exists in its recorded version and is locked long enough; reads no data
  checksum   every object holds the bytes that were written; reads everything, needs no key to the data
  decrypt    every frame opens and decompresses; reads everything, needs the passphrase or a recovery file

Examples:
  stonewal verify
  stonewal verify latest --level decrypt
  stonewal verify --all-clusters --level checksum --json
  stonewal verify --level checksum --sample 5% --seed 42
  stonewal verify --locks

With --sample: of every backup, objects are drawn by lot and read. The seed decides which: it is
told at the end, by chance unless given, and draws the same objects again. How much of all that was
is told too. Presence and locks of every object are looked at as without it.

With --locks: for every backup that the retention plan keeps, which object it needs is unlocked
first (manifest, chunk, key, identity bundle, certificate or WAL), and whether that is too soon:
within retention.margin although it is needed longer, or before the lock of the manifest that
needs it. Exit code 3 then. It makes one request for every object.

Variables:
  BACKUP_PASSPHRASE            or keys.writer_file (not for decrypt), or keys.identity_file
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, STONEWAL_RETENTION_*, STONEWAL_LIMITS_DOWNLOADS, AWS_*"
)]
pub(in crate::cli) struct Verify {
    /// One backup: an id as `stonewal list` shows it, or latest; without it, all
    #[arg(value_name = "BACKUP")]
    pub(in crate::cli) backup: Option<String>,
    /// How deep: list, checksum or decrypt
    #[arg(long, default_value = "list")]
    pub(in crate::cli) level: String,
    /// Read a part of the objects of each backup instead of all, such as 5%; with --level checksum or decrypt
    #[arg(long, value_name = "PERCENT")]
    pub(in crate::cli) sample: Option<String>,
    /// What the part is drawn by; the same number draws the same objects
    #[arg(long, value_name = "NUMBER", requires = "sample")]
    pub(in crate::cli) seed: Option<u32>,
    /// Whether everything that the retention plan keeps stays locked for as long as it is needed
    #[arg(long, conflicts_with_all = ["backup", "level", "sample"])]
    pub(in crate::cli) locks: bool,
    /// All clusters, even if one is configured
    #[arg(long, conflicts_with_all = ["cluster", "backup"])]
    pub(in crate::cli) all_clusters: bool,
    #[command(subcommand)]
    pub(in crate::cli) what: Option<VerifyWhat>,
}

/// Tell whether the cluster can be recovered, up to when, and whether it will stay so
///
/// How far WAL is durable is measured in the bucket and compared with the server's position: never with what a streamer
/// or an archiver believes to have done. Without a server (none configured, or --offline) only the bucket is looked at.
///
/// Exit code 0: green, all is well. 3: yellow, something will not stay well by itself. 1: red, what is written now may be
/// lost or cannot be recovered. Every reason has a name; docs/RUNBOOK.md says what to do about each.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal status
  stonewal status --json | jq -r '.reasons[] | .health + \" \" + .name + \": \" + .text'
  stonewal status --max-lag 10s --offline

The server may be asked by any role; GRANT pg_monitor lets it see everything. If WAL is streamed
from a standby, name that standby: its slots and positions are the ones that count.

Variables:
  BACKUP_PASSPHRASE            or keys.writer_file, or keys.identity_file
  REPLICATION_DATABASE_URL     the server; or DATABASE_URL, PG*
  WAL_SLOT_NAME                the streamer's slot, or wal.slot
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, STONEWAL_STATUS_*, AWS_*")]
pub(in crate::cli) struct Status {
    /// Do not ask the server
    #[arg(long, conflicts_with = "from")]
    pub(in crate::cli) offline: bool,
    /// The server, without a password
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) from: Option<String>,
    /// For so long WAL may be on the server only
    #[arg(long, value_name = "DURATION")]
    pub(in crate::cli) max_lag: Option<String>,
    /// So old may the newest base backup be
    #[arg(long, value_name = "DURATION")]
    pub(in crate::cli) max_base_age: Option<String>,
    /// For so long must locks of what is needed last
    #[arg(long, value_name = "DURATION")]
    pub(in crate::cli) min_lock: Option<String>,
}
