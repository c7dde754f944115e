//! What a configuration comes to: validated, with defaults filled in.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::environment::Environment;
use super::error::{Error, Origin, Result};
use super::key::Key;
use super::layers::Layers;

mod audit;
mod drill;
mod keys;
mod verify;

pub use audit::{AuditMode, AuditSettings};
pub use drill::DrillSettings;
pub use keys::{KeySettings, KmsSettings};
pub use verify::{
    ChainAlgorithm, ChainEncoding, ChainField, ChainForm, ChainNulls, ChainSettings, ChainText, RequiredTable,
    TableRef, VerifySettings,
};

mod import;
mod retention;
pub use import::ImportSettings;
pub use retention::KindRetention;

/// The whole configuration of one run. `Debug` shows no secret.
#[derive(Debug)]
pub struct Settings {
    /// Where backups live; see [`Settings::repository`].
    pub repository: Option<RepositoryUrl>,
    /// Name of the PostgreSQL cluster in the repository.
    pub cluster: String,
    /// Whether objects are locked, and how.
    pub immutability: Immutability,
    /// Whether the store must prove that its locks hold before a backup is put there.
    pub require_worm: bool,
    /// How to reach the store.
    pub s3: S3Settings,
    /// Copies of the repository elsewhere, by name.
    pub replicas: Vec<ReplicaSettings>,
    /// The replica that is read instead of the repository.
    pub from_replica: Option<String>,
    /// Where keys come from.
    pub keys: KeySettings,
    /// How to reach AWS KMS.
    pub kms: KmsSettings,
    /// What imported files are encrypted under.
    pub import: ImportSettings,
    /// What a dump contains.
    pub dump: DumpSettings,
    /// Stored WAL.
    pub wal: WalSettings,
    /// Buffers and concurrency.
    pub limits: LimitSettings,
    /// The PostgreSQL to back up.
    pub postgres: PostgresSettings,
    /// Streaming WAL.
    pub stream: StreamSettings,
    /// The PostgreSQL to restore into.
    pub restore: RestoreSettings,
    /// What is acceptable in a status.
    pub status: StatusSettings,
    /// What a restored database must have.
    pub verify: VerifySettings,
    /// How drills are carried out.
    pub drill: DrillSettings,
    /// How long backups are kept.
    pub retention: RetentionSettings,
    /// Audit records.
    pub audit: AuditSettings,
    /// Logging.
    pub log: LogSettings,
    /// The variables that concern us, for what resolves further settings by itself (libpq's variables).
    pub environment: Environment,
    pub(super) layers: Layers,
}

impl Settings {
    /// The repository, for the commands that need one.
    ///
    /// # Errors
    /// [`Error::Missing`] when none is set.
    pub fn repository(&self) -> Result<&RepositoryUrl> {
        self.repository.as_ref().ok_or(Error::Missing {
            what: "repository",
            ways: "give --repository s3://BUCKET/PREFIX, STONEWAL_REPOSITORY, or the key repository in the configuration file",
        })
    }

    /// Where the value of a key was given.
    pub fn origin(&self, key: &Key) -> Origin {
        self.layers.get(key).map_or(Origin::Default, |given| given.origin)
    }
}

/// A bucket and the prefix in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryUrl {
    /// Bucket name.
    pub bucket: String,
    /// Without slashes at its ends; may be empty.
    pub prefix: String,
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        write!(f, "s3://{}{slash}{}", self.bucket, self.prefix)
    }
}

/// Whether what is stored can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Immutability {
    /// Every object is locked when it is written.
    ObjectLock {
        /// Who may still remove it.
        mode: LockMode,
        /// For how long, from the store's clock at the time of writing.
        retain: Duration,
    },
    /// No locks: asked for in so many words.
    None,
}

/// Object Lock retention mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Holds against all but those with `s3:BypassGovernanceRetention`.
    Governance,
    /// Holds against everyone.
    Compliance,
}

/// How to reach the store. What is `None` is left to the AWS configuration files and variables.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// Base URL of a store other than AWS.
    pub endpoint: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Profile of the AWS configuration files.
    pub profile: Option<String>,
    /// Bucket in the path instead of the host name; `None` = path style with an endpoint, host style without.
    pub path_style: Option<bool>,
    /// Certificate authority besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Checksum sent with every object.
    pub checksum: Checksum,
    /// For one request, retries included.
    pub deadline: Duration,
    /// Most attempts for one request.
    pub attempts: u32,
}

/// A copy of the repository in another bucket.
#[derive(Clone, Debug)]
pub struct ReplicaSettings {
    /// The operator's name for it.
    pub name: String,
    /// Its bucket, with the prefix of the repository.
    pub url: RepositoryUrl,
    /// So long may something be missing there.
    pub max_lag: Duration,
    /// How to reach it.
    pub s3: S3Settings,
}

/// Checksum in the header of a PUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// CRC-64/NVME.
    Crc64Nvme,
    /// SHA-256, for stores that know no CRC-64.
    Sha256,
    /// CRC-32C.
    Crc32c,
    /// Content-MD5, for stores that know nothing else.
    Md5,
}

