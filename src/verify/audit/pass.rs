//! What is known of the log while its records pass by. Pure, and bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{AuditReport, Break, BreakKind, Read, Unfinished};
use crate::catalog::{AuditSeen, Finding, FindingKind};
use crate::format::audit::{AuditLink, AuditPhase, AuditRecord};
use crate::format::{AuditId, Digest};
use crate::limits::{AUDIT_ARRIVAL_SECONDS_MAX, AUDIT_KNOWN_MAX, AUDIT_OPEN_MAX, FINDINGS_MAX};
use crate::store::{Entry, Lock};

/// How much is held in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Records whose digests are known.
    pub(crate) known: usize,
    /// Beginnings without an end that are told apart.
    pub(crate) open: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { known: AUDIT_KNOWN_MAX, open: AUDIT_OPEN_MAX }
    }
}

/// A link that is not settled.
pub(super) struct Pending {
    pub(super) link: AuditLink,
    by: AuditId,
}

/// What is known of a record that a link names.
enum Known {
    /// This is its digest.
    Digest(Digest),
    /// It may have been met, too long ago to remember.
    Forgotten,
    /// It was not met.
    Not,
}

/// All that is known while the records pass by, in the order of their names, which is that of their times.
pub(super) struct Pass {
    bounds: Bounds,
    report: AuditReport,
    known: BTreeMap<AuditId, Digest>,
    /// The last one that is no longer known.
    forgotten: Option<AuditId>,
    unnamed: BTreeSet<AuditId>,
    open: BTreeMap<AuditId, Unfinished>,
    /// The last beginning that is no longer told apart.
    open_forgotten: Option<AuditId>,
    /// The last record that none had named when it was forgotten.
    unnamed_forgotten: Option<AuditId>,
    /// Beginnings whose ends were met first: within one second any order of names is possible.
    closed: BTreeSet<AuditId>,
    pending: Vec<Pending>,
    /// Links to records that were forgotten.
    older: Vec<Pending>,
    /// Records that were named and are gone since their locks ended.
    expired: BTreeSet<AuditId>,
    /// Records that name none before them.
    roots: BTreeSet<(Timestamp, AuditId)>,
    /// Names under which something else lies.
    taken: BTreeSet<AuditId>,
}

