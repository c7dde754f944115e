//! `wal stream`.

use clap::Args;

/// Stream the WAL into the bucket as the server writes it
///
/// Connects as a replica to a replication slot. New WAL is durable and locked in the bucket within wal.flush_interval; the
/// server keeps what is not. Runs until it is stopped (SIGTERM), makes the last byte received durable first, and goes on
/// from what the bucket holds when it is started again: there is no state on this host. Follows the server through
/// restarts and failovers to any of the hosts in the connection URL.
///
/// With synchronous_standby_names = 'stonewal' a COMMIT returns only once its WAL is durable and locked in the bucket.
/// That is noticed by itself: each flush then begins as soon as the previous one is acknowledged.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Before the first run, as a superuser of the server:
  CREATE ROLE streamer LOGIN REPLICATION PASSWORD '…';
  ALTER SYSTEM SET max_slot_wal_keep_size = '100GB';    -- what the disk of pg_wal can spare
  SELECT pg_reload_conf();
and in pg_hba.conf:  host  replication,all  streamer  ADDRESS/32  scram-sha-256

Examples:
  REPLICATION_DATABASE_URL=postgres://streamer@db1,db2/ stonewal wal stream --create-slot
  stonewal wal stream --until-lsn 0/5000000

Variables:
  REPLICATION_DATABASE_URL     the server; else DATABASE_URL, else PG*
  WAL_SLOT_NAME, CREATE_WAL_SLOT=true
  BACKUP_PASSPHRASE            or keys.writer_file on a host that must not decrypt
  STONEWAL_REPOSITORY, STONEWAL_CLUSTER, STONEWAL_LOCK_RETAIN, STONEWAL_WAL_*, STONEWAL_LIMITS_UPLOADS
  AWS_*                        credentials, region, profile")]
pub(in crate::cli) struct WalStream {
    /// The server, without a password
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) from: Option<String>,
    /// Replication slot
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) slot: Option<String>,
    /// Create the slot if there is none, and anew if it was lost
    #[arg(long)]
    pub(in crate::cli) create_slot: bool,
    /// Accept that the slot may fill the server's disk (max_slot_wal_keep_size = -1)
    #[arg(long)]
    pub(in crate::cli) unbounded_slot: bool,
    /// Refuse a store that does not prove at the start, on a small object, that its locks hold
    #[arg(long)]
    pub(in crate::cli) require_worm: bool,
    /// Stop once everything before this position is durable
    #[arg(long, value_name = "LSN")]
    pub(in crate::cli) until_lsn: Option<String>,
}
