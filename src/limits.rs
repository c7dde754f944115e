//! Every bound in one place, with the relations between them checked at compile time.
//!
//! Nothing here depends on the size of the database: memory is a product of these numbers (invariant I12).

mod audit;
mod status;

pub use audit::*;
pub use status::*;

/// Plain bytes of one frame, the unit of compression and of authenticated encryption.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// Bytes that AES-256-GCM adds to every frame.
pub const TAG_BYTES: usize = 16;

/// The most a sealed frame may measure: an incompressible frame grows a little in every codec (gzip stores it in
/// blocks with headers, lz4 with its frame header), then gains the tag.
pub const SEALED_FRAME_BYTES_MAX: usize = FRAME_BYTES_MAX + FRAME_BYTES_MAX / 64 + 1024 + TAG_BYTES;

/// Smallest, usual and largest size of a chunk (one object, one PUT), in bytes.
pub const CHUNK_BYTES_MIN: usize = 8 << 20;
/// See [`CHUNK_BYTES_MIN`].
pub const CHUNK_BYTES_DEFAULT: usize = 32 << 20;
/// See [`CHUNK_BYTES_MIN`].
pub const CHUNK_BYTES_MAX: usize = 512 << 20;

/// A chunk header is a few names and numbers; anything longer is not ours.
pub const CHUNK_HEADER_BYTES_MAX: usize = 1024;

/// Frames in one chunk: what the frame index may claim before memory is set aside for it.
pub const CHUNK_FRAMES_MAX: usize = 1 << 20;

/// Frames compressed or opened at once, however many processors there are: each holds up to three frames' worth of memory.
pub const FRAME_WORKERS_MAX: usize = 16;

/// Chunks being sent at once; one more is being filled.
pub const UPLOADS_DEFAULT: usize = 3;
/// See [`UPLOADS_DEFAULT`].
pub const UPLOADS_MAX: usize = 64;

/// Allocations from here on are always mapped by glibc and given back when dropped. Smaller ones come, once such a buffer was
/// freed, from heaps that each thread keeps for itself (mallopt(3), M_MMAP_THRESHOLD): several chunks' worth of memory.
pub const MAPPED_BYTES_MIN: usize = (32 << 20) + 1;

/// Chunks fetched ahead of the reader during a restore.
pub const DOWNLOADS_DEFAULT: usize = 3;

/// What the buffers of one backup or restore stream may hold with the defaults, in bytes.
pub const MEMORY_BUDGET_DEFAULT: usize = 192 << 20;

/// Longest piece of WAL that is one object, in bytes: PostgreSQL's usual segment. Longer segments are several pieces.
pub const WAL_PIECE_BYTES_MAX: usize = 16 << 20;

/// Usual size of a WAL page, PostgreSQL's `XLOG_BLCKSZ`.
pub const WAL_PAGE_BYTES: usize = 8192;

/// Header of a WAL object with its signature: what is fetched to know an object without its body.
pub const WAL_HEAD_BYTES_MAX: usize = 8 << 10;

/// A whole WAL object: a piece in frames that may each grow a little, with header, index and tags.
pub const WAL_OBJECT_BYTES_MAX: usize = WAL_HEAD_BYTES_MAX
    + CHUNK_HEADER_BYTES_MAX
    + (WAL_PIECE_BYTES_MAX / FRAME_BYTES_MAX + 1) * (SEALED_FRAME_BYTES_MAX + 64);

/// History and backup history files are a few lines.
pub const WAL_FILE_BYTES_MAX: usize = 1 << 20;

/// What an old backup says of itself: `backup_label`, `tablespace_map`, `PG_VERSION`, `pg_control`.
pub const BACKUP_PAPER_BYTES_MAX: u64 = 1 << 20;

