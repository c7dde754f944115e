//! Every key there is: its path in the file, its variable, what it may hold and what it holds by default.

/// One setting.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// Dotted path in the configuration file.
    pub path: &'static str,
    /// Environment variable.
    pub variable: &'static str,
    /// Value when nobody gives one; `None` = not set.
    pub default: Option<&'static str>,
    /// What is allowed, in words.
    pub allowed: &'static str,
}

macro_rules! keys {
    ($($name:ident = $path:literal, $variable:literal, $default:expr, $allowed:literal;)*) => {
        $(
            #[doc = concat!("The key `", $path, "`.")]
            pub static $name: Key = Key { path: $path, variable: $variable, default: $default, allowed: $allowed };
        )*
        /// All keys, in the order of the reference in README.md.
        pub static ALL: &[&Key] = &[$(&$name),*];
    };
}

keys! {
    REPOSITORY = "repository", "STONEWAL_REPOSITORY", None, "s3://BUCKET or s3://BUCKET/PREFIX";
    CLUSTER = "cluster", "STONEWAL_CLUSTER", Some("main"), "1 to 63 of a-z, 0-9, '.', '_' and '-', first a letter or digit; not repository, identities or keys";
    IMMUTABILITY = "immutability", "STONEWAL_IMMUTABILITY", Some("object-lock"), "\"object-lock\", or \"none\" for a bucket that protects nothing";
    LOCK_MODE = "lock.mode", "STONEWAL_LOCK_MODE", Some("governance"), "\"governance\" or \"compliance\"";
    LOCK_RETAIN = "lock.retain", "STONEWAL_LOCK_RETAIN", Some("35d"), "a duration from 1m to 10y, such as \"35d\", \"6w\" or \"1y\" (a year counts 366 days)";
    LOCK_REQUIRE_WORM = "lock.require_worm", "STONEWAL_LOCK_REQUIRE_WORM", Some("false"), "true or false";
    S3_ENDPOINT = "s3.endpoint", "STONEWAL_S3_ENDPOINT", None, "http://HOST[:PORT] or https://HOST[:PORT]";
    S3_REGION = "s3.region", "STONEWAL_S3_REGION", None, "a region name, such as \"eu-central-1\"";
    S3_PROFILE = "s3.profile", "STONEWAL_S3_PROFILE", None, "a profile of the AWS configuration files";
    S3_PATH_STYLE = "s3.path_style", "STONEWAL_S3_PATH_STYLE", None, "true or false";
    S3_CA_FILE = "s3.ca_file", "STONEWAL_S3_CA_FILE", None, "a PEM file with the certificate authority of the endpoint";
    S3_CHECKSUM = "s3.checksum", "STONEWAL_S3_CHECKSUM", Some("crc64nvme"), "\"crc64nvme\", \"sha256\", \"crc32c\" or \"md5\"";
    S3_DEADLINE = "s3.deadline", "STONEWAL_S3_DEADLINE", Some("900s"), "a duration from 1s to 1h, for one request with all its retries";
    S3_ATTEMPTS = "s3.attempts", "STONEWAL_S3_ATTEMPTS", Some("20"), "a number from 1 to 100";
    FROM_REPLICA = "from_replica", "STONEWAL_FROM_REPLICA", None, "the NAME of a section replica.NAME, to read from it alone";
    KEYS_PASSPHRASE_FILE = "keys.passphrase_file", "STONEWAL_KEYS_PASSPHRASE_FILE", None, "a file that only its owner may read";
    KEYS_NEW_PASSPHRASE_FILE = "keys.new_passphrase_file", "STONEWAL_KEYS_NEW_PASSPHRASE_FILE", None, "a file that only its owner may read";
    KEYS_WRITER_FILE = "keys.writer_file", "STONEWAL_KEYS_WRITER_FILE", None, "a file that only its owner may read";
    KEYS_IDENTITY_FILE = "keys.identity_file", "STONEWAL_KEYS_IDENTITY_FILE", None, "a file that only its owner may read";
    KEYS_BUNDLE = "keys.bundle", "STONEWAL_KEYS_BUNDLE", None, "the fingerprint of the identity bundle: 16 hexadecimal digits, as init prints it";
    KEYS_RECIPIENTS = "keys.recipients", "STONEWAL_KEYS_RECIPIENTS", None, "a list of age recipients, each starting with \"age1\"";
    KMS_ENDPOINT = "kms.endpoint", "STONEWAL_KMS_ENDPOINT", None, "http://HOST[:PORT] or https://HOST[:PORT]";
    KMS_REGION = "kms.region", "STONEWAL_KMS_REGION", None, "a region name, such as \"eu-central-1\"";
    KMS_PROFILE = "kms.profile", "STONEWAL_KMS_PROFILE", None, "a profile of the AWS configuration files";
    IMPORT_PASSPHRASE_FILE = "import.passphrase_file", "STONEWAL_IMPORT_PASSPHRASE_FILE", None, "a file that only its owner may read";
    IMPORT_ITERATIONS = "import.iterations", "STONEWAL_IMPORT_ITERATIONS", None, "a number from 1 to 10000000";
    DUMP_CODEC = "dump.codec", "STONEWAL_DUMP_CODEC", Some("gzip"), "\"gzip\", \"zstd\", \"lz4\" or \"none\"";
    DUMP_LEVEL = "dump.level", "STONEWAL_DUMP_LEVEL", None, "gzip 1 to 9, zstd 1 to 19, lz4 1 to 12; not with codec \"none\"";
    DUMP_COUNTS = "dump.counts", "STONEWAL_DUMP_COUNTS", Some("exact"), "\"exact\" or \"off\"";
    DUMP_DIGESTS = "dump.digests", "STONEWAL_DUMP_DIGESTS", None, "a list of patterns as pg_dump --table takes them";
    DUMP_GLOBALS = "dump.globals", "STONEWAL_DUMP_GLOBALS", Some("full"), "\"full\", \"no-passwords\" or \"off\"";
    DUMP_NO_OWNER = "dump.no_owner", "STONEWAL_DUMP_NO_OWNER", Some("false"), "true or false";
    DUMP_NO_PRIVILEGES = "dump.no_privileges", "STONEWAL_DUMP_NO_PRIVILEGES", Some("false"), "true or false";
    DUMP_SCHEMAS = "dump.schemas", "STONEWAL_DUMP_SCHEMAS", None, "a list of patterns as pg_dump --schema takes them";
    DUMP_EXCLUDE_TABLES = "dump.exclude_tables", "STONEWAL_DUMP_EXCLUDE_TABLES", None, "a list of patterns as pg_dump --exclude-table takes them";
    DUMP_EXCLUDE_TABLE_DATA = "dump.exclude_table_data", "STONEWAL_DUMP_EXCLUDE_TABLE_DATA", None, "a list of patterns as pg_dump --exclude-table-data takes them";
    WAL_CODEC = "wal.codec", "STONEWAL_WAL_CODEC", Some("zstd"), "\"gzip\", \"zstd\", \"lz4\" or \"none\"";
    WAL_LEVEL = "wal.level", "STONEWAL_WAL_LEVEL", None, "gzip 1 to 9, zstd 1 to 19, lz4 1 to 12; not with codec \"none\"";
    WAL_PUSH_AHEAD = "wal.push_ahead", "STONEWAL_WAL_PUSH_AHEAD", Some("8"), "a number from 0 to 64";
    WAL_FETCH_AHEAD = "wal.fetch_ahead", "STONEWAL_WAL_FETCH_AHEAD", Some("16"), "a number from 0 to 64";
    WAL_DEADLINE = "wal.deadline", "STONEWAL_WAL_DEADLINE", Some("60s"), "a duration from 1s to 1h, for one push or fetch with all its retries";
    WAL_SLOT = "wal.slot", "STONEWAL_WAL_SLOT", Some("stonewal"), "1 to 63 of a-z, 0-9 and '_'";
    WAL_CREATE_SLOT = "wal.create_slot", "STONEWAL_WAL_CREATE_SLOT", Some("false"), "true or false";
    WAL_UNBOUNDED_SLOT = "wal.unbounded_slot", "STONEWAL_WAL_UNBOUNDED_SLOT", Some("false"), "true or false";
    WAL_FLUSH_INTERVAL = "wal.flush_interval", "STONEWAL_WAL_FLUSH_INTERVAL", Some("1s"), "a duration from 1s to 1h";
    WAL_MODE = "wal.mode", "STONEWAL_WAL_MODE", Some("auto"), "\"auto\", \"interval\" or \"synchronous\"";
    WAL_APPLICATION_NAME = "wal.application_name", "STONEWAL_WAL_APPLICATION_NAME", Some("stonewal"), "1 to 63 visible ASCII characters";
    WAL_PARTIAL_RETAIN = "wal.partial_retain", "STONEWAL_WAL_PARTIAL_RETAIN", Some("7d"), "a duration from 1m to 10y";
    LIMITS_CHUNK = "limits.chunk", "STONEWAL_LIMITS_CHUNK", Some("32MiB"), "a size from 8MiB to 512MiB";
    LIMITS_UPLOADS = "limits.uploads", "STONEWAL_LIMITS_UPLOADS", Some("3"), "a number from 1 to 64";
    LIMITS_DOWNLOADS = "limits.downloads", "STONEWAL_LIMITS_DOWNLOADS", Some("3"), "a number from 1 to 64";
    LIMITS_MEMORY = "limits.memory", "STONEWAL_LIMITS_MEMORY", Some("192MiB"), "a size from 16MiB to 64GiB, for the buffers of one stream";
    POSTGRES_URL = "postgres.url", "STONEWAL_POSTGRES_URL", None, "a connection URI or a key=value string as libpq takes it";
    POSTGRES_BIN_DIR = "postgres.bin_dir", "STONEWAL_POSTGRES_BIN_DIR", None, "the directory that holds pg_dump and psql";
    RESTORE_THAW_DAYS = "restore.thaw_days", "STONEWAL_RESTORE_THAW_DAYS", Some("7"), "a number from 1 to 365: for so many days what a restore has thawed stays readable";
    RESTORE_THAW_TIER = "restore.thaw_tier", "STONEWAL_RESTORE_THAW_TIER", Some("standard"), "\"standard\", \"bulk\" (cheaper and slower) or \"expedited\" (dearer and faster; not from deep archives)";
    STATUS_MAX_LAG = "status.max_lag", "STONEWAL_STATUS_MAX_LAG", Some("60s"), "a duration from 1s to 31d: for so long WAL may be on the server only";
    STATUS_MAX_BASE_AGE = "status.max_base_age", "STONEWAL_STATUS_MAX_BASE_AGE", Some("8d"), "a duration from 1m to 10y: so old may the newest base backup be";
    STATUS_MIN_LOCK = "status.min_lock", "STONEWAL_STATUS_MIN_LOCK", Some("7d"), "a duration from 1s to 10y: for so long must locks of what is needed last";
    VERIFY_AFTER_UPLOAD = "verify.after_upload", "STONEWAL_VERIFY_AFTER_UPLOAD", Some("false"), "true or false";
    VERIFY_TABLES = "verify.tables", "STONEWAL_VERIFY_TABLES", None, "a list of SCHEMA.TABLE, or TABLE in the schema public, each with \">= ROWS\" if it must have so many";
    VERIFY_MIN_ROWS = "verify.min_rows", "STONEWAL_VERIFY_MIN_ROWS", Some("1"), "a number from 0: rows of every table in verify.tables where the backup recorded no count";
    VERIFY_PRODUCTION = "verify.production", "STONEWAL_VERIFY_PRODUCTION", None, "a list of HOST/DATABASE, with '*' for any characters";
    VERIFY_AMCHECK = "verify.amcheck", "STONEWAL_VERIFY_AMCHECK", Some("auto"), "\"auto\" or \"off\"";
    VERIFY_ACCEPT = "verify.accept", "STONEWAL_VERIFY_ACCEPT", None, "a list of names as verify restore prints them: sequences, constraints, indexes that are known to be so in the source";
    VERIFY_RELEASE_QUERY = "verify.release_query", "STONEWAL_VERIFY_RELEASE_QUERY", None, "a SELECT of one value";
    VERIFY_RELEASE_URL = "verify.release_url", "STONEWAL_VERIFY_RELEASE_URL", None, "http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH, without user, password, query or fragment";
    VERIFY_RELEASE_FIELD = "verify.release_field", "STONEWAL_VERIFY_RELEASE_FIELD", Some("buildMetadata.commitHash"), "names in a JSON document, with dots between them; a list is entered by a number";
    VERIFY_RELEASE = "verify.release", "STONEWAL_VERIFY_RELEASE", None, "what the query, and the backend, must answer";
    DRILL_DIR = "drill.dir", "STONEWAL_DRILL_DIR", Some("/var/tmp"), "a directory with room for a restored backup";
    DRILL_RTO = "drill.rto", "STONEWAL_DRILL_RTO", None, "a duration from 1s to 10y: the longest time from the start of a drill to a checked database";
    DRILL_RPO = "drill.rpo", "STONEWAL_DRILL_RPO", None, "a duration from 1s to 10y: the longest time between the newest commit that comes back and the moment wanted";
    DRILL_SQL = "drill.sql", "STONEWAL_DRILL_SQL", None, "a list of files, each with one query that gives one boolean column";
    DRILL_TIMEOUT = "drill.timeout", "STONEWAL_DRILL_TIMEOUT", Some("6h"), "a duration from 1s to 31d, for a whole drill";
    DRILL_USER = "drill.user", "STONEWAL_DRILL_USER", Some("postgres"), "the name of a superuser of the cluster";
    DRILL_DATABASE = "drill.database", "STONEWAL_DRILL_DATABASE", None, "the name of a database of the cluster";
    DRILL_PRELOAD = "drill.preload", "STONEWAL_DRILL_PRELOAD", None, "a list of libraries, each of letters, digits, '_', '-' and '.'";
    DRILL_SHARED_BUFFERS = "drill.shared_buffers", "STONEWAL_DRILL_SHARED_BUFFERS", Some("128MiB"), "a size from 1MiB to 64GiB";
    DRILL_PARALLEL = "drill.parallel", "STONEWAL_DRILL_PARALLEL", Some("2"), "a number from 0 to 64: workers of one query";
    DRILL_NICE = "drill.nice", "STONEWAL_DRILL_NICE", Some("10"), "a number from 0 to 19: the priority of the server";
    RETENTION_WINDOW = "retention.window", "STONEWAL_RETENTION_WINDOW", Some("35d"), "a duration from 1m to 100y: so far back must recovery be possible";
    RETENTION_KEEP_LAST_DUMPS = "retention.keep_last_dumps", "STONEWAL_RETENTION_KEEP_LAST_DUMPS", Some("7"), "a number from 0 to 100000";
    RETENTION_KEEP_LAST_BASES = "retention.keep_last_bases", "STONEWAL_RETENTION_KEEP_LAST_BASES", Some("2"), "a number from 0 to 100000";
    RETENTION_DAILY = "retention.daily", "STONEWAL_RETENTION_DAILY", Some("0"), "a number from 0 to 36600: so many days keep their first dump and their first base";
    RETENTION_WEEKLY = "retention.weekly", "STONEWAL_RETENTION_WEEKLY", Some("0"), "a number from 0 to 5200";
    RETENTION_MONTHLY = "retention.monthly", "STONEWAL_RETENTION_MONTHLY", Some("0"), "a number from 0 to 1200";
    RETENTION_YEARLY = "retention.yearly", "STONEWAL_RETENTION_YEARLY", Some("0"), "a number from 0 to 100";
    RETENTION_MIN_REDUNDANCY = "retention.min_redundancy", "STONEWAL_RETENTION_MIN_REDUNDANCY", Some("1"), "a number from 0 to 100000: so many verified backups of each kind never expire";
    RETENTION_DUMP_WINDOW = "retention.dump.window", "STONEWAL_RETENTION_DUMP_WINDOW", None, "a duration from 1m to 100y; retention.window unless set";
    RETENTION_DUMP_DAILY = "retention.dump.daily", "STONEWAL_RETENTION_DUMP_DAILY", None, "a number from 0 to 36600; retention.daily unless set";
    RETENTION_DUMP_WEEKLY = "retention.dump.weekly", "STONEWAL_RETENTION_DUMP_WEEKLY", None, "a number from 0 to 5200; retention.weekly unless set";
    RETENTION_DUMP_MONTHLY = "retention.dump.monthly", "STONEWAL_RETENTION_DUMP_MONTHLY", None, "a number from 0 to 1200; retention.monthly unless set";
    RETENTION_DUMP_YEARLY = "retention.dump.yearly", "STONEWAL_RETENTION_DUMP_YEARLY", None, "a number from 0 to 100; retention.yearly unless set";
    RETENTION_DUMP_MIN_REDUNDANCY = "retention.dump.min_redundancy", "STONEWAL_RETENTION_DUMP_MIN_REDUNDANCY", None, "a number from 0 to 100000; retention.min_redundancy unless set";
    RETENTION_BASE_WINDOW = "retention.base.window", "STONEWAL_RETENTION_BASE_WINDOW", None, "a duration from 1m to 100y; retention.window unless set";
    RETENTION_BASE_DAILY = "retention.base.daily", "STONEWAL_RETENTION_BASE_DAILY", None, "a number from 0 to 36600; retention.daily unless set";
    RETENTION_BASE_WEEKLY = "retention.base.weekly", "STONEWAL_RETENTION_BASE_WEEKLY", None, "a number from 0 to 5200; retention.weekly unless set";
    RETENTION_BASE_MONTHLY = "retention.base.monthly", "STONEWAL_RETENTION_BASE_MONTHLY", None, "a number from 0 to 1200; retention.monthly unless set";
    RETENTION_BASE_YEARLY = "retention.base.yearly", "STONEWAL_RETENTION_BASE_YEARLY", None, "a number from 0 to 100; retention.yearly unless set";
    RETENTION_BASE_MIN_REDUNDANCY = "retention.base.min_redundancy", "STONEWAL_RETENTION_BASE_MIN_REDUNDANCY", None, "a number from 0 to 100000; retention.min_redundancy unless set";
    RETENTION_KEEP = "retention.keep", "STONEWAL_RETENTION_KEEP", None, "a list of ids of backups, as `stonewal list` shows them";
    RETENTION_UNFINISHED = "retention.unfinished", "STONEWAL_RETENTION_UNFINISHED", Some("7d"), "a duration from 1d to 10y: what a backup left that never finished is kept for so long";
    RETENTION_MAX = "retention.max", "STONEWAL_RETENTION_MAX", Some("400d"), "a duration from 1m to 100y: no backup and no WAL is ever locked further ahead; copies of the keys and records that they need by an eighth of lock.retain and three days at most";
    RETENTION_MARGIN = "retention.margin", "STONEWAL_RETENTION_MARGIN", Some("7d"), "a duration from 0s to 1y: what has no end yet is locked so much longer than it is needed today";
    RETENTION_PROFILE = "retention.profile", "STONEWAL_RETENTION_PROFILE", None, "a profile of the AWS configuration files, for changing locks and deleting";
    RETENTION_PRICE_PER_GIB_MONTH = "retention.price_per_gib_month", "STONEWAL_RETENTION_PRICE_PER_GIB_MONTH", Some("0.023"), "a price from 0 to 1000, in the currency of your bill";
    RETENTION_PRICE_BY_CLASS = "retention.price_by_class", "STONEWAL_RETENTION_PRICE_BY_CLASS", None, "a list of CLASS=PRICE, such as \"GLACIER_IR=0.005\"";
    AUDIT_MODE = "audit.mode", "STONEWAL_AUDIT_MODE", Some("on"), "\"on\", \"required\" (nothing is done that cannot be recorded) or \"off\"";
    AUDIT_RETAIN = "audit.retain", "STONEWAL_AUDIT_RETAIN", None, "a duration from 1m to 10y: for so long audit records are locked";
    AUDIT_PROFILE = "audit.profile", "STONEWAL_AUDIT_PROFILE", None, "a profile of the AWS configuration files, for writing audit records";
    AUDIT_REASON = "audit.reason", "STONEWAL_AUDIT_REASON", None, "one line of at most 400 bytes: why this is done, such as a ticket";
    CHECKLIST_MAX_AGE = "checklist.max_age", "STONEWAL_CHECKLIST_MAX_AGE", Some("35d"), "a duration from 1h to 10y: so old may a drill be that a checklist counts";
    LOG_FILTER = "log.filter", "STONEWAL_LOG", None, "levels by module, such as \"warn,stonewal=debug\"";
    LOG_FORMAT = "log.format", "STONEWAL_LOG_FORMAT", Some("human"), "\"human\" or \"json\"";
}

