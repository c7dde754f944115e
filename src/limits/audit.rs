//! Bounds of the audit log.

/// An audit record with its signature; what stands in it is cut to fit.
pub const AUDIT_RECORD_BYTES_MAX: usize = 128 << 10;
/// Objects named in one audit record; the rest is counted.
pub const AUDIT_OBJECTS_MAX: usize = 200;
/// Length of the name of such an object, in bytes.
pub const AUDIT_NAME_BYTES_MAX: usize = 200;
/// Length of any other text in an audit record, in bytes.
pub const AUDIT_TEXT_BYTES_MAX: usize = 400;
/// Records that one audit record names as those before it.
pub const AUDIT_LINKS_MAX: usize = 64;
/// Numbers in one audit record.
pub const AUDIT_NUMBERS_MAX: usize = 32;
/// Listed versions looked at for the newest audit records: more of them in so short a time were planted.
pub const AUDIT_LISTED_MAX: usize = 32_000;
/// The newest of them that are held, and read until one proves to be ours.
pub const AUDIT_CANDIDATES_MAX: usize = 256;
/// Audit records told in one list, by their stored length: some thirty thousand.
pub const AUDIT_LOG_BYTES_MAX: u64 = 32 << 20;
/// Audit records whose digests a verification of the log holds: some eight megabytes. Links name far younger ones.
pub const AUDIT_KNOWN_MAX: usize = 50_000;
/// Commands that began and did not end, told apart by a verification of the log.
pub const AUDIT_OPEN_MAX: usize = 10_000;
/// Audit records read at once.
pub const AUDIT_READS: usize = 16;
/// How far back a writer of a record looks behind the time at which the newest one was written, in seconds: whoever wrote that
/// one had looked no longer before than this.
pub const AUDIT_OVERLAP_SECONDS: i64 = 120;
/// How long writing an audit record may take, all its requests together, in seconds.
pub const AUDIT_SECONDS_MAX: u64 = 30;
/// The same for the end of a command that failed or was interrupted: whatever stopped it may stop the record too.
pub const AUDIT_FAREWELL_SECONDS_MAX: u64 = 5;
/// A record that arrived so much later than it says was not stored when it was written, in seconds; earlier by as much, its
/// writer's clock was wrong.
pub const AUDIT_ARRIVAL_SECONDS_MAX: i64 = 600;