/// Pause before storing WAL is tried again, after the store client has given up, in milliseconds; it doubles up to the cap.
pub const WAL_RETRY_MILLIS: u64 = 250;
/// See [`WAL_RETRY_MILLIS`].
pub const WAL_RETRY_MILLIS_MAX: u64 = 10_000;
/// Pause before the server is connected to again, in milliseconds; it doubles up to the cap.
pub const RECONNECT_MILLIS: u64 = 100;
/// See [`RECONNECT_MILLIS`].
pub const RECONNECT_MILLIS_MAX: u64 = 5_000;
/// The longest pause between two status reports to the server, in seconds, and the share of its `wal_sender_timeout`.
pub const WAL_STATUS_SECONDS_MAX: u64 = 10;
/// How long a server that does not answer is waited for before WAL that no other has is recorded as lost, in seconds.
pub const WAL_SERVER_WAIT_SECONDS_MAX: u64 = 600;
/// A server that is asked for WAL that another has lost, and sends nothing for so long, has no more of it; seconds.
pub const WAL_BORROW_PAUSE_SECONDS: u64 = 3;
/// Bytes before the end of what was received that are asked for again after a lost connection, to be compared.
pub const WAL_OVERLAP_BYTES: usize = 64 << 10;
/// How long the newest WAL may take to be sent once more when a streamer starts, to be compared; seconds.
pub const WAL_PROOF_SECONDS_MAX: u64 = 120;
/// An unfinished piece that has not grown for so long gets the lock of a whole one; seconds.
pub const WAL_TAIL_IDLE_SECONDS: u64 = 300;
/// Before it ends because no server answers, a streamer looks after the WAL of an earlier one for no longer than this; seconds.
pub const WAL_HEIR_SECONDS_MAX: u64 = 60;
/// How often the locks of what WAL needs are looked at, in seconds, unless WAL is locked for so short that it must be more often.
pub const WAL_GROUND_SECONDS: u64 = 24 * 3600;
/// How often the server is asked whether we are a synchronous standby, in seconds.
pub const WAL_PACE_SECONDS: u64 = 2;
/// How long a new streamer waits for a slot that is in use: a connection that died is noticed after `wal_sender_timeout`.
pub const SLOT_BUSY_SECONDS_MAX: u64 = 75;
/// WAL headers read at once.
pub const WAL_HEADS: usize = 16;

/// The same where names are many, because somebody planted them.
pub const WAL_PROBES: usize = 64;
/// Names proved in one go, at most, for as long as none proves to be ours.
pub const WAL_PROBE_STEP_MAX: u64 = 4096;

/// Ancestors told in the clear header of a history file, the youngest ones: they must fit in [`WAL_HEAD_BYTES_MAX`].
pub const WAL_ANCESTORS_MAX: usize = 64;

/// Pieces of WAL compressed and sent at once by a push: each holds its content, its frames and its object.
pub const WAL_PUSHES: usize = 4;

/// Bytes of WAL fetched ahead at once: each worker holds one object as stored and a few frames.
pub const WAL_AHEAD_BYTES_MAX: usize = 128 << 20;

/// Tries of a `wal fetch` that fails for a reason that will hardly pass.
pub const WAL_FETCH_TRIES: u32 = 3;
/// The longest pause between two of its tries, in seconds.
pub const WAL_FETCH_PAUSE_SECONDS_MAX: u64 = 8;
/// How long it may at least look ahead while PostgreSQL waits, in seconds.
pub const WAL_AHEAD_SECONDS_MIN: u64 = 3;

/// Missing segments named one by one; all are counted.
pub const WAL_MISSING_NAMED_MAX: usize = 10_000;

/// Windows of WAL, and recorded gaps, of one timeline: in genuine life a handful.
pub const WAL_WINDOWS_MAX: usize = 100_000;

/// Partials looked at in one place: one a second for a day.
pub const WAL_PARTIALS_MAX: usize = 100_000;

/// Pieces of WAL in archive tiers, on one timeline, of which something that seems to lie ready as well is read before that is believed.
pub const FROZEN_PROOFS_MAX: usize = 1000;

/// Data keys of WAL runs kept open: every streamer, and every push, has one.
pub const WAL_KEYS_MAX: usize = 4096;

