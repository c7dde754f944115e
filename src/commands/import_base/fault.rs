//! Why a directory or a file is not imported.

use std::io;
use std::path::{Path, PathBuf};

use crate::commands::Error;

/// Without a way out of its own.
const WAY_OUT: &str =
    "use another copy of the backup; nothing of it was stored as a base, and WAL that was stored is genuine and stays";

/// Why something is not imported.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is not what it should be.
    Refused { path: PathBuf, why: String, way_out: &'static str },
    /// It cannot be read.
    Io { path: PathBuf, source: io::Error },
    /// Nobody listens any more.
    Unheard,
}

impl Fault {
    pub(super) fn damaged(path: &Path, why: impl Into<String>) -> Self {
        Self::Refused { path: path.to_owned(), why: why.into(), way_out: WAY_OUT }
    }
}

/// What an I/O error says of a file: damage, where it is a decoder that complains.
pub(super) fn io_fault(path: &Path) -> impl Fn(io::Error) -> Fault {
    move |source| match source.raw_os_error() {
        Some(_) => Fault::Io { path: path.to_owned(), source },
        None if source.kind() == io::ErrorKind::BrokenPipe => Fault::Unheard,
        None => Fault::damaged(path, format!("it cannot be read to its end: {source}")),
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused { path, why, way_out } => Self::Artifact { path, why, way_out },
            Fault::Io { path, source } => Self::File { path, why: source.to_string() },
            Fault::Unheard => Self::Interrupted,
        }
    }
}
