//! What is wrong with a configuration, where, and what is allowed instead.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// Result of reading the configuration.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the built-in value.
    Default,
    /// A line of a configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
    },
    /// An environment variable of this name.
    Variable(String),
    /// A command-line flag, as the user spells it.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A configuration that cannot be used. None of them carries the value of a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A key that does not exist: never ignored, since a misspelt key would switch a protection off.
    #[error("{at}: unknown key {key}")]
    UnknownKey {
        /// Dotted path of the key as written.
        key: String,
        /// Where it stands.
        at: Origin,
        /// The known key that looks most like it.
        nearest: Option<String>,
    },
    /// A `STONEWAL_…` variable that does not exist.
    #[error("unknown environment variable {name}")]
    UnknownVariable {
        /// Its name.
        name: String,
        /// The known variable that looks most like it.
        nearest: Option<&'static str>,
    },
    /// A key with a value it may not have.
    #[error("{}: {problem}", place(at, key))]
    Value {
        /// Dotted path of the key.
        key: Cow<'static, str>,
        /// Where the value was given.
        at: Origin,
        /// What is wrong, with the value unless it is a secret.
        problem: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Two values that contradict each other.
    #[error("{at}: {problem}")]
    Conflict {
        /// Where the deciding value was given.
        at: Origin,
        /// The contradiction.
        problem: String,
        /// The way out.
        way_out: String,
    },
    /// A value that the command needs and nobody gave.
    #[error("{what} is not set")]
    Missing {
        /// What is missing.
        what: &'static str,
        /// Ways to set it.
        ways: &'static str,
    },
    /// The file is not TOML.
    #[error("{at}: {problem}")]
    Syntax {
        /// The place.
        at: Origin,
        /// The parser's words.
        problem: String,
    },
    /// A file cannot be read.
    #[error("{what} {} cannot be read", path.display())]
    Unreadable {
        /// "configuration file" or "secret file".
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// A file that holds a secret may be read by others.
    #[error("{} holds a secret and may be read by others (mode {mode:04o})", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A secret file without a usable secret.
    #[error("secret file {} {problem}", path.display())]
    BadSecret {
        /// The file.
        path: PathBuf,
        /// What is wrong with its contents, without quoting them.
        problem: &'static str,
    },
    /// Bytes where text is needed.
    #[error("{what} is not valid UTF-8")]
    NotText {
        /// The thing.
        what: String,
    },
}

impl Error {
    /// What the operator should do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::UnknownKey { nearest: Some(nearest), .. } => format!("did you mean {nearest}?"),
            Self::UnknownVariable { nearest: Some(nearest), .. } => format!("did you mean {nearest}?"),
            Self::UnknownKey { .. } | Self::UnknownVariable { .. } => {
                "README.md lists every key; remove this one".into()
            }
            Self::Value { allowed, .. } => format!("allowed: {allowed}"),
            Self::Conflict { way_out, .. } => way_out.clone(),
            Self::Missing { ways, .. } => (*ways).into(),
            Self::Syntax { .. } => "the file is TOML: strings stand in double quotes, sections in [brackets]".into(),
            Self::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                "run as the user that owns the file, or give that user the right to read it".into()
            }
            Self::Unreadable { .. } => "check the path".into(),
            Self::Exposed { path, .. } => format!("chmod 600 {}", quoted(path)),
            Self::BadSecret { .. } => {
                "write the secret as one line of text, or set the environment variable instead".into()
            }
            Self::NotText { .. } => return None,
        })
    }
}

/// Where a value was given. A flag or a variable says by itself which key it stands for.
fn place(at: &Origin, key: &str) -> String {
    match at {
        Origin::Flag(_) | Origin::Variable(_) => at.to_string(),
        Origin::Default | Origin::File { .. } => format!("{at}: {key}"),
    }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@".contains(c)) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