/// Timelines in one history: a failover each.
pub const TIMELINES_MAX: usize = 10_000;

/// Clear and sealed part of a manifest, each. 10 TiB in default chunks need about 100 MB of clear part.
pub const MANIFEST_PART_BYTES_MAX: usize = 256 << 20;

/// File index of a base backup as JSON: what the sealed part of a manifest holds besides is small. An entry takes 64 bytes
/// and its path: about 2.5 million files.
pub const FILE_INDEX_BYTES_MAX: u64 = MANIFEST_PART_BYTES_MAX as u64 - (16 << 20);

/// One block of a tar.
pub const TAR_BLOCK_BYTES: usize = 512;

/// Objects that hold keys, identities, certificates or the repository record: small by nature.
pub const SMALL_OBJECT_BYTES_MAX: u64 = 1 << 20;

/// scrypt work factor (log2 N) of a passphrase-sealed identity bundle: 128 MiB and about half a second.
pub const SCRYPT_LOG_N: u8 = 17;
/// The largest work factor accepted when reading: a planted bundle must not cost minutes or gigabytes.
pub const SCRYPT_LOG_N_MAX: u8 = 18;

/// Recipients of data keys: all must find room in the header of a WAL object.
pub const RECIPIENTS_MAX: usize = 16;
/// Bytes of the ARN of a key in AWS KMS.
pub const KMS_ARN_BYTES_MAX: usize = 256;
/// Secrets kept that KMS agreed on, 32 bytes each: as many as keys of WAL.
pub const KMS_ANSWERS_MAX: usize = WAL_KEYS_MAX;
/// Calls to KMS at once: it counts those of a whole account.
pub const KMS_IN_FLIGHT: usize = 8;
/// Tries of one call to KMS, with growing pauses.
pub const KMS_ATTEMPTS: u32 = 6;
/// At most so long is the first of these pauses; the others are twice as long as the one before.
pub const KMS_PAUSE_MILLIS: u64 = 200;
/// For one call to KMS, with all its tries.
pub const KMS_DEADLINE_SECONDS: u64 = 60;
/// The name of a recipient or passphrase in a roster.
pub const ROSTER_NAME_BYTES_MAX: usize = 100;
/// A roster as stored: room for several hundred keys that were retired.
pub const ROSTER_BYTES_MAX: u64 = 256 << 10;
/// Objects named like rosters that are read: a repository has one for each change of its keys, and copies of the last.
pub const ROSTERS_READ_MAX: usize = 512;
/// Copies of a bundle, roster or certificate that are read for one that is locked long enough, once their content is known.
pub const COPIES_READ_MAX: usize = 512;
/// Passphrases that count at a time: all are tried, newest first, before anything else.
pub const ROSTER_BUNDLES_MAX: usize = 8;
/// Former identities of one bundle.
pub const FORMER_IDENTITIES_MAX: usize = 100;
/// Data keys opened, wrapped or examined at once: some small requests each.
pub const KEYS_IN_FLIGHT: usize = 32;
/// Data keys of WAL remembered as seen; beyond that some are looked at twice.
pub const KEYS_SEEN_MAX: usize = 1 << 20;
/// How often a streamer looks for a new roster, in seconds.
pub const ROSTER_SECONDS: u64 = 3600;

/// Identity bundles tried with a passphrase before giving up: each costs one scrypt.
pub const IDENTITY_BUNDLES_MAX: usize = 8;

/// Objects and versions asked for in one listing page; S3 allows no more.
pub const LIST_PAGE_MAX: i32 = 1000;

/// Versions in one `DeleteObjects` request (S3 API DeleteObjects: "up to 1,000 keys").
pub const DELETE_KEYS_MAX: usize = 1000;

/// Days after which the lifecycle rule of ours removes what was written over or hidden, at least: time to notice an attack.
/// The modules of infra/ have the same.
pub const LIFECYCLE_NONCURRENT_DAYS: u32 = 90;
/// Days after which it removes uploads that were never completed. stonewal makes none.
pub const LIFECYCLE_UPLOAD_DAYS: u32 = 7;

