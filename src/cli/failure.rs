//! A run that did not end well: what is said on standard error, and the exit code.

use std::borrow::Cow;
use std::path::PathBuf;

use serde::Serialize;

use super::Exit;
use crate::commands::parts::KeyError;
use crate::observe::LogError;
#[cfg(test)]
use crate::observe::chain;
use crate::{commands, config};

/// Result of anything on the way from arguments to an outcome.
pub(super) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// Logging cannot be set up.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The command failed.
    #[error(transparent)]
    Command(#[from] commands::Error),
    /// A key file was read and is not one.
    #[error("{}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// A flag holds a password.
    #[error("{flag}: a password in the arguments can be read by every user of this host")]
    Exposed {
        /// The flag.
        flag: &'static str,
        /// Where to put it instead.
        instead: &'static str,
    },
    /// Arguments or settings that do not fit together.
    #[error("{what}")]
    Usage {
        /// What does not fit.
        what: String,
        /// The way out.
        way_out: Option<Cow<'static, str>>,
    },
    /// The system refuses something that every run needs.
    #[error("{what}")]
    System {
        /// What.
        what: &'static str,
        /// The system's words.
        source: std::io::Error,
    },
}

impl Failure {
    /// Arguments that do not fit together.
    pub(super) fn usage(what: impl Into<String>, way_out: &'static str) -> Self {
        Self::Usage { what: what.into(), way_out: Some(way_out.into()) }
    }

    /// What the operator should do.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.hint(),
            Self::Log(error) => error.hint(),
            Self::Command(error) => error.hint(),
            Self::KeyFile { source, .. } => Some(source.hint().unwrap_or_else(|| {
                "`stonewal keys writer` writes writer files, `stonewal init --recovery-file` recovery files".into()
            })),
            Self::Exposed { instead, .. } => Some((*instead).into()),
            Self::Usage { way_out, .. } => way_out.as_ref().map(ToString::to_string),
            Self::System { .. } => None,
        }
    }

    /// The exit code: the one place that decides it for failures.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::Log(_) | Self::KeyFile { .. } | Self::Exposed { .. } | Self::Usage { .. } => {
                Exit::Usage
            }
            Self::Command(error) => error.class().into(),
            Self::System { .. } => Exit::Failed,
        }
    }
}

/// A failure as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct FailureDocument {
    pub(super) error: String,
    pub(super) hint: Option<String>,
    pub(super) exit_code: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_never_says_the_same_twice() {
        let inner = std::io::Error::other("disk on fire");
        let config = config::Error::Unreadable { what: "secret file", path: "/x".into(), source: inner };
        assert_eq!(chain(&Failure::from(config)), "secret file /x cannot be read: disk on fire");
        let source = KeyError::BadRecipient { text: "age1x".into() };
        let failure = Failure::from(commands::Error::from(source));
        assert_eq!(chain(&failure), "\"age1x\" is not an age recipient");
        assert_eq!(failure.exit(), Exit::Usage);
    }

    #[test]
    fn every_failure_of_a_command_keeps_its_class() {
        for (error, exit) in [
            (commands::Error::Keys(KeyError::WrongPassphrase), Exit::Integrity),
            (commands::Error::Interrupted, Exit::Interrupted),
            (commands::Error::Usage("x".into()), Exit::Usage),
            (commands::Error::File { path: "x".into(), why: "y".into() }, Exit::Failed),
        ] {
            assert_eq!(Failure::from(error).exit(), exit);
        }
    }
}
