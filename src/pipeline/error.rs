//! What can go wrong with a stream in motion.

use crate::format::{self, StreamName};
use crate::{keys, store};

/// Result of moving a stream.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A stream that did not reach its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A key was missing or wrong.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// Stored bytes are not what they should be.
    #[error("stream {stream}")]
    Format {
        /// The stream.
        stream: StreamName,
        /// The fault.
        #[source]
        source: format::Error,
    },
    /// A WAL object cannot be made or is not what its signature says.
    #[error("{object}")]
    Wal {
        /// What it holds.
        object: String,
        /// The fault.
        #[source]
        source: format::Error,
    },
    /// A chunk that the manifest pins is not there.
    #[error("chunk {key} in version {version} is missing")]
    MissingChunk {
        /// Its key.
        key: String,
        /// The version pinned.
        version: String,
    },
    /// A chunk is there but its bytes are not those that the manifest pins.
    #[error("chunk {key} is not what was stored: {why}")]
    AlteredChunk {
        /// Its key.
        key: String,
        /// The difference.
        why: String,
    },
    /// A receipt was asked for before the end, or the counts do not match the manifest.
    #[error("stream {stream} ended after {got} bytes where {want} were recorded")]
    Incomplete {
        /// The stream.
        stream: StreamName,
        /// Bytes seen.
        got: u64,
        /// Bytes recorded.
        want: u64,
    },
    /// A worker of our own died; this is a bug.
    #[error("a worker stopped unexpectedly")]
    Worker(#[source] tokio::task::JoinError),
}

impl Error {
    /// What the operator should do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Keys(error) => error.hint(),
            Self::Format { .. } | Self::MissingChunk { .. } | Self::AlteredChunk { .. } => Some(
                "nothing from the damaged place onward was released; run `stonewal verify --level checksum` for the whole extent, and restore another backup (`stonewal list`)".into(),
            ),
            Self::Wal { .. } => Some("run `stonewal wal verify --level full` for the whole extent".into()),
            Self::Incomplete { .. } | Self::Worker(_) => None,
        }
    }

    /// Whether stored data is at fault, rather than the store or this process.
    pub fn is_integrity(&self) -> bool {
        match self {
            Self::Format { .. }
            | Self::Wal { .. }
            | Self::MissingChunk { .. }
            | Self::AlteredChunk { .. }
            | Self::Incomplete { .. } => true,
            Self::Keys(error) => matches!(error, keys::Error::WrongKey { .. } | keys::Error::Format(_)),
            Self::Store(error) => matches!(error, store::Error::Corrupt { .. }),
            Self::Worker(_) => false,
        }
    }
}
