//! The environment, read once and passed on as a value.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use super::{Error, Result};

/// Names kept besides the prefixes of [`PREFIXES`]: those of the scripts that stonewal replaces, and where things are.
const NAMES: &[&str] = &[
    "ALLOW_VERIFY_PROD",
    "BACKUP_PASSPHRASE",
    "BACKUP_PASSPHRASE_NEW",
    "CONFIRM_PITR",
    "CONFIRM_RESTORE",
    "CREATE_WAL_SLOT",
    "DATABASE_URL",
    "HOME",
    "IMPORT_PASSPHRASE",
    "LOGNAME",
    "NO_COLOR",
    "PATH",
    "REPLICATION_DATABASE_URL",
    "RESTORE_DATABASE_URL",
    "RESTORE_DIR",
    "TERM",
    "TMPDIR",
    "USER",
    "VERIFY_MIN_DATA",
    "WAL_SLOT_NAME",
    "XDG_CONFIG_HOME",
];

/// Every variable that starts with one of these is kept.
const PREFIXES: &[&str] = &["AWS_", "PG", "STONEWAL_"];

/// The variables that concern us. All values are treated as secrets: passwords hide in URLs.
#[derive(Clone, Default)]
pub struct Environment {
    values: BTreeMap<String, SecretString>,
}

impl Environment {
    /// Reads the process environment; nothing else in this crate does.
    ///
    /// # Errors
    /// [`Error::NotText`] when a variable that concerns us is not UTF-8.
    pub fn capture() -> Result<Self> {
        Self::from_os(std::env::vars_os())
    }

    /// An environment made of these variables, for tests and for child contexts. Empty values count as not set, as
    /// libpq treats them, and variables that do not concern us are dropped.
    pub fn from_pairs<N: Into<OsString>, V: Into<OsString>>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self> {
        Self::from_os(pairs.into_iter().map(|(name, value)| (name.into(), value.into())))
    }

    fn from_os(pairs: impl Iterator<Item = (OsString, OsString)>) -> Result<Self> {
        let mut values = BTreeMap::new();
        for (name, value) in pairs {
            let Some(name) = name.to_str().filter(|name| concerns_us(name)) else { continue };
            let text = text(name, &value)?;
            if !text.is_empty() {
                values.insert(name.to_owned(), SecretString::from(text));
            }
        }
        Ok(Self { values })
    }

    /// The value of a variable, if it is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(ExposeSecret::expose_secret)
    }

    /// The value of a variable as a secret.
    pub fn secret(&self, name: &str) -> Option<SecretString> {
        self.values.get(name).cloned()
    }

    /// Names and values of the variables with this prefix, in order of name.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a SecretString)> {
        self.values.iter().filter(move |(name, _)| name.starts_with(prefix)).map(|(name, value)| (name.as_str(), value))
    }
}

/// Names only.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

fn concerns_us(name: &str) -> bool {
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn text(name: &str, value: &OsStr) -> Result<String> {
    value.to_str().map(str::to_owned).ok_or_else(|| Error::NotText { what: format!("environment variable {name}") })
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn keeps_what_concerns_us_and_drops_the_rest() {
        let env = Environment::from_pairs([
            ("PGHOST", "db"),
            ("STONEWAL_CLUSTER", "main"),
            ("DATABASE_URL", "postgres://u:sentinel@h/d"),
            ("SHELL", "/bin/sh"),
            ("PGUSER", ""),
        ])
        .unwrap();
        assert_eq!(env.get("PGHOST"), Some("db"));
        assert_eq!(env.get("SHELL"), None);
        assert_eq!(env.get("PGUSER"), None, "empty counts as not set");
        assert_eq!(env.with_prefix("PG").count(), 1);
    }

    #[test]
    fn i13_debug_shows_names_and_no_values() {
        let env = Environment::from_pairs([("DATABASE_URL", "postgres://u:sentinel@h/d")]).unwrap();
        let shown = format!("{env:?}");
        assert!(shown.contains("DATABASE_URL"));
        assert!(!shown.contains("sentinel"));
    }

    #[test]
    fn a_value_that_is_not_text_is_an_error_without_the_value() {
        let bad = OsString::from_vec(b"se\xffcret".to_vec());
        let error = Environment::from_pairs([(OsString::from("PGPASSWORD"), bad.clone())]).unwrap_err();
        assert!(error.to_string().contains("PGPASSWORD") && !error.to_string().contains("cret"));
        assert!(Environment::from_pairs([(OsString::from("UNRELATED"), bad)]).is_ok());
    }
}
