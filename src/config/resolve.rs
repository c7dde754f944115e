//! Layers to settings: every value parsed by its key, then what must hold between values.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use crate::limits;

use super::environment::Environment;
use super::error::{Error, Origin, Result};
use super::key::{self, Key};
use super::layers::{Given, Layers, Raw};
use super::secret_file::SecretFile;
use super::settings::ImportSettings;
use super::settings::{
    Codec, DumpSettings, Globals, Immutability, KeySettings, KmsSettings, LimitSettings, LockMode, LogFormat,
    LogSettings, PostgresSettings, RestoreSettings, S3Settings, Settings, StatusSettings, StreamSettings, ThawTier,
    WalMode, WalSettings,
};
use super::values::{self, Parsed};

mod audit;
mod drill;
mod replica;
mod retention;
mod section;
mod verify;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const RETAIN_MAX: Duration = Duration::from_hours(10 * 366 * 24);
const LEVELS: [(Codec, u64); 3] = [(Codec::Gzip, 9), (Codec::Zstd, 19), (Codec::Lz4, 12)];

pub(super) fn settings(layers: Layers, environment: Environment) -> Result<Settings> {
    let read = Reader { layers: &layers, home: environment.get("HOME").map(PathBuf::from) };
    let (repository, s3) = (read.optional(&key::REPOSITORY, values::repository)?, s3(&read)?);
    let replicas = replica::settings(&read, repository.as_ref(), &s3)?;
    Ok(Settings {
        repository,
        cluster: read.required(&key::CLUSTER, values::cluster)?,
        immutability: immutability(&read)?,
        require_worm: read.required(&key::LOCK_REQUIRE_WORM, values::boolean)?,
        s3,
        from_replica: replica::chosen(&read, &replicas)?,
        replicas,
        keys: KeySettings {
            passphrase: environment.secret("BACKUP_PASSPHRASE"),
            passphrase_file: read.path(&key::KEYS_PASSPHRASE_FILE)?.map(SecretFile::new),
            new_passphrase: environment.secret("BACKUP_PASSPHRASE_NEW"),
            new_passphrase_file: read.path(&key::KEYS_NEW_PASSPHRASE_FILE)?.map(SecretFile::new),
            writer_file: read.path(&key::KEYS_WRITER_FILE)?.map(SecretFile::new),
            identity_file: read.path(&key::KEYS_IDENTITY_FILE)?.map(SecretFile::new),
            bundle: read.optional(&key::KEYS_BUNDLE, values::fingerprint)?,
            recipients: read.list(&key::KEYS_RECIPIENTS, values::recipient)?,
        },
        kms: KmsSettings {
            endpoint: read.optional(&key::KMS_ENDPOINT, values::endpoint)?,
            region: read.optional(&key::KMS_REGION, any)?,
            profile: read.optional(&key::KMS_PROFILE, any)?,
        },
        import: ImportSettings {
            passphrase: environment.secret("IMPORT_PASSPHRASE"),
            passphrase_file: read.path(&key::IMPORT_PASSPHRASE_FILE)?.map(SecretFile::new),
            iterations: read
                .optional(&key::IMPORT_ITERATIONS, |text| values::number(text, 1, limits::IMPORT_ITERATIONS_MAX))?
                .map(|rounds| u32::try_from(rounds).unwrap_or(u32::MAX)),
        },
        dump: dump(&read)?,
        wal: wal(&read)?,
        stream: stream(&read)?,
        limits: limits(&read)?,
        postgres: PostgresSettings {
            url: read.optional(&key::POSTGRES_URL, |text| Ok(SecretString::from(text)))?,
            bin_dir: read.path(&key::POSTGRES_BIN_DIR)?,
        },
        restore: restore(&read, &environment)?,
        status: status(&read)?,
        verify: verify::verify(&read, &environment)?,
        drill: drill::settings(&read)?,
        retention: retention::settings(&read)?,
        audit: audit::settings(&read)?,
        log: LogSettings {
            filter: read.optional(&key::LOG_FILTER, any)?,
            format: read.choice(&key::LOG_FORMAT, &[("human", LogFormat::Human), ("json", LogFormat::Json)])?,
        },
        environment,
        layers,
    })
}

