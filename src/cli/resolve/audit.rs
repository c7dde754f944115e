//! Where audit records go, and who signs them.

use super::super::failure::{Failure, Result};
use super::signer;
use crate::commands::audit::Options;
use crate::commands::parts::S3Options;
use crate::commands::{self, Immutability};
use crate::config::{AuditMode, Settings};

/// How to write records; `None` if none are wanted. Appends with the credentials of audit.profile and of nobody else, if it is
/// set: a reader, a retainer and a pruner may not add anything to a repository.
/// A replica is never added to: what was read from one alone is recorded in the repository, as long as that can be reached.
pub(in crate::cli) fn recording(settings: &Settings) -> Result<Option<Options>> {
    let audit = &settings.audit;
    if audit.mode == AuditMode::Off {
        return Ok(None);
    }
    let why = "there is neither a writer file nor a passphrase to sign it with (a recovery file cannot): \
               set keys.writer_file, or audit.mode = \"off\"";
    let access = signer(settings)?.ok_or_else(|| Failure::from(commands::Error::NoAudit { why: why.into() }))?;
    let mut repository = super::repository::configured(settings)?;
    if let Some(profile) = &audit.profile {
        repository.s3 = S3Options { profile: Some(profile.clone()), profile_only: true, ..repository.s3 };
    }
    let usual = match repository.immutability {
        Immutability::ObjectLock { retain, .. } => retain,
        Immutability::None => std::time::Duration::ZERO,
    };
    let retain = audit.retain.unwrap_or(usual);
    Ok(Some(Options { repository, access, retain, reason: audit.reason.clone() }))
}
