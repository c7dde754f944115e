//! The bucket: reachable, versioned, lockable, and of one mind with us about the time.

use std::time::Duration;

use jiff::SignedDuration;

use super::{Outcome, Status};
use crate::commands::{Connected, Error, Immutability};
use crate::store::Read as _;

/// False if nothing further can be asked.
pub(super) async fn check(
    connected: &Connected,
    immutability: Immutability,
    kept: Duration,
    outcome: &mut Outcome,
) -> bool {
    let store = &connected.store;
    let state = match store.bucket_state().await {
        Ok(state) => state,
        Err(error) => {
            outcome.fail("bucket", &Error::from(error));
            return false;
        }
    };
    let reached = format!("{} answers at {} (region {})", store.bucket(), store.endpoint(), store.region());
    outcome.add("bucket", Status::Ok, reached);
    let wanted = matches!(immutability, Immutability::ObjectLock { .. });
    for (name, on) in [("versioning", state.versioning), ("object lock", state.object_lock)] {
        match (on, wanted) {
            (true, _) => outcome.add(name, Status::Ok, "enabled"),
            (false, true) => outcome.advise(
                name,
                Status::Fail,
                "not enabled",
                "let `stonewal init` create a bucket: Object Lock brings versioning",
            ),
            (false, false) => outcome.add(
                name,
                Status::Warn,
                "not enabled, and immutability = \"none\" accepts that: backups can be deleted",
            ),
        }
    }
    match store.default_retention().await {
        Ok(None) => outcome.add("default retention", Status::Ok, "none; stonewal sets every lock itself"),
        Ok(Some(retention)) => {
            outcome.add("default retention", Status::Note, format!("{} for {} days", retention.mode, retention.days));
        }
        Err(error) => outcome.fail("default retention", &Error::from(error)),
    }
    super::settings::check(connected, immutability, kept, outcome).await;
    let skew = store.clock().skew();
    if skew.abs() < SignedDuration::from_mins(1) {
        outcome.add("clock", Status::Ok, "the store and this host agree to the minute");
    } else {
        let detail = format!("the store is {} s ahead of this host", skew.as_secs());
        outcome.advise(
            "clock",
            Status::Warn,
            detail,
            "locks follow the store's clock and are right; synchronise this host (NTP)",
        );
    }
    true
}
