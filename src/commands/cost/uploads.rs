//! Multipart uploads in progress (PAINS E3). Ours never are multipart, so each is somebody else's.

use jiff::Timestamp;
use serde::Serialize;

use crate::commands::{Connected, Result};
use crate::store;

/// What is known of them. How much their parts hold would take a request for each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Uploads {
    /// How many; `None` if the store does not tell.
    pub unfinished: Option<u64>,
    /// When the oldest began (store time).
    pub oldest: Option<Timestamp>,
    /// Key of the oldest.
    pub example: Option<String>,
    /// Why the store does not tell.
    pub why_not: Option<String>,
}

impl Uploads {
    fn take(&mut self, upload: store::Upload) {
        *self.unfinished.get_or_insert_default() += 1;
        if self.oldest.is_none_or(|oldest| upload.begun_at < oldest) {
            (self.oldest, self.example) = (Some(upload.begun_at), Some(upload.key));
        }
    }
}

/// Counts those below the prefix. Whoever only reads backups need not see them, and some stores know no such request.
pub(super) async fn look(connected: &Connected) -> Result<Uploads> {
    let mut uploads = Uploads { unfinished: Some(0), ..Uploads::default() };
    let listed = connected.store.each_upload(connected.names.prefix(), |upload| uploads.take(upload)).await;
    let why_not = match listed {
        Ok(()) => return Ok(uploads),
        Err(store::Error::Denied { action, .. }) => {
            format!("not shown to these credentials ({action}); the auditor's may see them")
        }
        Err(store::Error::Refused { code, .. }) => format!("the store does not list them ({code})"),
        Err(error) => return Err(error.into()),
    };
    Ok(Uploads { why_not: Some(why_not), ..Uploads::default() })
}