impl Pass {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            report: AuditReport::default(),
            known: BTreeMap::new(),
            forgotten: None,
            unnamed: BTreeSet::new(),
            open: BTreeMap::new(),
            open_forgotten: None,
            unnamed_forgotten: None,
            closed: BTreeSet::new(),
            pending: Vec::new(),
            older: Vec::new(),
            expired: BTreeSet::new(),
            roots: BTreeSet::new(),
            taken: BTreeSet::new(),
        }
    }

    pub(super) fn take(&mut self, read: Read, now: Timestamp, soon: Duration) {
        let Read { seen: AuditSeen { entry, overlays }, found, lock } = read;
        self.report.findings.extend(overlays);
        let found = match found {
            Ok(found) => found,
            Err(why) => {
                let (key, version) = (entry.key.as_str(), Some(entry.version.as_str()));
                self.report.findings.push(Finding::new(FindingKind::ForgedAudit, key, version, why.to_string()));
                if self.taken.len() < self.bounds.known {
                    self.taken.extend(key.rsplit('/').next().and_then(|name| name.parse().ok()));
                }
                return;
            }
        };
        let record = &found.record;
        self.look_at_time_and_lock(&entry, &found.record, lock, now, soon);
        let report = &mut self.report;
        report.records += 1;
        report.first = Some(report.first.map_or(record.at, |first| first.min(record.at)));
        report.last = report.last.max(Some(record.at));
        if record.previous.is_empty() && self.roots.len() <= FINDINGS_MAX {
            self.roots.insert((record.at, record.record.clone()));
        }
        match record.phase {
            AuditPhase::Begun if self.closed.remove(&record.record) => {}
            AuditPhase::Begun => {
                let (record, at, deed) = (record.record.clone(), record.at, record.deed.clone());
                let (who, host) = (found.record.who.clone(), found.record.host.clone());
                self.open.insert(record.clone(), Unfinished { record, at, deed, who, host });
                if self.open.len() > self.bounds.open {
                    self.open_forgotten =
                        self.open.pop_first().map(|(record, _)| record).max(self.open_forgotten.take());
                    report.unfinished_count += 1;
                }
            }
            AuditPhase::Ended => match &record.begun {
                Some(begun) if self.open.remove(begun).is_some() => {}
                // It was counted when it was forgotten, unless it was never there.
                Some(begun) if self.open_forgotten.as_ref().is_some_and(|last| begun <= last) => {
                    report.unfinished_count = report.unfinished_count.saturating_sub(1);
                }
                Some(begun) => {
                    self.closed.insert(begun.clone());
                }
                None => {}
            },
        }
        self.know(record.record.clone(), Digest::of(&found.body));
        let by = found.record.record;
        for link in found.record.previous {
            self.link(Pending { link, by: by.clone() });
        }
    }

    fn know(&mut self, record: AuditId, digest: Digest) {
        self.known.insert(record.clone(), digest);
        self.unnamed.insert(record);
        if self.known.len() > self.bounds.known {
            self.forgotten = self.known.pop_first().map(|(record, _)| record).max(self.forgotten.take());
        }
        if self.unnamed.len() > self.bounds.known {
            self.unnamed_forgotten = self.unnamed.pop_first().max(self.unnamed_forgotten.take());
            self.report.ends += 1;
        }
    }

    /// Compares a link with the record it names, or keeps it for later.
    fn link(&mut self, pending: Pending) {
        match self.of(&pending.link.record) {
            Known::Digest(digest) => self.settle(pending, digest),
            Known::Forgotten => self.older.push(pending),
            Known::Not => self.pending.push(pending),
        }
    }

    fn of(&self, record: &AuditId) -> Known {
        match self.known.get(record) {
            Some(digest) => Known::Digest(*digest),
            None if self.forgotten.as_ref().is_some_and(|last| record <= last) => Known::Forgotten,
            None => Known::Not,
        }
    }

    fn settle(&mut self, pending: Pending, digest: Digest) {
        if digest == pending.link.sha256 {
            let named = &pending.link.record;
            if !self.unnamed.remove(named) && self.unnamed_forgotten.as_ref().is_some_and(|last| named <= last) {
                // It was counted when it was forgotten, unless another had named it before.
                self.report.ends = self.report.ends.saturating_sub(1);
            }
        } else {
            self.broken(pending, BreakKind::Replaced);
        }
    }

    /// Links whose records have to be read again.
    pub(super) fn older(&mut self) -> Vec<Pending> {
        std::mem::take(&mut self.older)
    }

    /// One of them, with what was read.
    pub(super) fn compare(&mut self, pending: Pending, digest: Option<Digest>, now: Timestamp) {
        match digest {
            Some(digest) => self.settle(pending, digest),
            None => self.gone(pending, now),
        }
    }

    /// Everything up to `passed` was met: what is named and was not met is gone. `None` = all.
    pub(super) fn give_up(&mut self, passed: Option<&AuditId>, now: Timestamp) {
        let is_over = |id: &AuditId| passed.is_none_or(|passed| id <= passed);
        for pending in std::mem::take(&mut self.pending) {
            match self.of(&pending.link.record) {
                Known::Digest(digest) => self.settle(pending, digest),
                Known::Forgotten => self.older.push(pending),
                Known::Not if is_over(&pending.link.record) => self.gone(pending, now),
                Known::Not => self.pending.push(pending),
            }
        }
        self.closed.retain(|begun| !is_over(begun));
    }

    /// A record that is named and not there.
    fn gone(&mut self, pending: Pending, now: Timestamp) {
        // What lies before everything that is left, and may have been removed by whoever tidies up.
        let first = self.report.first;
        let before_all = |at: Timestamp| first.is_some_and(|first| at.as_second() < first.as_second());
        let at_the_edge = pending.link.record.time().is_some_and(before_all);
        if at_the_edge && pending.link.locked_until.is_none_or(|until| until <= now) {
            if self.expired.len() < self.bounds.known {
                self.expired.insert(pending.link.record);
            }
        } else if self.taken.contains(&pending.link.record) {
            self.broken(pending, BreakKind::Replaced);
        } else {
            self.broken(pending, BreakKind::Missing);
        }
    }

    fn look_at_time_and_lock(
        &mut self,
        entry: &Entry,
        record: &AuditRecord,
        lock: Option<Lock>,
        now: Timestamp,
        soon: Duration,
    ) {
        let finding = |kind, why: String| Finding::new(kind, entry.key.as_str(), Some(entry.version.as_str()), why);
        let late = entry.last_modified.duration_since(record.at);
        if late.abs() >= SignedDuration::from_secs(AUDIT_ARRIVAL_SECONDS_MAX) {
            let why = format!(
                "it says {:.0} and arrived {:.0}: it was put back, or its writer's clock was wrong",
                record.at, entry.last_modified
            );
            self.report.findings.push(finding(FindingKind::ForgedAudit, why));
        }
        let Some(promised) = record.locked_until else { return };
        if promised <= now {
            self.report.unlocked += 1;
        } else if lock.is_none_or(|lock| lock.retain_until.as_second() < promised.as_second()) {
            self.report
                .findings
                .push(finding(FindingKind::LockShort, format!("it is not locked until {promised:.0}, as it says")));
        } else if SignedDuration::try_from(soon).is_ok_and(|soon| promised.duration_since(now) < soon) {
            self.report.unlocking += 1;
        }
    }

    fn broken(&mut self, Pending { link, by }: Pending, what: BreakKind) {
        let report = &mut self.report;
        if report.breaks.iter().any(|told| told.record == link.record) {
            return;
        }
        report.break_count += 1;
        if report.breaks.len() < FINDINGS_MAX {
            let AuditLink { record, locked_until, .. } = link;
            report.breaks.push(Break { record, what, named_by: by, locked_until });
        }
    }

    pub(super) fn finish(self) -> AuditReport {
        let mut report = self.report;
        let first = report.first;
        report.expired = self.expired.len() as u64;
        // The first record of a repository has none before it.
        let roots = self.roots.into_iter().filter(|(at, _)| Some(*at) != first);
        report.roots = roots.map(|(_, id)| id).collect();
        report.ends += self.unnamed.len() as u64;
        report.ends_at_least = self.unnamed_forgotten.is_some();
        report.unfinished_count += self.open.len() as u64;
        report.unfinished_at_least = self.open_forgotten.is_some();
        report.unfinished = self.open.into_values().take(FINDINGS_MAX).collect();
        report
    }
}
