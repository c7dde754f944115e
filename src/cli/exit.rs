//! Exit codes: part of the interface, documented in README.md.

use std::process::ExitCode;

use crate::commands::Class;

/// How a run ended, as scripts and timers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Failed; nothing was published or committed.
    Failed,
    /// The arguments or the configuration are wrong.
    Usage,
    /// Done, and something should be looked at.
    Warnings,
    /// What is stored is not what was written, or not with this key.
    Integrity,
    /// A restored database did not pass its checks.
    DoNotPromote,
    /// `wal fetch`: the file is proven not to exist.
    Absent,
    /// A file that recovery asked for may exist and could not be fetched: PostgreSQL stops above 125, and takes less for
    /// absence (PostgreSQL docs 20.5.5, `restore_command`).
    StopRecovery,
    /// The operator or the system asked us to stop.
    Interrupted,
}

impl Exit {
    /// Every way to end, by code.
    pub const ALL: [Self; 9] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Warnings,
        Self::Integrity,
        Self::DoNotPromote,
        Self::Absent,
        Self::StopRecovery,
        Self::Interrupted,
    ];

    /// The code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed | Self::Absent => 1,
            Self::Usage => 2,
            Self::Warnings => 3,
            Self::Integrity => 4,
            Self::DoNotPromote => 5,
            Self::StopRecovery => 126,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<Class> for Exit {
    fn from(class: Class) -> Self {
        match class {
            Class::Failed => Self::Failed,
            Class::Usage => Self::Usage,
            Class::Integrity => Self::Integrity,
            Class::Interrupted => Self::Interrupted,
        }
    }
}