/// Requests about locks and holds under way at once.
pub const RETENTION_IN_FLIGHT: usize = 16;

/// How long a connection to the store may take to open, in seconds.
pub const STORE_CONNECT_SECONDS: u64 = 10;
/// How long a request may make no progress (no byte taken, no answer, no byte received) before it is sent again.
pub const STORE_STALL_SECONDS: u64 = 60;
/// Deadline of one store request, its retries included, in seconds, unless configured.
pub const STORE_DEADLINE_SECONDS_DEFAULT: u64 = 900;
/// Tries of one store request unless configured; a download that makes progress starts counting anew.
pub const STORE_ATTEMPTS_DEFAULT: u32 = 20;
/// Tries while the store has never answered at all: a mistyped endpoint should be reported soon.
pub const STORE_FIRST_CONTACT_ATTEMPTS: u32 = 4;
/// Pause before the first retry of a store request (before jitter), in milliseconds; it doubles up to the cap.
pub const STORE_BACKOFF_MILLIS: u64 = 100;
/// The longest pause between two tries, in milliseconds.
pub const STORE_BACKOFF_MILLIS_MAX: u64 = 10_000;
/// Of a key's versions that might be what a manifest pins, so many of the oldest and so many of the newest are read.
pub const REPLICA_CANDIDATES: usize = 8;
/// Of the versions of a name that everybody can guess, so many of the oldest are held while a listing goes by.
pub const GUESSED_VERSIONS: usize = 8;
/// Failures in a row after which one side of several is passed over.
pub const SIDE_FAILURES_MAX: u32 = 3;
/// How long it is passed over; seconds.
pub const SIDE_REST_SECONDS: u64 = 30;
/// Attempts of one request where another side can be asked instead.
pub const SIDE_ATTEMPTS_MAX: u32 = 4;
/// Time for one request where another side can be asked instead; seconds.
pub const SIDE_DEADLINE_SECONDS_MAX: u64 = 120;
/// Attempts of one request where another side can be asked instead and PostgreSQL waits.
pub const SIDE_WAITED_ATTEMPTS_MAX: u32 = 2;
/// Where PostgreSQL waits, a silent side is given up after the time there is, divided by so many times the number of sides: the
/// attempts of all of them fit in, and there is time left for what the last one gives.
pub const SIDE_WAITED_SHARE: u32 = 3;
/// Sides of one repository.
pub const SIDES_MAX: usize = 16;
/// Uploads are handed to the connection in frames of this size, so that progress can be watched.
pub const STORE_UPLOAD_FRAME_BYTES: usize = 64 << 10;

/// Last bytes of standard error kept from a child process.
pub const STDERR_BYTES_MAX: usize = 16 << 10;

/// A connection attempt that has not reached a ready session by then is given up, unless `connect_timeout` says
/// otherwise; seconds. libpq would wait for ever.
pub const CONNECT_SECONDS_DEFAULT: u64 = 30;

/// Longest message of a server that has let us in: WAL comes in 128 KiB (1 MiB where it was built with large WAL blocks).
pub const REPLICATION_MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Longest message before that; libpq allows half of it.
pub const LOGIN_MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Room for one read from a replication connection.
pub const REPLICATION_READ_BYTES: usize = 256 << 10;
/// All rows of one answer to a replication command; a history file is a few KiB.
pub const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Settings that a server may report at login; it reports about fifteen.
pub const PARAMETERS_MAX: usize = 256;
/// Length of one text in an error or notice of a server.
pub const SERVER_TEXT_BYTES_MAX: usize = 8 << 10;
/// Warnings kept of one base backup.
pub const NOTICES_MAX: usize = 1000;
/// Tablespaces of one cluster.
pub const TABLESPACES_MAX: usize = 100_000;
/// How long an answer to a short replication command may take, in seconds.
pub const REPLICATION_ANSWER_SECONDS: u64 = 60;
/// A replication stream or copy without a byte for so long is dead, in seconds: PostgreSQL's own wal_receiver_timeout.
pub const REPLICATION_SILENCE_SECONDS: u64 = 60;
/// How often a status asks the server for a sign of life, in seconds.
pub const REPLICATION_PING_SECONDS: u64 = 15;
/// A base backup may pause while the server reads slow disks, but not for longer than this, in seconds.
pub const BASE_BACKUP_SILENCE_SECONDS: u64 = 600;

