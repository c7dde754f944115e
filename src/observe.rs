//! Logs, progress, the clock. A leaf: it knows nothing of the rest of the crate.

mod chain;
pub mod clock;
mod log;
mod progress;

pub use chain::chain;
pub use log::{LogError, LogFormat, LogOptions, init, subscriber};
pub use progress::{Phase, Progress, Reading};
