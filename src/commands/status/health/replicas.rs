//! Is there a copy elsewhere, as new as it should be?

use std::time::Duration;

use super::words::{size, span};
use super::{Evidence, Reasons};

pub(super) fn assess(evidence: &Evidence<'_>, reasons: &mut Reasons) {
    for facts in evidence.replicas {
        let name = &facts.replica;
        if let Some(why) = &facts.failure {
            let text = format!("replica {name} cannot be asked: {why}");
            let hint = "`stonewal doctor` tells what is wrong; until then no restore can fall over to it";
            reasons.yellow("replica-failing", text, hint);
        } else if facts.lag_seconds > facts.max_lag_seconds {
            let mut lacks = Vec::new();
            if facts.missing_wal_bytes > 0 {
                lacks.push(format!("{} of WAL", size(facts.missing_wal_bytes)));
            }
            if facts.lacks_newest_base {
                lacks.push("the newest base backup".to_owned());
            }
            if facts.lacks_newest_dump {
                lacks.push("the newest dump".to_owned());
            }
            let (lag, most) = (Duration::from_secs(facts.lag_seconds), Duration::from_secs(facts.max_lag_seconds));
            let text = format!(
                "replica {name} lacks {}, for {} (replica.{name}.max_lag is {})",
                lacks.join(" and "),
                span(lag),
                span(most)
            );
            let hint = "see why the replication, or the timer of `stonewal replica copy`, does not run; `stonewal replica verify` tells all that is missing";
            reasons.yellow("replica-behind", text, hint);
        }
    }
}
