//! `doctor`, `store serve`, `demo`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Check that everything a backup depends on is as it should be
///
/// Programs and their versions, the connection to PostgreSQL, credentials and permissions, lock configuration, clocks,
/// what lies in the repository; and a live proof: a small object is put with a lock of one minute, and deleting it,
/// shortening its lock and bypassing it must be denied. Such canaries stay in the bucket; they are a few bytes each.
///
/// Exit code 1 when a check failed, 3 when one warns.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal doctor
  stonewal doctor --no-probe --json | jq '.checks[] | select(.status != \"ok\")'

Variables:
  STONEWAL_REPOSITORY, AWS_*   the bucket, seen with the credentials that backups use
  BACKUP_PASSPHRASE            or keys.writer_file, or keys.identity_file, to look into the repository
  DATABASE_URL, PG*            the source, if it is to be checked")]
pub(in crate::cli) struct Doctor {
    /// Write nothing: leave the live proof out
    #[arg(long)]
    pub(in crate::cli) no_probe: bool,
    /// The database that would be backed up, without a password
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) from: Option<String>,
    /// Directory that holds pg_dump
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub(in crate::cli) bin_dir: Option<String>,
}

/// The embedded S3 server, for development, demo and tests only
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Store {
    Serve(Serve),
}

/// Serve S3 with Object Lock from a folder, for development, demo and tests only
///
/// Whoever can write the folder can remove every lock, there is no TLS and one disk: never keep the only copy of a backup
/// in it. Each role (writer, reader, …) has a user; DIR/env/ROLE sets the variables to become one. Ends on SIGINT or
/// SIGTERM when open requests are done.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal store serve --root /tmp/store --listen 127.0.0.1:9000
  . /tmp/store/env/admin && stonewal init --repository s3://backups/dev     # in another shell")]
pub(in crate::cli) struct Serve {
    /// Folder for everything; made if it does not exist
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) root: PathBuf,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9000")]
    pub(in crate::cli) listen: SocketAddr,
    /// Append one JSON line per request to this file
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) request_log: Option<PathBuf>,
}

/// See it work: a backup, an attacker, a restore, on this machine
///
/// Starts a disposable PostgreSQL and the embedded store, makes an accounting database, backs it up, lets an attacker
/// loose who has every right except lock bypass, restores, and compares. Needs PostgreSQL's server programs; uses no
/// configuration file and leaves nothing behind.
#[derive(Debug, Args)]
pub(in crate::cli) struct Demo {
    /// Directory that holds initdb, postgres, pg_dump and psql
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) bin_dir: Option<String>,
}