/// A backend that lost its client must be gone from `pg_stat_activity` by then; seconds.
pub const BACKEND_GONE_SECONDS_MAX: u64 = 10;

/// How often the control session of a base backup is asked whether it lives; seconds.
pub const HEARTBEAT_SECONDS: u64 = 10;
/// How long it may take to answer before it counts as lost; seconds.
pub const HEARTBEAT_ANSWER_SECONDS_MAX: u64 = 15;

/// How long a child may take to end after SIGTERM before it gets SIGKILL; seconds.
pub const CHILD_TERMINATE_SECONDS_MAX: u64 = 3;

/// How long an interrupted backup or restore may take to end in good order before it is given up; seconds.
pub const INTERRUPT_GRACE_SECONDS: u64 = 12;

/// A server of our own must take connections, or have been promoted, by then.
pub const SERVER_START_SECONDS_MAX: u64 = 60;

/// The `globals` stream (roles, memberships, tablespaces) is held in memory when it is restored.
pub const GLOBALS_BYTES_MAX: u64 = 64 << 20;

/// Longest statement of a dump that is looked at as a whole when tables are picked out of it: definitions are a few KiB.
pub const DUMP_STATEMENT_BYTES_MAX: usize = 1 << 20;
/// Tables, views and sequences of one dump, when tables are picked out of it.
pub const DUMP_RELATIONS_MAX: usize = 1_000_000;

/// Connections the embedded store serves at once; more wait in the listen queue.
pub const EMBEDDED_CONNECTIONS_MAX: usize = 256;
/// Connections of the embedded store that wait to be accepted.
pub const EMBEDDED_BACKLOG: u32 = 1024;
/// Largest body of one PUT or part that S3 takes, in bytes.
pub const EMBEDDED_BODY_BYTES_MAX: u64 = 5 << 30;
/// Pieces of one upload between the network and the disk; a piece is one read of the connection (below 512 KiB).
pub const EMBEDDED_PIECES_MAX: usize = 8;
/// One read from the disk for a response, in bytes.
pub const EMBEDDED_READ_BYTES: usize = 256 << 10;

const _: () = assert!(CHUNK_BYTES_MIN >= 4 * SEALED_FRAME_BYTES_MAX);
const _: () = assert!(CHUNK_BYTES_MIN <= CHUNK_BYTES_DEFAULT && CHUNK_BYTES_DEFAULT <= CHUNK_BYTES_MAX);
const _: () = assert!((UPLOADS_DEFAULT + 1) * CHUNK_BYTES_DEFAULT <= MEMORY_BUDGET_DEFAULT);
const _: () = assert!(WAL_AHEAD_BYTES_MAX + WAL_PIECE_BYTES_MAX <= MEMORY_BUDGET_DEFAULT);
const _: () = assert!(WAL_PUSHES * 3 * WAL_PIECE_BYTES_MAX <= MEMORY_BUDGET_DEFAULT);
const _: () = assert!((DOWNLOADS_DEFAULT + 2) * CHUNK_BYTES_DEFAULT <= MEMORY_BUDGET_DEFAULT);
const _: () =
    assert!(STORE_STALL_SECONDS > STORE_CONNECT_SECONDS && STORE_DEADLINE_SECONDS_DEFAULT > STORE_STALL_SECONDS);
