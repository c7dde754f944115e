//! The stored bytes: names, chunks, frames, manifests.
//!
//! Pure functions over bytes, without I/O, clock or randomness, so that everything a hostile bucket can feed us is
//! decided here and can be tested by table. `docs/FORMAT.md` says the same in prose, byte-exact.
//!
//! A stream is cut into frames; a frame is compressed on its own ([`codec`]) and sealed ([`seal`]); consecutive frames
//! make a chunk ([`chunk`]), which is one object named by [`names`]. A backup is what its [`manifest`] says. Stored WAL
//! ([`wal`]) needs no manifest: each object says and proves what it is. So does [`evidence`].

pub mod audit;
pub mod chunk;
pub mod codec;
mod error;
pub mod evidence;
mod header;
mod ids;
mod lsn;
pub mod manifest;
pub mod names;
mod place;
mod record;
pub mod roster;
pub mod seal;
pub mod signed;
pub mod tar;
pub mod wal;

pub use codec::Codec;
pub use error::{Error, Result};
pub use header::ChunkHeader;
pub use ids::{
    AuditId, BackupId, ClusterName, DigestKey, EvidenceId, KeyId, RepositoryId, RowSum, Salt, StreamId, StreamName,
    Tag, WriterPublic,
};
pub(crate) use ids::{hex, unhex};
pub use lsn::{Lsn, SegmentName, SegmentSize, Timeline, WalFileName};
pub use place::Place;
pub use record::{ChunkRecord, Digest, LockModeRecord, LockRecord, ObjectRecord, StreamRecord};
pub use seal::DataKey;
