//! How many bytes a second, and how many at once.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

const MIB: u64 = 1 << 20;

/// A rate that all transfers share.
#[derive(Debug)]
pub(super) struct Rate {
    bytes_per_second: Option<u64>,
    free_at: Mutex<Option<Instant>>,
}

impl Rate {
    pub(super) fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second, free_at: Mutex::default() }
    }

    /// Waits for the turn of so many bytes: what was let through before them takes its time.
    pub(super) async fn wait(&self, bytes: u64) {
        let Some(rate) = self.bytes_per_second else { return };
        let takes = Duration::from_nanos(
            u64::try_from(u128::from(bytes) * 1_000_000_000 / u128::from(rate)).unwrap_or(u64::MAX),
        );
        let turn = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = free_at.unwrap_or_else(Instant::now).max(Instant::now());
            *free_at = turn.checked_add(takes);
            turn
        };
        sleep_until(turn).await;
    }
}

/// Room in memory for objects under way (invariant I12).
#[derive(Debug)]
pub(super) struct Room {
    mib: Semaphore,
    most: u32,
}

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        let most = u32::try_from(bytes as u64 / MIB).unwrap_or(u32::MAX).clamp(1, 1 << 20);
        Self { mib: Semaphore::new(most as usize), most }
    }

    /// Room for an object; one that is larger than all of it goes alone.
    pub(super) async fn take(&self, bytes: u64) -> Option<SemaphorePermit<'_>> {
        let wanted = u32::try_from(bytes.div_ceil(MIB)).unwrap_or(u32::MAX).clamp(1, self.most);
        self.mib.acquire_many(wanted).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_holds_over_all_transfers() {
        let (rate, begun) = (Rate::new(Some(10 * MIB)), Instant::now());
        for _ in 0..11 {
            rate.wait(10 * MIB).await;
        }
        assert_eq!(begun.elapsed().as_secs(), 10, "the first one goes at once");
        let begun = Instant::now();
        Rate::new(None).wait(u64::MAX).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn i12_room_is_shared_and_giants_go_alone() {
        let room = Room::new(8 << 20);
        let first = room.take(6 << 20).await;
        assert!(room.mib.try_acquire_many(3).is_err());
        drop(first);
        let giant = room.take(512 << 20).await;
        assert!(giant.is_some() && room.mib.try_acquire().is_err());
    }
}