fn immutability(read: &Reader<'_>) -> Result<Immutability> {
    let mode =
        read.choice(&key::LOCK_MODE, &[("governance", LockMode::Governance), ("compliance", LockMode::Compliance)])?;
    let retain = read.required(&key::LOCK_RETAIN, |text| values::duration(text, MINUTE, RETAIN_MAX))?;
    if read.choice(&key::IMMUTABILITY, &[("object-lock", true), ("none", false)])? {
        return Ok(Immutability::ObjectLock { mode, retain });
    }
    let demands = read.required(&key::LOCK_REQUIRE_WORM, values::boolean)?;
    for lock in [&key::LOCK_MODE, &key::LOCK_RETAIN, &key::LOCK_REQUIRE_WORM] {
        let at = read.layers.get(lock).map_or(Origin::Default, |given| given.origin);
        if at != Origin::Default && (demands || lock.path != key::LOCK_REQUIRE_WORM.path) {
            let problem = format!("{} is set, but immutability is \"none\"", lock.path);
            return Err(Error::Conflict { at, problem, way_out: "remove the one that is not meant".into() });
        }
    }
    Ok(Immutability::None)
}

fn s3(read: &Reader<'_>) -> Result<S3Settings> {
    let attempts = read.required(&key::S3_ATTEMPTS, |text| values::number(text, 1, 100))?;
    Ok(S3Settings {
        endpoint: read.optional(&key::S3_ENDPOINT, values::endpoint)?,
        region: read.optional(&key::S3_REGION, any)?,
        profile: read.optional(&key::S3_PROFILE, any)?,
        path_style: read.optional(&key::S3_PATH_STYLE, values::boolean)?,
        ca_file: read.path(&key::S3_CA_FILE)?,
        checksum: read.choice(&key::S3_CHECKSUM, &replica::CHECKSUMS)?,
        deadline: read.required(&key::S3_DEADLINE, |text| values::duration(text, Duration::from_secs(1), HOUR))?,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
    })
}

fn dump(read: &Reader<'_>) -> Result<DumpSettings> {
    let globals = [("full", Globals::Full), ("no-passwords", Globals::NoPasswords), ("off", Globals::Off)];
    let (codec, level) = compression(read, &key::DUMP_CODEC, &key::DUMP_LEVEL)?;
    Ok(DumpSettings {
        codec,
        level,
        counts: read.choice(&key::DUMP_COUNTS, &[("exact", true), ("off", false)])?,
        digests: read.list(&key::DUMP_DIGESTS, any)?,
        globals: read.choice(&key::DUMP_GLOBALS, &globals)?,
        no_owner: read.required(&key::DUMP_NO_OWNER, values::boolean)?,
        no_privileges: read.required(&key::DUMP_NO_PRIVILEGES, values::boolean)?,
        schemas: read.list(&key::DUMP_SCHEMAS, any)?,
        exclude_tables: read.list(&key::DUMP_EXCLUDE_TABLES, any)?,
        exclude_table_data: read.list(&key::DUMP_EXCLUDE_TABLE_DATA, any)?,
    })
}

fn compression(read: &Reader<'_>, codec: &'static Key, level: &'static Key) -> Result<(Codec, Option<u32>)> {
    let codecs = [("gzip", Codec::Gzip), ("zstd", Codec::Zstd), ("lz4", Codec::Lz4), ("none", Codec::None)];
    let codec = read.choice(codec, &codecs)?;
    let level = read.optional(level, |text| match LEVELS.iter().find(|(with, _)| *with == codec) {
        Some((_, max)) => values::number(text, 1, *max),
        None => Err("codec \"none\" has no level".into()),
    })?;
    Ok((codec, level.map(|level| u32::try_from(level).unwrap_or(u32::MAX))))
}

fn stream(read: &Reader<'_>) -> Result<StreamSettings> {
    let modes = [("auto", WalMode::Auto), ("interval", WalMode::Interval), ("synchronous", WalMode::Synchronous)];
    Ok(StreamSettings {
        slot: read.required(&key::WAL_SLOT, values::slot)?,
        create_slot: read.required(&key::WAL_CREATE_SLOT, values::boolean)?,
        unbounded_slot: read.required(&key::WAL_UNBOUNDED_SLOT, values::boolean)?,
        flush_interval: read
            .required(&key::WAL_FLUSH_INTERVAL, |text| values::duration(text, Duration::from_secs(1), HOUR))?,
        mode: read.choice(&key::WAL_MODE, &modes)?,
        application_name: read.required(&key::WAL_APPLICATION_NAME, values::application_name)?,
        partial_retain: read.required(&key::WAL_PARTIAL_RETAIN, |text| values::duration(text, MINUTE, RETAIN_MAX))?,
    })
}

