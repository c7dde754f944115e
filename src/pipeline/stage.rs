//! Receipts: the only proof that a stage finished.
//!
//! End of stream is never success (invariant I1). A stage that was dropped, killed or cut short hands back nothing, and
//! what is not handed back cannot be published: `catalog::commit` takes all three receipts by value.

use crate::format::StreamRecord;

/// Something that produces one stream.
pub trait Source: Send {
    /// Why it failed.
    type Error;

    /// Reads the next bytes into `buffer`; 0 is the end of the stream, which proves nothing: ask the source for its
    /// [`SourceReceipt`]. Dropping the future may lose bytes; do so only to give up.
    fn read(&mut self, buffer: &mut [u8]) -> impl Future<Output = Result<usize, Self::Error>> + Send;
}

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

    /// Gives up the receipt for its count: done once, by the commit.
    pub fn into_bytes(self) -> u64 {
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

    /// Gives up the receipt for its counts of plain bytes and frames: done once, by the commit.
    pub fn into_counts(self) -> (u64, u64) {
        (self.plain_bytes, self.frames)
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

/// The whole stream was fetched, verified and opened, its final frame included.
#[derive(Debug)]
#[must_use]
pub struct OpenReceipt {
    pub(super) plain_bytes: u64,
}

impl OpenReceipt {
    /// Length of the stream.
    pub fn plain_bytes(&self) -> u64 {
        self.plain_bytes
    }
}
