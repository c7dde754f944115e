//! One use case per file: what the command line offers, as functions that take resolved options and give back an
//! outcome. Nothing here parses arguments or prints.

pub mod audit;
pub mod backup_base;
pub mod backup_dump;
mod begun;
pub mod demo;
pub mod doctor;
pub mod drill;
mod error;
pub mod evidence;
mod facts;
mod frozen;
pub mod import;
pub mod import_base;
pub mod init;
pub mod keys;
pub mod lifecycle;
pub mod list;
pub mod parts;
pub mod read_back;
pub mod reencrypt;
pub mod replica;
pub mod report;
mod repository;
pub mod restore_base;
pub mod restore_dump;
pub mod retention;
pub mod schedule;
pub mod serve;
pub mod show;
mod sides;
pub mod status;
pub mod verify;
pub mod verify_restore;
mod wal;
pub mod wal_fetch;
pub mod wal_push;
pub mod wal_stream;
pub mod wal_verify;
pub mod writer;

pub use error::{Class, Error, Result};
pub use repository::{Connected, Immutability, Replica, RepositoryOptions};

/// Which backup is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The newest one.
    Latest,
    /// The one with this id.
    Id(crate::format::BackupId),
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Latest => f.write_str("the latest backup"),
            Self::Id(id) => write!(f, "backup {id}"),
        }
    }
}
