//! Replicas: can they be reached, do they protect what they hold, and whose copy are they?

use super::{Outcome, Status};
use crate::commands::RepositoryOptions;
use crate::commands::replica::Identity;
use crate::commands::replica::list::{Row, rows};

const NAME: &str = "replica";

pub(super) async fn check(options: &RepositoryOptions, outcome: &mut Outcome) {
    match rows(options).await {
        Ok(rows) => rows.iter().for_each(|row| judge(row, outcome)),
        Err(error) => outcome.fail(NAME, &error),
    }
}

fn judge(row: &Row, outcome: &mut Outcome) {
    let told = |what: &str| format!("{} at {}: {what}", row.replica, row.location);
    if let Some(why) = &row.failure {
        let hint = "check the section, its profile and the rights of a reader there; until then no restore can fall over to it";
        outcome.advise(NAME, Status::Fail, told(why), hint);
        return;
    }
    let unprotected = row.bucket.filter(|bucket| !bucket.versioning || !bucket.object_lock);
    if unprotected.is_some() {
        let hint = "what is copied there can be deleted: use a bucket that was created with Object Lock";
        outcome.advise(NAME, Status::Fail, told("its bucket has no versioning or no Object Lock"), hint);
        return;
    }
    match row.identity {
        Some(Identity::Same) => outcome.add(NAME, Status::Ok, told("versioned, locked, a copy of this repository")),
        Some(Identity::None) | None => {
            let hint = "set up replication by the provider, or run `stonewal replica copy`";
            outcome.advise(NAME, Status::Warn, told("it holds nothing yet"), hint);
        }
        Some(Identity::Other) => {
            let hint = "a replica has a bucket, or a prefix, of its own";
            outcome.advise(NAME, Status::Fail, told("it holds something else than this repository"), hint);
        }
    }
}
