//! Bounds of a status.

/// How long the server may take to answer all questions of a status; seconds.
pub const STATUS_SERVER_SECONDS_MAX: u64 = 30;
/// How long a status looks again before it calls WAL late: a streamer that works needs a second or two; seconds.
pub const STATUS_SECOND_LOOK_SECONDS: u64 = 5;
/// A status warns when the slot's headroom lasts for less than this at the present rate; seconds.
pub const STATUS_HEADROOM_SECONDS_MIN: u64 = 3600;
/// A status warns when more files than this wait for the archiver.
pub const STATUS_BACKLOG_FILES_MAX: u64 = 16;
/// Pieces at the end of the WAL in which a status looks for the last commit.
pub const STATUS_COMMIT_PIECES_MAX: u64 = 64;
/// Windows of WAL that may be waiting for an earlier piece that is on its way.
pub const STATUS_IN_FLIGHT_MAX: usize = 8;
/// Pieces at the end of the WAL that a status proves to be genuine: as many as a streamer sends at once by far.
pub const STATUS_PROVEN_PIECES: u64 = 16;
