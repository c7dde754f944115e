//! Archive tiers.

/// Pieces of WAL in archive tiers, on one timeline, of which something that seems to lie ready as well is read before that is believed.
pub const FROZEN_PROOFS_MAX: usize = 1000;
/// Frozen versions of one piece of WAL of which each may be ours: so many are thawed, the oldest ones.
pub const FROZEN_OF_PIECE_MAX: usize = 64;
/// Versions that one restore may have to ask an archive for: about 60 MB of names, and 4 TiB of WAL.
pub const FROZEN_MAX: usize = 1 << 18;
/// Requests for a thaw under way at once.
pub const THAWS: usize = 16;
/// The first and the longest pause between two looks at what an archive is to give back; seconds.
pub const THAW_PAUSE_SECONDS: (u64, u64) = (1, 60);
/// So often in a row what was asked for may be found as frozen as before.
pub const THAW_REPEATS_MAX: u32 = 5;
/// For how many days something may be asked for.
pub const THAW_DAYS_MAX: u64 = 365;

const _: () = assert!(THAW_PAUSE_SECONDS.0 > 0 && THAW_PAUSE_SECONDS.0 <= THAW_PAUSE_SECONDS.1);