/// Variables of ours that are not settings.
pub(super) const CONFIG_VARIABLE: &str = "STONEWAL_CONFIG";

/// The key with exactly this path.
pub(super) fn by_path(path: &str) -> Option<&'static Key> {
    ALL.iter().copied().find(|key| key.path == path)
}

/// The known path that looks most like `path`, if any does: the same last word in another section counts most.
pub(super) fn nearest_path(path: &str) -> Option<&'static str> {
    let section = format!("{path}.");
    if let Some(inside) = ALL.iter().map(|key| key.path).find(|known| known.starts_with(&section)) {
        return Some(inside);
    }
    let last = path.rsplit('.').next().unwrap_or(path);
    let word_of = |known: &'static str| known.rsplit('.').next().unwrap_or(known);
    let by_word =
        |fits: fn(&str, &str) -> bool| ALL.iter().map(|key| key.path).find(|known| fits(word_of(known), last));
    let same_word = by_word(|known, last| known == last);
    let same_start = || by_word(|known, last| last.len() >= 4 && known.starts_with(last));
    same_word.or_else(same_start).or_else(|| nearest(path, ALL.iter().map(|key| key.path)))
}

/// The known variable that looks most like `name`, if any does.
pub(super) fn nearest_variable(name: &str) -> Option<&'static str> {
    nearest(name, ALL.iter().map(|key| key.variable).chain([CONFIG_VARIABLE]))
}

pub(super) fn nearest(word: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let allowed_edits = (word.len() / 3).max(2);
    known.map(|k| (strsim::osa_distance(word, k), k)).filter(|(d, _)| *d <= allowed_edits).min().map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_variables_are_unique_and_follow_one_rule() {
        for (i, key) in ALL.iter().enumerate() {
            assert!(
                ALL[..i].iter().all(|other| other.path != key.path && other.variable != key.variable),
                "{}",
                key.path
            );
            let by_rule = format!("STONEWAL_{}", key.path.to_uppercase().replace('.', "_"));
            assert!(key.variable == by_rule || key.path == "log.filter", "{}", key.variable);
        }
    }

    #[test]
    fn suggestions() {
        assert_eq!(nearest_path("lock.retian"), Some("lock.retain"));
        assert_eq!(nearest_path("s3.retain"), Some("lock.retain"));
        assert_eq!(nearest_path("passphrase"), Some("keys.passphrase_file"));
        assert_eq!(nearest_path("encryption"), None);
        assert_eq!(nearest_variable("STONEWAL_REPOSITRY"), Some("STONEWAL_REPOSITORY"));
    }
}
