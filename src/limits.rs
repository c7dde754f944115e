//! Every bound in one place, with the relations between them checked at compile time.
//!
//! Nothing here depends on the size of the database: memory is a product of these numbers (invariant I12).

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

/// Chunks being sent at once; one more is being filled.
pub const UPLOADS_DEFAULT: usize = 3;
/// See [`UPLOADS_DEFAULT`].
pub const UPLOADS_MAX: usize = 64;

/// Chunks fetched ahead of the reader during a restore.
pub const DOWNLOADS_DEFAULT: usize = 3;

/// What the buffers of one backup or restore stream may hold with the defaults, in bytes.
pub const MEMORY_BUDGET_DEFAULT: usize = 192 << 20;

/// Clear and sealed part of a manifest, each. 10 TiB in default chunks need about 100 MB of clear part.
pub const MANIFEST_PART_BYTES_MAX: usize = 256 << 20;

/// Objects that hold keys, identities, certificates or the repository record: small by nature.
pub const SMALL_OBJECT_BYTES_MAX: u64 = 1 << 20;

/// scrypt work factor (log2 N) of a passphrase-sealed identity bundle: 128 MiB and about half a second.
pub const SCRYPT_LOG_N: u8 = 17;
/// The largest work factor accepted when reading: a planted bundle must not cost minutes or gigabytes.
pub const SCRYPT_LOG_N_MAX: u8 = 20;

/// Identity bundles tried with a passphrase before giving up: each costs one scrypt.
pub const IDENTITY_BUNDLES_MAX: usize = 8;

/// Objects and versions asked for in one listing page; S3 allows no more.
pub const LIST_PAGE_MAX: i32 = 1000;

/// Last bytes of standard error kept from a child process.
pub const STDERR_BYTES_MAX: usize = 16 << 10;

/// The `globals` stream (roles, memberships, tablespaces) is held in memory when it is restored.
pub const GLOBALS_BYTES_MAX: u64 = 64 << 20;

/// Connections the embedded store serves at once; more wait in the listen queue.
pub const EMBEDDED_CONNECTIONS_MAX: usize = 256;
/// Largest body of one PUT or part that S3 takes, in bytes.
pub const EMBEDDED_BODY_BYTES_MAX: u64 = 5 << 30;
/// Pieces of one upload between the network and the disk; a piece is one read of the connection (below 512 KiB).
pub const EMBEDDED_PIECES_MAX: usize = 8;
/// One read from the disk for a response, in bytes.
pub const EMBEDDED_READ_BYTES: usize = 256 << 10;

const _: () = assert!(CHUNK_BYTES_MIN >= 4 * SEALED_FRAME_BYTES_MAX);
const _: () = assert!(CHUNK_BYTES_MIN <= CHUNK_BYTES_DEFAULT && CHUNK_BYTES_DEFAULT <= CHUNK_BYTES_MAX);
const _: () = assert!((UPLOADS_DEFAULT + 1) * CHUNK_BYTES_DEFAULT <= MEMORY_BUDGET_DEFAULT);
const _: () = assert!((DOWNLOADS_DEFAULT + 1) * CHUNK_BYTES_DEFAULT <= MEMORY_BUDGET_DEFAULT);
const _: () = assert!(SCRYPT_LOG_N <= SCRYPT_LOG_N_MAX);
const _: () = assert!((128 << SCRYPT_LOG_N) * 8 <= MEMORY_BUDGET_DEFAULT);
