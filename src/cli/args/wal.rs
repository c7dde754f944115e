//! `wal push`, `wal fetch`, `wal verify`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::WalStream;

/// Stream write-ahead log into the bucket, give it back, verify it
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Wal {
    Stream(WalStream),
    Push(WalPush),
    Fetch(WalFetch),
    Verify(WalVerify),
}

/// Store a finished WAL file: the archive_command
///
/// Exit code 0 means that the file is in the bucket, acknowledged and locked; PostgreSQL may then recycle it. After anything
/// else PostgreSQL keeps the file and tries again. A file that is stored already with the same content is success; one stored
/// with other content is refused and left untouched.
#[derive(Debug, Args)]
#[command(after_long_help = "\
In postgresql.conf:
  archive_mode = on
  archive_command = 'stonewal --config /etc/stonewal/stonewal.toml wal push \"%p\"'

The user that runs PostgreSQL must be able to read the configuration and its key file. Two requests store
a segment; nothing is listed. When the archiver is behind, one call takes the next wal.push_ahead files
along. Where `stonewal wal stream` runs as well, both write the same objects, and either may be first.

To fill a gap from a server that still has the segments:
  stonewal wal push --from /var/lib/postgresql/17/main/pg_wal

Variables:
  STONEWAL_KEYS_WRITER_FILE    or BACKUP_PASSPHRASE, which costs half a second and a listing each time
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, STONEWAL_LOCK_*, STONEWAL_WAL_*, AWS_*")]
pub(in crate::cli) struct WalPush {
    /// The file: %p of archive_command
    #[arg(value_name = "FILE", required_unless_present = "from")]
    pub(in crate::cli) file: Option<PathBuf>,
    /// Store everything finished in this directory that the bucket lacks
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    pub(in crate::cli) from: Option<PathBuf>,
    /// Compression: gzip, zstd, lz4 or none
    #[arg(long, value_name = "CODEC")]
    pub(in crate::cli) codec: Option<String>,
    /// Compression level
    #[arg(long, value_name = "N")]
    pub(in crate::cli) level: Option<String>,
}

/// Get a WAL file back: the restore_command
///
/// Exit codes are a contract with PostgreSQL: 0, the file is there, whole; 1, it is proven not to exist, so recovery ends; 126
/// and above, it could not be fetched and may exist, so PostgreSQL stops instead of going on without it. A missing segment
/// with later WAL behind it is the latter. An unfinished segment is given back as far as it was stored, if nothing follows it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
In postgresql.conf, with recovery.signal or standby.signal beside it:
  restore_command = 'stonewal --config /etc/stonewal/recovery.toml wal fetch \"%f\" \"%p\"'

`stonewal restore base` writes all of that. The next wal.fetch_ahead segments come along and wait in
pg_wal/stonewal.ahead. Do not wrap the command in a shell script that changes its exit code.

Variables:
  STONEWAL_KEYS_IDENTITY_FILE  or BACKUP_PASSPHRASE, which costs half a second and a listing each time
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, STONEWAL_WAL_*, AWS_*")]
pub(in crate::cli) struct WalFetch {
    /// Name of the file: %f of restore_command
    #[arg(value_name = "NAME")]
    pub(in crate::cli) name: String,
    /// Where to put it: %p of restore_command
    #[arg(value_name = "PATH")]
    pub(in crate::cli) to: PathBuf,
}

/// Verify that the WAL is there without a hole
///
/// Names every missing segment. Exit code 4 when WAL is missing or damaged; 3 when every hole was recorded when it came about,
/// or something lies beside the WAL that restores ignore.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Levels, each including those before it:
  list       by the names in a listing; a few headers are read
  headers    every header is genuine, every lock holds; reads a few kilobytes of each object
  full       every object opens and holds the WAL of its position; needs the passphrase or a recovery file

Examples:
  stonewal wal verify
  stonewal wal verify --level full --json | jq '.clusters[].timelines[].missing'

Variables:
  BACKUP_PASSPHRASE            or keys.writer_file (not for full), or keys.identity_file
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, AWS_*")]
pub(in crate::cli) struct WalVerify {
    /// How deep: list, headers or full
    #[arg(long, default_value = "list")]
    pub(in crate::cli) level: String,
    /// All clusters, even if one is configured
    #[arg(long, conflicts_with = "cluster")]
    pub(in crate::cli) all_clusters: bool,
}
