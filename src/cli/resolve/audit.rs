//! Where audit records go, and who signs them.

use super::super::failure::Result;
use super::signer;
use crate::commands::Immutability;
use crate::commands::audit::Options;
use crate::commands::parts::S3Options;
use crate::config::{AuditMode, Settings};

/// Whether and how to record.
pub(in crate::cli) enum Recording {
    /// None are wanted.
    Off,
    /// They are wanted, and no key here can sign one.
    Unsigned,
    /// This way.
    To(Box<Options>),
}

/// Why nothing can be recorded.
pub(in crate::cli) const UNSIGNED: &str = "there is neither a writer file nor a passphrase to sign it with (a recovery file cannot): \
    set keys.writer_file, or audit.mode = \"off\"";

/// How to write records. Appends with the credentials of audit.profile and of nobody else, if it is
/// set: a reader, a retainer and a pruner may not add anything to a repository.
/// A replica is never added to: what was read from one alone is recorded in the repository, as long as that can be reached.
pub(in crate::cli) fn recording(settings: &Settings) -> Result<Recording> {
    let audit = &settings.audit;
    if audit.mode == AuditMode::Off {
        return Ok(Recording::Off);
    }
    let Some(access) = signer(settings)? else { return Ok(Recording::Unsigned) };
    let mut repository = super::repository::configured(settings)?;
    if let Some(profile) = &audit.profile {
        repository.s3 = S3Options { profile: Some(profile.clone()), profile_only: true, ..repository.s3 };
    }
    let usual = match repository.immutability {
        Immutability::ObjectLock { retain, .. } => retain.max(audit.usual.min(settings.retention.max)),
        Immutability::None => std::time::Duration::ZERO,
    };
    let retain = audit.retain.unwrap_or(usual);
    Ok(Recording::To(Box::new(Options { repository, access, retain, reason: audit.reason.clone() })))
}