fn wal(read: &Reader<'_>) -> Result<WalSettings> {
    let (codec, level) = compression(read, &key::WAL_CODEC, &key::WAL_LEVEL)?;
    let ahead = |key| read.required(key, |text| values::number(text, 0, 64));
    let count = |number| usize::try_from(number).unwrap_or(usize::MAX);
    Ok(WalSettings {
        codec,
        level,
        push_ahead: count(ahead(&key::WAL_PUSH_AHEAD)?),
        fetch_ahead: count(ahead(&key::WAL_FETCH_AHEAD)?),
        deadline: read.required(&key::WAL_DEADLINE, |text| values::duration(text, Duration::from_secs(1), HOUR))?,
    })
}

fn status(read: &Reader<'_>) -> Result<StatusSettings> {
    let span = |key, min, max| read.required(key, |text| values::duration(text, min, max));
    let second = Duration::from_secs(1);
    Ok(StatusSettings {
        max_lag: span(&key::STATUS_MAX_LAG, second, 31 * 24 * HOUR)?,
        max_base_age: span(&key::STATUS_MAX_BASE_AGE, MINUTE, RETAIN_MAX)?,
        min_lock: span(&key::STATUS_MIN_LOCK, second, RETAIN_MAX)?,
    })
}

/// Sizes within their bounds, and together within the memory budget (invariant I12): as many chunks as are in flight,
/// and the one being filled or read.
fn limits(read: &Reader<'_>) -> Result<LimitSettings> {
    let parallel_max = limits::UPLOADS_MAX as u64;
    let (chunk_min, chunk_max) = (limits::CHUNK_BYTES_MIN as u64, limits::CHUNK_BYTES_MAX as u64);
    let chunk = read.required(&key::LIMITS_CHUNK, |text| values::size(text, chunk_min, chunk_max))?;
    let uploads = read.required(&key::LIMITS_UPLOADS, |text| values::number(text, 1, parallel_max))?;
    let downloads = read.required(&key::LIMITS_DOWNLOADS, |text| values::number(text, 1, parallel_max))?;
    let memory = read.required(&key::LIMITS_MEMORY, |text| values::size(text, 16 << 20, 64 << 30))?;
    let (key, parallel) =
        if uploads >= downloads { (&key::LIMITS_UPLOADS, uploads) } else { (&key::LIMITS_DOWNLOADS, downloads) };
    let needed = chunk * (parallel + 1);
    if needed > memory {
        let at = [key, &key::LIMITS_CHUNK, &key::LIMITS_MEMORY].into_iter().filter_map(|key| read.layers.get(key));
        let at = at.map(|given| given.origin).find(|origin| *origin != Origin::Default).unwrap_or(Origin::Default);
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let problem = format!(
            "{} = {parallel} with limits.chunk = {} MiB needs {} MiB, but limits.memory is {} MiB",
            key.path,
            mib(chunk),
            mib(needed),
            mib(memory),
        );
        let way_out = format!("set limits.memory = \"{}MiB\", or make chunks smaller or fewer", mib(needed));
        return Err(Error::Conflict { at, problem, way_out });
    }
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Ok(LimitSettings {
        chunk_bytes: size(chunk),
        uploads: size(uploads),
        downloads: size(downloads),
        memory_bytes: size(memory),
    })
}

/// Only the word `true` confirms: a restore is no place for guesses.
fn restore(read: &Reader<'_>, environment: &Environment) -> Result<RestoreSettings> {
    let confirmed = |name| boolean_variable(environment, name, false);
    let days = read.required(&key::RESTORE_THAW_DAYS, |text| values::number(text, 1, limits::THAW_DAYS_MAX))?;
    let tiers = [("standard", ThawTier::Standard), ("bulk", ThawTier::Bulk), ("expedited", ThawTier::Expedited)];
    Ok(RestoreSettings {
        url: environment.secret("RESTORE_DATABASE_URL"),
        confirmed: confirmed("CONFIRM_RESTORE")?,
        confirmed_pitr: confirmed("CONFIRM_PITR")?,
        dir: environment.get("RESTORE_DIR").map(PathBuf::from),
        thaw_days: u32::try_from(days).unwrap_or(u32::MAX),
        thaw_tier: read.choice(&key::RESTORE_THAW_TIER, &tiers)?,
    })
}

