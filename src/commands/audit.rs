//! Audit records: written for every command that touches what is stored, listed by `audit log`, proven by `audit verify`.

pub mod log;
mod record;
pub mod verify;
mod words;

pub use record::{Deed, Ending, Options, Recorder};
pub use words::recordable;
