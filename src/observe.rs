//! Logs, progress, the clock. A leaf: it knows nothing of the rest of the crate.

pub mod clock;
mod log;
mod progress;

pub use log::{LogError, LogFormat, LogOptions, init, subscriber};
pub use progress::{Phase, Progress, Reading};
