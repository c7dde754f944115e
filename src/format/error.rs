//! What can be wrong with stored bytes.

/// Result of reading stored bytes.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A fault in stored bytes. Every variant is a different fault, so that a report can tell an accident from an attack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes do not start with our magic.
    #[error("not a stonewal {0}")]
    NotOurs(&'static str),
    /// Written by a version we do not know.
    #[error("{what} has format version {version}; this stonewal reads version 1")]
    Version {
        /// Chunk or manifest.
        what: &'static str,
        /// What it claims.
        version: u32,
    },
    /// Shorter than its own lengths say.
    #[error("{0} is cut short")]
    Short(&'static str),
    /// A length or count beyond what `limits` allows, refused before memory is set aside for it.
    #[error("{what} claims {claimed}, more than the limit of {max}")]
    Absurd {
        /// The field.
        what: &'static str,
        /// Its value.
        claimed: u64,
        /// The limit.
        max: u64,
    },
    /// A field holds what it may not.
    #[error("{what} is malformed: {why}")]
    Malformed {
        /// The field.
        what: &'static str,
        /// The rule it breaks.
        why: String,
    },
    /// A chunk belongs to another stream, backup, cluster or place than where it was found.
    #[error("chunk {number} is not the one expected here: its header names another {field}")]
    Misplaced {
        /// Chunk number expected.
        number: u32,
        /// First header field that differs.
        field: &'static str,
    },
    /// Authentication failed: changed bytes, another key, or frames out of their order.
    #[error("frame {frame} of the stream does not authenticate")]
    FrameForged {
        /// Number of the frame in its stream.
        frame: u64,
    },
    /// The chunk's frame index does not authenticate.
    #[error("the frame index of chunk {chunk} does not authenticate")]
    IndexForged {
        /// Number of the chunk in its stream.
        chunk: u32,
    },
    /// The stream ended without its final frame.
    #[error("the stream ends after frame {frames} without a final frame: it was truncated")]
    Truncated {
        /// Frames read.
        frames: u64,
    },
    /// Frames follow the final one.
    #[error("frames follow the final frame {frame}")]
    Trailing {
        /// The final frame.
        frame: u64,
    },
    /// A frame that authenticates does not decompress to what it promised; only its writer can do that.
    #[error("frame {frame} does not decompress as {codec}: {why}")]
    Codec {
        /// Number of the frame in its stream.
        frame: u64,
        /// Codec recorded.
        codec: &'static str,
        /// What the codec said.
        why: String,
    },
    /// The sealed part of a manifest does not open with the key at hand.
    #[error("the sealed part of the manifest does not authenticate")]
    ManifestForged,
    /// The signature does not match the bytes.
    #[error("the signature of the {0} is not valid")]
    Signature(&'static str),
    /// The signature is valid, but its key is not trusted here.
    #[error("the {what} is signed by writer {writer}, which this repository does not trust")]
    UntrustedWriter {
        /// What was signed.
        what: &'static str,
        /// Short id of the key that signed.
        writer: String,
    },
    /// Encrypting failed: the frame counter or a length is out of range.
    #[error("the stream is too long to seal")]
    TooLong,
}
