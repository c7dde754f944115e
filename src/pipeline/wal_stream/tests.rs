//! The core under every order of events, and whole lives of servers and streamers in virtual time.

mod properties;
mod sim;
mod world;

use crate::format::{Lsn, Timeline};

const PIECE: u64 = 64;
const SEGMENT: u64 = 256;

fn timeline(number: u32) -> Timeline {
    Timeline::new(number).unwrap()
}

/// The byte of WAL that lies at `at` on a timeline that has its own WAL from there on.
fn byte(timeline: Timeline, at: Lsn) -> u8 {
    let mixed = (u64::from(timeline.get()) << 48 ^ at.get()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed.to_be_bytes()[0]
}
