//! WAL that a backup may need which cannot be read now: its certificate or its manifest may be readable tomorrow.

use std::collections::BTreeMap;

use super::Facts;
use super::backups::CLOCK_TOLERANCE;
use super::policy::{Policy, before};
use crate::format::{BackupId, Lsn, Timeline};
use jiff::Timestamp;

/// From where on the WAL of a timeline is not given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    pub(super) from: Lsn,
    /// For whose sake.
    pub(super) backup: BackupId,
}

/// By timeline: what was sealed since the oldest backup that cannot be read began. Whoever may add names can name such a
/// backup, so one from before the window and the margin counts for nothing.
pub(super) fn doubtful(facts: &Facts, policy: &Policy, now: Timestamp) -> BTreeMap<Timeline, Doubt> {
    let earliest = before(now, policy.window.saturating_add(policy.margin));
    let times = facts.unread.iter().filter_map(|fact| Some((fact.id.time()?, &fact.id)));
    let Some((time, backup)) = times.filter(|(time, _)| *time >= earliest).min() else { return BTreeMap::new() };
    let since = before(time, CLOCK_TOLERANCE);
    let written_since = facts.wal.iter().filter(|wal| wal.newest_at.is_none_or(|newest| newest >= since));
    let from = |timeline: Timeline| {
        let bases = facts.backups.iter().filter(|fact| fact.arrived_at <= since).filter_map(|fact| fact.base.as_ref());
        bases.filter(|base| base.timeline == timeline).map(|base| base.start).max().unwrap_or_default()
    };
    written_since.map(|wal| (wal.timeline, Doubt { from: from(wal.timeline), backup: backup.clone() })).collect()
}
