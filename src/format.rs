//! The stored bytes.

/// One stream of a backup as the manifest records it.
#[derive(Debug)]
pub struct StreamRecord;
