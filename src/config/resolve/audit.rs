//! `audit.*`.

use super::{MINUTE, RETAIN_MAX, Reader, any};
use crate::config::error::Result;
use crate::config::key;
use crate::config::settings::{AuditMode, AuditSettings};
use crate::config::values;

pub(super) fn settings(read: &Reader<'_>) -> Result<AuditSettings> {
    let modes = [("on", AuditMode::On), ("required", AuditMode::Required), ("off", AuditMode::Off)];
    Ok(AuditSettings {
        mode: read.choice(&key::AUDIT_MODE, &modes)?,
        retain: read.optional(&key::AUDIT_RETAIN, |text| values::duration(text, MINUTE, RETAIN_MAX))?,
        usual: read.configured(&key::LOCK_RETAIN, |text| values::duration(text, MINUTE, RETAIN_MAX))?,
        profile: read.optional(&key::AUDIT_PROFILE, any)?,
        reason: read.optional(&key::AUDIT_REASON, values::reason)?,
    })
}