const _: () = assert!(STORE_BACKOFF_MILLIS <= STORE_BACKOFF_MILLIS_MAX);
const _: () = assert!(STORE_FIRST_CONTACT_ATTEMPTS <= STORE_ATTEMPTS_DEFAULT);
// The loss of the control session aborts within half a minute (PAINS C6).
const _: () = assert!(HEARTBEAT_SECONDS + HEARTBEAT_ANSWER_SECONDS_MAX < 30);
const _: () = assert!(INTERRUPT_GRACE_SECONDS > BACKEND_GONE_SECONDS_MAX);
const _: () = assert!(LOGIN_MESSAGE_BYTES_MAX <= REPLICATION_MESSAGE_BYTES_MAX);
const _: () = assert!(2 * REPLICATION_PING_SECONDS < REPLICATION_SILENCE_SECONDS);
const _: () = assert!(AUDIT_OVERLAP_SECONDS as u64 > 2 * AUDIT_SECONDS_MAX);
// Half of a name may need a backslash in JSON.
const _: () = assert!(
    AUDIT_OBJECTS_MAX * (2 * AUDIT_NAME_BYTES_MAX + 64) + AUDIT_LINKS_MAX * 256 + 16 * AUDIT_TEXT_BYTES_MAX
        <= AUDIT_RECORD_BYTES_MAX
);
const _: () = assert!(SCRYPT_LOG_N <= SCRYPT_LOG_N_MAX);
const _: () = assert!((128 << SCRYPT_LOG_N) * 8 <= MEMORY_BUDGET_DEFAULT);

/// A manifest object: two parts and an envelope.
pub const MANIFEST_BYTES_MAX: u64 = 2 * MANIFEST_PART_BYTES_MAX as u64 + 1024;

/// A manifest longer than this takes the room of several while it is looked at.
pub const MANIFEST_USUAL_BYTES_MAX: u64 = 16 << 20;

/// Backup folders looked into at once.
pub const DISCOVERIES: usize = 8;

/// Objects of one kind looked at in a listing, the oldest of them: we put a handful there, an attacker a million.
pub const FIRST_VERSIONS_MAX: usize = 5000;

/// Findings told in full; all are counted.
pub const FINDINGS_MAX: usize = 1000;

/// Local files compared at once before a restore over them.
pub const COMPARISONS: usize = 8;

/// HEAD requests under way at once during a verification.
pub const HEADS: usize = 16;

/// A document of people's that a table is written into, in bytes.
pub const DOCUMENT_BYTES_MAX: u64 = 16 << 20;
/// The newest WAL may be so old where no server is asked, in hours, before a checklist doubts that any comes in.
pub const CHECKLIST_WAL_AGE_HOURS: i64 = 24;
/// Streams of a backup whose beginning a checklist reads.
pub const CHECKLIST_STREAMS_MAX: usize = 64;
/// Audit records of the time of a drill that a checklist looks at.
pub const CHECKLIST_RECORDS_MAX: usize = 2000;
/// Checks in one piece of evidence.
pub const EVIDENCE_CHECKS_MAX: usize = 1000;
/// Phases in one piece of evidence.
pub const EVIDENCE_PHASES_MAX: usize = 16;
/// Hash chains in one piece of evidence.
pub const EVIDENCE_CHAINS_MAX: usize = 100;
/// One text in evidence, in bytes.
pub const EVIDENCE_TEXT_BYTES_MAX: usize = 1024;
/// A piece of evidence, in bytes; the usual one has a few thousand.
pub const EVIDENCE_BYTES_MAX: u64 = 256 << 10;
/// Pieces of evidence told in one go, the newest.
pub const EVIDENCE_KEPT_MAX: usize = 1000;
/// How long the backend at `verify.release_url` may take to tell its release, in seconds.
pub const RELEASE_SECONDS_MAX: u64 = 10;
/// The document in which it does, in bytes.
pub const RELEASE_BYTES_MAX: usize = 1 << 20;
/// Rounds of PBKDF2 that an imported file may ask for: some seconds.
pub const IMPORT_ITERATIONS_MAX: u64 = 10_000_000;
/// Rows of one moment of a hash chain that are held to put them in order.
pub const CHAIN_TIES_MAX: usize = 10_000;
/// Breaks of one hash chain told in full; all are counted.
pub const CHAIN_BREAKS_MAX: usize = 100;
