//! Is there a base backup to start from, is it recent, and will its lock last?

use super::words::span;
use super::{Evidence, Reasons, Thresholds, within};
use crate::commands::status::lag::age;
use crate::format::manifest::Kind;

pub(super) fn assess(evidence: &Evidence<'_>, limits: &Thresholds, reasons: &mut Reasons) {
    let bucket = evidence.bucket;
    match bucket.newest_base() {
        Some(base) => {
            let old = age(base.backup.arrived_at, bucket.now);
            if old > limits.max_base_age {
                let most = span(limits.max_base_age);
                let text = format!("the newest base backup is {} old (status.max_base_age is {most})", span(old));
                reasons.yellow("base-old", text, "make one now, and see why the timer did not: `stonewal backup base`");
            }
        }
        None => no_base(evidence, reasons),
    }
    if let Some(blocked) = bucket.blocked.as_ref() {
        reasons.red("no-way", format!("recovery to the present cannot begin: {}", blocked.why), blocked.hint.clone());
    }
    if let Some(end) = bucket.locks.soonest.as_ref().filter(|end| within(end.until, limits.min_lock, bucket.now)) {
        let left = age(bucket.now, end.until);
        let when = if left.is_zero() { "has ended".into() } else { format!("ends in {}", span(left)) };
        let text = format!("the lock of {} {when} (status.min_lock is {})", end.key, span(limits.min_lock));
        let hint = match bucket.locks.kind {
            Some(Kind::Dump) => "make a new dump before it ends: it gets new locks",
            _ => "make a new base backup before it ends: it and the WAL after it get new locks",
        };
        reasons.yellow("lock-ends", text, hint);
    }
    if let Some(short) = &bucket.locks.short {
        let (key, until, needed_until) = (&short.key, short.until, short.needed_until);
        let kind = newest(evidence);
        let text = format!("{key} is locked until {until}, the newest {kind}, which needs it, until {needed_until}");
        let hint = "`stonewal retention extend` lengthens it; `stonewal verify --locks` tells of every backup";
        reasons.yellow("lock-short", text, hint);
    }
    if let Some(key) = bucket.locks.unlocked.as_ref().filter(|_| evidence.locked) {
        let text = format!("{key} has no lock");
        let hint = format!("make a {} now; then find out what wrote it without: `stonewal doctor`", newest(evidence));
        reasons.red("no-lock", text, hint);
    }
}

/// What the backup is whose locks were asked.
fn newest(evidence: &Evidence<'_>) -> &'static str {
    if evidence.bucket.locks.kind == Some(Kind::Dump) { "dump" } else { "base backup" }
}

fn no_base(evidence: &Evidence<'_>, reasons: &mut Reasons) {
    let bucket = evidence.bucket;
    let text = match (&bucket.newest_dump, bucket.timelines.is_empty()) {
        (Some(dump), true) => format!(
            "there are dumps, the newest {} old, but no base backup: nothing after a dump can be restored",
            span(age(dump.arrived_at, bucket.now))
        ),
        (_, false) => "there is WAL but no base backup: nothing can be restored from it".into(),
        (None, true) => "there is neither a base backup nor WAL".into(),
    };
    reasons.red("no-base", text, "`stonewal backup base`");
}
