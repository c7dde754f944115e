//! Stored WAL: one object at a time, by its name.
//!
//! Names of WAL are no secret and hold nothing random, so that a segment can be pushed and fetched without a listing. What a
//! plain GET of such a name returns is a hint: it is used if it proves by itself that it is what is wanted, and else the
//! versions are listed and the oldest genuine one wins (invariant I4).

mod cluster;
mod copies;
mod gap;
mod genuine;
mod ground;
mod keep;
mod keys;
mod object;

pub use cluster::{ClusterIdentity, cluster_record};
pub use copies::Replacement;
pub use gap::record_gap;
pub use ground::outlive_wal;
pub use keep::{Kept, keep_wal};
pub(super) use keys::WalKeys;
pub use object::WalObject;
