//! Receipts: the only proof that a stage finished.
//!
//! End of stream is never success (invariant I1). A stage that was dropped, killed or cut short hands back nothing, and
//! what is not handed back cannot be published: `catalog::commit` takes all three receipts by value.

use crate::format::StreamRecord;

/// The source ended by its own will and said so: a child's exit status 0, or `CommandComplete` read after `CopyDone`.
#[derive(Debug)]
#[must_use]
pub struct SourceReceipt {
    bytes: u64,
}

impl SourceReceipt {
    /// For the source that has just seen its proof of success; `bytes` is what it delivered in all.
    pub(crate) fn earned(bytes: u64) -> Self {
        Self { bytes }
    }

    /// Plain bytes that the source delivered.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// The final frame of a stream was written.
#[derive(Debug)]
#[must_use]
pub struct SealReceipt {
    pub(super) plain_bytes: u64,
    pub(super) frames: u64,
}

impl SealReceipt {
    /// Plain bytes sealed.
    pub fn plain_bytes(&self) -> u64 {
        self.plain_bytes
    }

    /// Frames sealed, the final one included.
    pub fn frames(&self) -> u64 {
        self.frames
    }
}

/// Every chunk of a stream was acknowledged by the store, with version and lock.
#[derive(Debug)]
#[must_use]
pub struct StoreReceipt {
    pub(super) record: StreamRecord,
}

impl StoreReceipt {
    /// What the manifest will say of the stream.
    pub fn record(&self) -> &StreamRecord {
        &self.record
    }

    /// Gives up the receipt for its record: done once, by the commit.
    pub fn into_record(self) -> StreamRecord {
        self.record
    }
}
