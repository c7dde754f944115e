//! Streams in motion: frames cut, compressed and sealed on the way out; fetched, verified and opened on the way back.
//!
//! Upload: [`pump`] reads a source straight into a frame; frames are compressed in parallel and leave in order; the
//! chunk being filled seals them where they lie; full chunks are PUT several at a time. Download is the mirror image.
//! Every buffer is bounded by `limits` (invariant I12), and every end is a receipt (invariant I1).

mod chunks;
mod download;
mod error;
mod fetch;
mod frames;
mod pump;
mod ranged;
pub mod stage;
mod stream_place;
mod upload;
mod wal;
pub mod wal_stream;

pub use download::StreamReader;
pub use error::{Error, Result};
pub use fetch::{chunks_ahead, fetch_chunk};
pub use pump::{PumpError, pump};
pub use ranged::{RangedReader, Span};
pub use upload::{Encoding, StreamWriter, Target};
pub use wal::{SealedWal, Signer, WalPlace, WalRun, open_wal, open_wal_whole, wal_suffix};
