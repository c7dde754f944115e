//! Rights over the bucket that a backup role must not have (PAINS C7): who has them can prepare what locks do not prevent.
//!
//! Versioning alone is tried. Putting back lifecycle rules would not be safe: the request replaces all of them without a condition, and
//! elements of a rule that this program does not know would be lost.

use super::{Outcome, Status};
use crate::commands::{Connected, Error};
use crate::store::{self, Tried};

const NAME: &str = "bucket rights";

pub(super) async fn check(connected: &Connected, outcome: &mut Outcome) {
    match connected.store.try_versioning().await {
        Ok(Tried::Allowed) => outcome.advise(
            NAME,
            Status::Warn,
            "these credentials may change the bucket's versioning (s3:PutBucketVersioning)",
            "a backup role does not need it: take it away, and look whether it also has s3:PutLifecycleConfiguration, which cannot be tried without risk",
        ),
        Ok(Tried::Denied) => {
            outcome.add(NAME, Status::Ok, "these credentials may not change versioning (s3:PutBucketVersioning)");
        }
        Ok(Tried::Not) => outcome.add(NAME, Status::Note, "not tried: versioning is not enabled for good here"),
        Err(store::Error::Denied { action, .. }) => {
            outcome.add(NAME, Status::Note, format!("not tried: these credentials may not look ({action})"));
        }
        Err(store::Error::Refused { code, .. }) => {
            outcome.add(NAME, Status::Ok, format!("the store changes versioning for nobody here ({code})"));
        }
        Err(error) => outcome.fail(NAME, &Error::from(error)),
    }
}
