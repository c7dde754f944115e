//! Audit records.

use std::time::Duration;

/// What is recorded, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// Whether records are written, and whether they must be.
    pub mode: AuditMode,
    /// How long they are locked; `None` = as long as everything else.
    pub retain: Option<Duration>,
    /// `lock.retain` as it is configured, whatever a flag says for one command: a backup that is locked briefly does not
    /// shorten the record that tells of it.
    pub usual: Duration,
    /// Profile of the AWS configuration files for writing them; `None` = that of [`S3Settings`](super::S3Settings).
    pub profile: Option<String>,
    /// Why this command is run.
    pub reason: Option<String>,
}

/// Whether records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditMode {
    /// They are; one that cannot be written is a warning.
    On,
    /// They are, and what cannot be recorded is not done.
    Required,
    /// They are not.
    Off,
}
