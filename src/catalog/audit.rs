//! Audit records: written so that no two hosts get into each other's way, and believed like everything else here.

mod listing;
mod trail;

use bytes::Bytes;

pub use listing::{AuditListing, AuditSeen};
pub use trail::{AuditEntry, AuditTrail};

use super::listing::read_small;
use super::{Repository, Result};
use crate::format::audit::AuditRecord;
use crate::format::{self, AuditId, WriterPublic};
use crate::limits::AUDIT_RECORD_BYTES_MAX;
use crate::store::Entry;

/// An audit record as it was found.
#[derive(Clone, Debug)]
pub struct AuditFound {
    /// What it says.
    pub record: AuditRecord,
    /// Who signed.
    pub writer: WriterPublic,
    /// Its bytes.
    pub body: Bytes,
}

impl Repository {
    /// The audit record of a listed version, or why it is none: not signed by anyone we trust, of another repository, or a copy
    /// under a name that is not its own. `search` looks for the certificate of a writer that is not known yet; where many
    /// objects may have been planted, the one that a record carries must do.
    pub async fn audit_record(&self, entry: &Entry, search: bool) -> Result<Result<AuditFound, format::Error>> {
        let Some(id) = self.names.audit_of(entry.key.as_str()) else {
            return Ok(Err(refusal("it is not named like one")));
        };
        if entry.bytes > AUDIT_RECORD_BYTES_MAX as u64 {
            return Ok(Err(refusal("it is too long for one")));
        }
        let Some(body) = read_small(&*self.store, entry).await? else {
            return Ok(Err(refusal("the store does not hand it out")));
        };
        let carried = || AuditRecord::certificate(&body);
        let decode = |trusted: &[WriterPublic]| AuditRecord::decode(&body, trusted);
        let decoded = match self.decode_carried(carried, decode) {
            Err(format::Error::UntrustedWriter { .. }) if search => match self.decode_signed(|| None, decode).await {
                Err(super::Error::Format(error)) => Err(error),
                decoded => Ok(decoded?),
            },
            decoded => decoded,
        };
        Ok(decoded.and_then(|(record, writer)| self.is_own(&id, &record).map(|()| AuditFound { record, writer, body })))
    }

    fn is_own(&self, id: &AuditId, record: &AuditRecord) -> Result<(), format::Error> {
        if record.repository != self.id() {
            return Err(refusal(&format!("it is of repository {}", record.repository)));
        }
        if record.record != *id {
            return Err(refusal(&format!("it is a copy of {}", record.record)));
        }
        Ok(())
    }
}

fn refusal(why: &str) -> format::Error {
    format::Error::Malformed { what: "audit record", why: why.to_owned() }
}
