//! How far a job is: counters that the pipeline moves and the command line reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What a job is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Phase {
    /// Connecting, checking versions and permissions.
    #[default]
    Preparing,
    /// Waiting for what lies in archive tiers.
    Thawing,
    /// Moving the data.
    Streaming,
    /// Reading rows of a restored database.
    Checking,
    /// Waiting for the last acknowledgements, writing the manifest or committing in the target.
    Finishing,
    /// Nothing is left to do.
    Done,
}

impl Phase {
    const ALL: [Self; 6] =
        [Self::Preparing, Self::Thawing, Self::Streaming, Self::Checking, Self::Finishing, Self::Done];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Thawing => "thawing",
            Self::Streaming => "streaming",
            Self::Checking => "checking",
            Self::Finishing => "finishing",
            Self::Done => "done",
        }
    }
}

/// Shared counters of one job. Clones count together; counting never blocks and never fails.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    inner: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    phase: AtomicU8,
    plain_bytes: AtomicU64,
    stored_bytes: AtomicU64,
    chunks: AtomicU64,
    rows: AtomicU64,
    expected_plain_bytes: AtomicU64,
    objects: AtomicU64,
    expected_objects: AtomicU64,
}

/// The counters at one moment. Each is exact; together they may be a few events apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Reading {
    /// What the job is doing.
    pub phase: Phase,
    /// Bytes of the stream itself, before compression or after decompression.
    pub plain_bytes: u64,
    /// Bytes acknowledged by the store, or fetched from it.
    pub stored_bytes: u64,
    /// Chunks acknowledged by the store, or fetched from it.
    pub chunks: u64,
    /// Rows read.
    pub rows: u64,
    /// Plain bytes there will be, if that is known or estimated.
    pub expected_plain_bytes: Option<u64>,
    /// Objects that archive tiers gave back.
    pub objects: u64,
    /// Objects that they were asked for.
    pub expected_objects: u64,
}

impl Progress {
    /// Counters at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Enters a phase.
    pub fn set_phase(&self, phase: Phase) {
        self.inner.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Says how many plain bytes to expect; zero = unknown.
    pub fn expect_plain_bytes(&self, bytes: u64) {
        self.inner.expected_plain_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Counts bytes of the stream itself.
    pub fn add_plain_bytes(&self, bytes: u64) {
        self.inner.plain_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts one chunk that the store has acknowledged (or that was fetched), of `bytes` stored bytes.
    pub fn add_chunk(&self, bytes: u64) {
        self.inner.stored_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.inner.chunks.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts rows that were read.
    pub fn add_rows(&self, rows: u64) {
        self.inner.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// Says how many objects can be read of those that archive tiers are to give back.
    pub fn set_objects(&self, ready: u64, of: u64) {
        self.inner.objects.store(ready, Ordering::Relaxed);
        self.inner.expected_objects.store(of, Ordering::Relaxed);
    }

    /// The counters now.
    pub fn read(&self) -> Reading {
        let counters = &*self.inner;
        let expected = counters.expected_plain_bytes.load(Ordering::Relaxed);
        Reading {
            phase: Phase::ALL.get(usize::from(counters.phase.load(Ordering::Relaxed))).copied().unwrap_or_default(),
            plain_bytes: counters.plain_bytes.load(Ordering::Relaxed),
            stored_bytes: counters.stored_bytes.load(Ordering::Relaxed),
            chunks: counters.chunks.load(Ordering::Relaxed),
            rows: counters.rows.load(Ordering::Relaxed),
            expected_plain_bytes: (expected > 0).then_some(expected),
            objects: counters.objects.load(Ordering::Relaxed),
            expected_objects: counters.expected_objects.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_count_together_from_many_threads() {
        let progress = Progress::new();
        assert_eq!(progress.read(), Reading::default());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let progress = progress.clone();
                scope.spawn(move || {
                    for _ in 0..1000 {
                        progress.add_plain_bytes(3);
                        progress.add_chunk(2);
                        progress.add_rows(1);
                    }
                });
            }
        });
        progress.expect_plain_bytes(12_000);
        let reading = progress.read();
        assert_eq!(
            (reading.plain_bytes, reading.stored_bytes, reading.chunks, reading.rows),
            (12_000, 8_000, 4_000, 4_000)
        );
        assert_eq!(reading.expected_plain_bytes, Some(12_000));
    }

    #[test]
    fn every_phase_survives_the_counter() {
        let progress = Progress::new();
        for phase in Phase::ALL {
            progress.set_phase(phase);
            assert_eq!(progress.read().phase, phase);
        }
    }
}
