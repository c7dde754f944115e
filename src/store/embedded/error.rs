//! Why the server does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::store::roles::Role;

/// Result of starting or asking the server.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the embedded store cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another server has the root.
    #[error("store folder {} is in use by another server", root.display())]
    InUse {
        /// The folder.
        root: PathBuf,
    },
    /// The root cannot be read or written, or what it holds is damaged.
    #[error("open store folder {}", root.display())]
    Root {
        /// The folder.
        root: PathBuf,
        /// What happened, naming the file.
        #[source]
        source: io::Error,
    },
    /// The request log cannot be written.
    #[error("open request log {}", path.display())]
    RequestLog {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The address cannot be had.
    #[error("listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// No user has this role.
    #[error("the store has no user with role {role}")]
    NoUser {
        /// The role.
        role: Role,
    },
    /// The runtime ended while the store was being opened.
    #[error("opening the store was interrupted")]
    Interrupted,
}

impl Error {
    /// What the operator should do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::InUse { .. } => "stop the other server, or choose another folder".into(),
            Self::Root { source, .. } if source.kind() == io::ErrorKind::InvalidData => {
                "the folder was changed by something else or its disk lost data; start with an empty folder".into()
            }
            Self::Root { .. } | Self::RequestLog { .. } => "check the path, its permissions and free space".into(),
            Self::Listen { .. } => "choose a free address, or port 0 for any".into(),
            Self::NoUser { .. } | Self::Interrupted => return None,
        })
    }
}