/// A variable of the scripts that stonewal replaces.
fn boolean_variable(environment: &Environment, name: &'static str, default: bool) -> Result<bool> {
    let Some(text) = environment.get(name) else { return Ok(default) };
    let (at, allowed) = (Origin::Variable(name.into()), "true or false");
    values::boolean(text).map_err(|problem| Error::Value { key: name.into(), at, problem, allowed })
}

#[expect(clippy::unnecessary_wraps, reason = "has the shape of a parser")]
fn any(text: &str) -> Parsed<String> {
    Ok(text.into())
}

struct Reader<'a> {
    layers: &'a Layers,
    home: Option<PathBuf>,
}

impl Reader<'_> {
    fn optional<T>(&self, key: &'static Key, parse: impl FnOnce(&str) -> Parsed<T>) -> Result<Option<T>> {
        self.layers.get(key).map(|given| one(key, given, parse)).transpose()
    }

    /// What a key without a flag for it would be.
    fn configured<T>(&self, key: &'static Key, parse: impl FnOnce(&str) -> Parsed<T>) -> Result<T> {
        let given = self.layers.without_flags(key).ok_or(Error::Missing { what: key.path, ways: key.allowed })?;
        one(key, given, parse)
    }

    fn required<T>(&self, key: &'static Key, parse: impl FnOnce(&str) -> Parsed<T>) -> Result<T> {
        self.optional(key, parse)?.ok_or(Error::Missing { what: key.path, ways: key.allowed })
    }

    fn choice<T: Copy>(&self, key: &'static Key, choices: &[(&str, T)]) -> Result<T> {
        self.required(key, |text| values::choice(text, choices))
    }

    /// One value stands for a list of one; in the environment commas separate several.
    fn list(&self, key: &'static Key, parse: impl Fn(&str) -> Parsed<String>) -> Result<Vec<String>> {
        self.parsed_list(key, parse)
    }

    fn parsed_list<T>(&self, key: &'static Key, parse: impl Fn(&str) -> Parsed<T>) -> Result<Vec<T>> {
        let Some(given) = self.layers.get(key) else { return Ok(Vec::new()) };
        let texts: Vec<&str> = match (&given.raw, &given.origin) {
            (Raw::One(text), Origin::Variable(_)) => text.split(',').map(str::trim).collect(),
            (Raw::One(text), _) => vec![text],
            (Raw::List(texts), _) => texts.iter().map(String::as_str).collect(),
        };
        let parsed = texts
            .into_iter()
            .map(|text| if text.is_empty() { Err("holds an empty entry".into()) } else { parse(text) });
        parsed.collect::<Parsed<Vec<_>>>().map_err(|problem| invalid(key, given, problem))
    }

    /// A path: `~/` is the home directory; in a file, relative means relative to that file.
    fn path(&self, key: &'static Key) -> Result<Option<PathBuf>> {
        Ok(self.optional(key, any)?.map(|text| self.placed(&text, self.origin(key))))
    }

    /// The same for a list of them.
    fn paths(&self, key: &'static Key) -> Result<Vec<PathBuf>> {
        Ok(self.list(key, any)?.iter().map(|text| self.placed(text, self.origin(key))).collect())
    }

    fn origin(&self, key: &'static Key) -> Option<Origin> {
        self.layers.get(key).map(|given| given.origin)
    }

    fn placed(&self, text: &str, origin: Option<Origin>) -> PathBuf {
        if let (Some(rest), Some(home)) = (text.strip_prefix("~/"), &self.home) {
            return home.join(rest);
        }
        let base = match origin {
            Some(Origin::File { path, .. }) => path.parent().map(Path::to_owned),
            _ => None,
        };
        base.unwrap_or_default().join(text)
    }
}

fn one<T>(key: &'static Key, given: Given, parse: impl FnOnce(&str) -> Parsed<T>) -> Result<T> {
    let parsed = match &given.raw {
        Raw::One(text) if text.trim().is_empty() => Err("is empty".into()),
        Raw::One(text) => parse(text),
        Raw::List(_) => Err("a list is not allowed here".into()),
    };
    parsed.map_err(|problem| invalid(key, given, problem))
}

fn invalid(key: &'static Key, given: Given, problem: String) -> Error {
    Error::Value { key: key.path.into(), at: given.origin, problem, allowed: key.allowed }
}
