//! The verdict: every reason to worry, by name, from facts alone. No clock, no store, no server in here.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::facts::BucketFacts;
use super::lag::{Headroom, Lag};
use super::{ReplicaFacts, ServerAnswer};

mod backups;
mod replicas;
mod slots;
mod wal;
mod words;

/// How things stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Recovery works, up to the present.
    Green,
    /// It works; something will not stay well by itself.
    Yellow,
    /// What is written now may be lost, or cannot be recovered.
    Red,
}

/// One reason not to be green. `docs/RUNBOOK.md` has a row for each name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Its name: never changes, so that alerts can be told apart.
    pub name: &'static str,
    /// How bad it is.
    pub health: Health,
    /// What is the matter.
    pub text: String,
    /// What to do.
    pub hint: String,
}

/// What is still acceptable.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// WAL may be missing in the bucket for so long.
    pub max_lag: Duration,
    /// The newest base backup may be so old.
    pub max_base_age: Duration,
    /// Locks of what is needed must last for so long.
    pub min_lock: Duration,
}

/// Everything that a verdict rests on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence<'a> {
    pub(super) bucket: &'a BucketFacts,
    pub(super) replicas: &'a [ReplicaFacts],
    pub(super) server: &'a ServerAnswer,
    /// Name of the streamer's slot.
    pub(super) slot: &'a str,
    pub(super) lag: Option<Lag>,
    pub(super) headroom: Option<Headroom>,
    /// Things in the bucket that do not belong there and cannot be an accident.
    pub(super) tampering: u64,
    /// Whether there may be more of them.
    pub(super) tampering_is_cut: bool,
    /// Whether everything is supposed to be locked.
    pub(super) locked: bool,
}

/// All reasons, the worst first. None = green.
pub(super) fn assess(evidence: &Evidence<'_>, limits: &Thresholds) -> Vec<Reason> {
    let mut reasons = Reasons(Vec::new());
    wal::assess(evidence, limits, &mut reasons);
    slots::assess(evidence, limits, &mut reasons);
    backups::assess(evidence, limits, &mut reasons);
    replicas::assess(evidence, &mut reasons);
    if let Some(diverging) = &evidence.bucket.diverging {
        reasons.yellow("diverging", diverging.to_string(), diverging.hint());
    }
    if evidence.tampering > 0 {
        let least = if evidence.tampering_is_cut { "at least " } else { "" };
        let findings = words::things(evidence.tampering, "finding");
        let text = format!("{least}{findings} in the bucket cannot be an accident");
        let hint = "restores ignore all of it; --json and `stonewal wal verify` tell every object. Find out whose credentials wrote it";
        reasons.yellow("tampering", text, hint);
    }
    reasons.0.sort_by_key(|reason| std::cmp::Reverse(reason.health));
    reasons.0
}

/// The worst of them.
pub(super) fn overall(reasons: &[Reason]) -> Health {
    reasons.iter().map(|reason| reason.health).max().unwrap_or(Health::Green)
}

struct Reasons(Vec<Reason>);

impl Reasons {
    fn red(&mut self, name: &'static str, text: impl Into<String>, hint: impl Into<String>) {
        self.0.push(Reason { name, health: Health::Red, text: text.into(), hint: hint.into() });
    }

    fn yellow(&mut self, name: &'static str, text: impl Into<String>, hint: impl Into<String>) {
        self.0.push(Reason { name, health: Health::Yellow, text: text.into(), hint: hint.into() });
    }
}

/// Whether a moment comes within `span` of `now`, or has passed.
fn within(moment: Timestamp, span: Duration, now: Timestamp) -> bool {
    now.checked_add(span).is_ok_and(|end| moment < end)
}

#[cfg(test)]
mod tests;
