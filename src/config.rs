//! File, environment and flags resolved into settings.
//!
//! A setting is a [`Key`](key::Key): one path in the file, one variable, one meaning. Flags win over the environment,
//! the environment over files, files over defaults. Whatever is not a key is an error, never ignored: a misspelt key
//! must not leave a protection off.

use std::path::Path;
use std::time::Duration;

mod environment;
mod error;
mod file;
pub mod key;
mod layers;
pub mod named;
mod resolve;
mod secret_file;
mod settings;
mod values;

pub use environment::Environment;
pub use error::{Error, Origin, Result};
pub use layers::Flags;
pub use secret_file::SecretFile;
pub use settings::{
    AuditMode, AuditSettings, ChainAlgorithm, ChainEncoding, ChainField, ChainForm, ChainNulls, ChainSettings,
    ChainText, Checksum, Codec, DrillSettings, DumpSettings, Globals, Immutability, KeySettings, KmsSettings,
    LimitSettings, LockMode, LogFormat, LogSettings, PostgresSettings, ReplicaSettings, RepositoryUrl, RequiredTable,
    RestoreSettings, RetentionSettings, S3Settings, Settings, StatusSettings, StreamSettings, TableRef, ThawTier,
    VerifySettings, WalMode, WalSettings,
};

pub use settings::{ImportSettings, KindRetention};

/// The file for the whole host; `$XDG_CONFIG_HOME/stonewal/stonewal.toml` (or `~/.config/…`) adds to it and wins.
pub const SYSTEM_FILE: &str = "/etc/stonewal/stonewal.toml";

/// Reads and resolves everything. Secret files are read later, by whoever needs the secret.
///
/// # Errors
/// The first thing that is wrong, with its place and what is allowed.
pub fn load(flags: &Flags, environment: Environment) -> Result<Settings> {
    load_with_system_file(flags, environment, Path::new(SYSTEM_FILE))
}

/// Settings from flags and the given environment alone, without any file: for the demonstration and for tests, which
/// must not depend on how a host is set up.
///
/// # Errors
/// As [`load`].
pub fn isolated(flags: &Flags, environment: Environment) -> Result<Settings> {
    let variables = layers::environment_layer(&environment)?;
    resolve::settings(layers::Layers::new(Vec::new(), variables, flags.layer().clone()), environment)
}

/// The parts of a table's name, `SCHEMA.TABLE` or `TABLE`, or what is wrong with it; a part with a dot in it stands in double
/// quotes.
///
/// # Errors
/// What is wrong with the text.
pub fn table_name(text: &str) -> std::result::Result<(Option<String>, String), String> {
    values::table_parts(text)
}

fn load_with_system_file(flags: &Flags, environment: Environment, system: &Path) -> Result<Settings> {
    let files = file::layers(flags.config.as_deref(), &environment, system)?;
    let variables = layers::environment_layer(&environment)?;
    resolve::settings(layers::Layers::new(files, variables, flags.layer().clone()), environment)
}

/// A duration in the notation of the settings, for flags that are none.
///
/// # Errors
/// What is wrong with it, in words.
pub fn duration(text: &str, min: Duration, max: Duration) -> Result<Duration, String> {
    values::duration(text, min, max)
}

#[cfg(test)]
mod tests;
