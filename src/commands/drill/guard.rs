//! The process that cleans up behind a drill that was killed.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use super::leftover;
use crate::commands::{Error, Result};

/// What a drill says that leaves its directory behind on purpose.
pub(super) const KEEP: &[u8] = b"keep";

/// A pause between two looks at a drill that is ending.
const PAUSE: Duration = Duration::from_millis(50);
/// Looks before it is believed that the drill goes on without its guard.
const LOOKS: u32 = 600;

/// Waits for the end of the drill, which holds the other end of our standard input, and removes what is left of it.
pub fn run(dir: &Path) -> Result<()> {
    let mut said = Vec::new();
    // A pipe that fails is a pipe that ended.
    let _ = std::io::stdin().lock().take(KEEP.len() as u64).read_to_end(&mut said);
    if said == KEEP {
        return Ok(());
    }
    let failed = |error: std::io::Error| Error::File { path: dir.to_owned(), why: error.to_string() };
    // The kernel closes the files of a process one after the other: the pipe may break before the lock is let go.
    for _ in 0..LOOKS {
        if leftover::remove(dir, Duration::ZERO).map_err(failed)? != Some(false) {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