/// What a dump contains.
#[derive(Clone, Debug)]
pub struct DumpSettings {
    /// Compression.
    pub codec: Codec,
    /// Compression level; `None` = the codec's own default here.
    pub level: Option<u32>,
    /// Count the rows of every table under the dump's snapshot.
    pub counts: bool,
    /// Tables whose rows get a digest.
    pub digests: Vec<String>,
    /// Roles, memberships and tablespaces.
    pub globals: Globals,
    /// As `pg_dump --no-owner`.
    pub no_owner: bool,
    /// As `pg_dump --no-privileges`.
    pub no_privileges: bool,
    /// As `pg_dump --schema`.
    pub schemas: Vec<String>,
    /// As `pg_dump --exclude-table`.
    pub exclude_tables: Vec<String>,
    /// As `pg_dump --exclude-table-data`.
    pub exclude_table_data: Vec<String>,
}

/// Stored WAL.
#[derive(Clone, Copy, Debug)]
pub struct WalSettings {
    /// Compression.
    pub codec: Codec,
    /// Compression level; `None` = the codec's own default here.
    pub level: Option<u32>,
    /// Further files of the backlog pushed in one call.
    pub push_ahead: usize,
    /// Further segments fetched in one call.
    pub fetch_ahead: usize,
    /// For one push or fetch, retries included.
    pub deadline: Duration,
}

/// Compression of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// The usual one: any tool reads it.
    Gzip,
    /// Faster and smaller.
    Zstd,
    /// For slow processors.
    Lz4,
    /// For data that is compressed already.
    None,
}

/// Which global objects a dump includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Globals {
    /// With password hashes; needs the right to read `pg_authid`.
    Full,
    /// Without password hashes.
    NoPasswords,
    /// Nothing.
    Off,
}

/// Buffers and concurrency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Bytes of one chunk.
    pub chunk_bytes: usize,
    /// Chunks being sent at once.
    pub uploads: usize,
    /// Chunks fetched ahead.
    pub downloads: usize,
    /// Bytes of memory for the buffers of one stream.
    pub memory_bytes: usize,
}

/// The PostgreSQL to back up.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// Connection string; `None` = libpq's variables and defaults.
    pub url: Option<SecretString>,
    /// Where pg_dump and psql are; `None` = found by themselves.
    pub bin_dir: Option<PathBuf>,
}

/// Streaming WAL.
#[derive(Clone, Debug)]
pub struct StreamSettings {
    /// Replication slot.
    pub slot: String,
    /// Whether the slot may be created.
    pub create_slot: bool,
    /// Whether a slot that may fill the server's disk is acceptable.
    pub unbounded_slot: bool,
    /// How often new bytes of an unfinished piece are stored.
    pub flush_interval: Duration,
    /// Whether to wait for the interval.
    pub mode: WalMode,
    /// Name by which the server knows the streamer.
    pub application_name: String,
    /// How long parts of unfinished pieces are locked.
    pub partial_retain: Duration,
}

/// When bytes of an unfinished piece are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalMode {
    /// At once while the server waits for us, else by the interval.
    Auto,
    /// By the interval.
    Interval,
    /// At once.
    Synchronous,
}

/// How fast archive tiers give something back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThawTier {
    /// The usual way.
    Standard,
    /// Cheaper and slower.
    Bulk,
    /// Dearer and faster.
    Expedited,
}

/// What to restore into, and what of archive tiers. No file sets the target: it is named anew each time.
#[derive(Clone, Debug)]
pub struct RestoreSettings {
    /// `RESTORE_DATABASE_URL`.
    pub url: Option<SecretString>,
    /// `CONFIRM_RESTORE=true`.
    pub confirmed: bool,
    /// `CONFIRM_PITR=true`.
    pub confirmed_pitr: bool,
    /// `RESTORE_DIR`.
    pub dir: Option<PathBuf>,
    /// For so many days what was thawed stays readable.
    pub thaw_days: u32,
    /// How fast it is thawed.
    pub thaw_tier: ThawTier,
}

/// What is acceptable in a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusSettings {
    /// For so long WAL may be on the server only.
    pub max_lag: Duration,
    /// So old may the newest base backup be.
    pub max_base_age: Duration,
    /// For so long must locks of what is needed last.
    pub min_lock: Duration,
}

/// How long backups are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct RetentionSettings {
    /// So far back recovery stays possible.
    pub window: Duration,
    /// So many newest dumps never expire.
    pub keep_last_dumps: u32,
    /// So many newest base backups never expire.
    pub keep_last_bases: u32,
    /// So many days keep their first backup of each kind.
    pub daily: u32,
    /// The same of ISO weeks.
    pub weekly: u32,
    /// The same of months.
    pub monthly: u32,
    /// The same of years.
    pub yearly: u32,
    /// So many verified backups of each kind never expire.
    pub min_redundancy: u32,
    /// What dumps have of their own.
    pub dumps: KindRetention,
    /// What base backups have of their own.
    pub bases: KindRetention,
    /// Ids of backups that never expire; their shape only, `format` reads them.
    pub keep: Vec<String>,
    /// What a backup left that never finished is kept for so long.
    pub unfinished: Duration,
    /// No lock is set further ahead.
    pub max: Duration,
    /// What has no end yet is locked so much longer than it is needed today.
    pub margin: Duration,
    /// Profile of the AWS configuration files for changing locks and deleting; `None` = that of [`S3Settings`].
    pub profile: Option<String>,
    /// What a GiB costs in a month.
    pub price_per_gib_month: f64,
    /// The same of other storage classes than the usual one, by name.
    pub price_by_class: Vec<(String, f64)>,
}

/// Logging.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// Levels by module.
    pub filter: Option<String>,
    /// For people or for machines.
    pub format: LogFormat,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line.
    Human,
    /// One JSON object.
    Json,
}
