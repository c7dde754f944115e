//! Is the audit log whole: every record genuine, every record that another names there, and as it was?
//!
//! One pass over the names. Records name earlier ones, so that most links are settled when they are met; of each record an id
//! and a digest are kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{Error, Findings};
use crate::catalog::{AuditFound, AuditListing, AuditSeen, Finding, FindingKind, Repository};
use crate::format::audit::{AuditLink, AuditPhase, AuditRecord};
use crate::format::{self, AuditId, Digest};
use crate::limits::{AUDIT_ARRIVAL_SECONDS_MAX, AUDIT_LOG_MAX, AUDIT_READS, FINDINGS_MAX};
use crate::store::{Entry, Lock};

/// What is known of an audit log.
#[derive(Debug, Default, Serialize)]
pub struct AuditReport {
    /// Genuine records.
    pub records: u64,
    /// When the first one was written (store time).
    pub first: Option<Timestamp>,
    /// When the last one was written.
    pub last: Option<Timestamp>,
    /// Where the chain is broken: somebody removed or replaced a record. The first ones.
    pub breaks: Vec<Break>,
    /// In how many places.
    pub break_count: u64,
    /// Records named by the oldest ones and gone since their locks ended.
    pub expired: u64,
    /// Records that name none before them, besides the oldest: what was there before cannot be told from them.
    pub roots: Vec<AuditId>,
    /// Records that none names yet; should they be removed, nothing would tell.
    pub ends: u64,
    /// What began and has no end: it died, is still under way, or its end could not be recorded. The first ones.
    pub unfinished: Vec<Unfinished>,
    /// How many of them there are.
    pub unfinished_count: u64,
    /// Records whose lock has ended.
    pub unlocked: u64,
    /// Records whose lock ends soon.
    pub unlocking: u64,
    /// What does not belong there, or is not as it should be.
    pub findings: Findings,
}

/// A record that is not what another says of it.
#[derive(Debug, Serialize)]
pub struct Break {
    /// The record.
    pub record: AuditId,
    /// What became of it.
    pub what: BreakKind,
    /// A record that names it.
    pub named_by: AuditId,
    /// Until when it was locked.
    pub locked_until: Option<Timestamp>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BreakKind {
    /// It is gone.
    Missing,
    /// Something else is there under its name.
    Replaced,
}

/// A beginning without an end.
#[derive(Debug, Serialize)]
pub struct Unfinished {
    /// Its record.
    pub record: AuditId,
    /// When it began.
    pub at: Timestamp,
    /// What.
    pub deed: String,
    /// Who.
    pub who: String,
    /// Where.
    pub host: String,
}

/// Verifies the whole log. What is wrong with it is in the report; an error means that the store did not let us look.
pub async fn verify_audit(repository: &Repository, soon: Duration) -> Result<AuditReport, Error> {
    let mut pass = Pass::default();
    let mut listing = AuditListing::of(repository, None);
    while let Some(seen) = listing.next().await? {
        let reads = seen.into_iter().map(|one| read(repository, one));
        let found: Vec<_> = stream::iter(reads).buffered(AUDIT_READS).try_collect().await?;
        let now = repository.store().clock().now();
        for one in found {
            pass.take(one, now, soon);
        }
    }
    Ok(pass.finish(repository.store().clock().now()))
}

struct Read {
    seen: AuditSeen,
    found: Result<AuditFound, format::Error>,
    lock: Option<Lock>,
}

async fn read(repository: &Repository, seen: AuditSeen) -> Result<Read, Error> {
    let entry = &seen.entry;
    let found = repository.audit_record(entry, true).await?;
    let lock = match &found {
        Ok(_) => repository.store().head(&entry.key, &entry.version).await.map_err(crate::catalog::Error::from)?.lock,
        Err(_) => None,
    };
    Ok(Read { seen, found, lock })
}

/// A link whose record has not been met yet.
struct Pending {
    link: AuditLink,
    by: AuditId,
}

#[derive(Default)]
struct Pass {
    report: AuditReport,
    known: HashMap<AuditId, Digest>,
    unnamed: BTreeSet<AuditId>,
    open: BTreeMap<AuditId, Unfinished>,
    /// Beginnings whose ends were met first: within one second any order of names is possible.
    closed: BTreeSet<AuditId>,
    pending: Vec<Pending>,
    /// Records that name none before them.
    roots: BTreeSet<(Timestamp, AuditId)>,
    /// Names under which something else lies.
    taken: BTreeSet<AuditId>,
}

impl Pass {
    fn take(&mut self, read: Read, now: Timestamp, soon: Duration) {
        let Read { seen: AuditSeen { entry, overlays }, found, lock } = read;
        self.report.findings.extend(overlays);
        let found = match found {
            Ok(found) => found,
            Err(why) => {
                let (key, version) = (entry.key.as_str(), Some(entry.version.as_str()));
                self.report.findings.push(Finding::new(FindingKind::ForgedAudit, key, version, why.to_string()));
                if self.taken.len() < AUDIT_LOG_MAX {
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
            }
            AuditPhase::Ended => {
                if let Some(begun) = &record.begun
                    && self.open.remove(begun).is_none()
                {
                    self.closed.insert(begun.clone());
                }
            }
        }
        self.known.insert(record.record.clone(), Digest::of(&found.body));
        self.unnamed.insert(record.record.clone());
        for link in found.record.previous {
            let pending = Pending { link, by: found.record.record.clone() };
            if let Some(pending) = self.settle(pending) {
                self.pending.push(pending);
            }
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

    /// Compares a link with the record it names; gives it back if there is none yet.
    fn settle(&mut self, pending: Pending) -> Option<Pending> {
        let Some(sha256) = self.known.get(&pending.link.record) else { return Some(pending) };
        if *sha256 == pending.link.sha256 {
            self.unnamed.remove(&pending.link.record);
        } else {
            self.broken(pending, BreakKind::Replaced);
        }
        None
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

    fn finish(mut self, now: Timestamp) -> AuditReport {
        let (mut expired, first) = (BTreeSet::new(), self.report.first);
        for pending in std::mem::take(&mut self.pending) {
            let Some(pending) = self.settle(pending) else { continue };
            // What lies before everything that is left, and may have been removed by whoever tidies up.
            let before_all = |at: Timestamp| first.is_some_and(|first| at.as_second() < first.as_second());
            let at_the_edge = pending.link.record.time().is_some_and(before_all);
            if at_the_edge && pending.link.locked_until.is_none_or(|until| until <= now) {
                expired.insert(pending.link.record);
            } else if self.taken.contains(&pending.link.record) {
                self.broken(pending, BreakKind::Replaced);
            } else {
                self.broken(pending, BreakKind::Missing);
            }
        }
        let mut report = self.report;
        report.expired = expired.len() as u64;
        // The first record of a repository has none before it.
        let roots = self.roots.into_iter().filter(|(at, _)| Some(*at) != first);
        report.roots = roots.map(|(_, id)| id).collect();
        report.ends = self.unnamed.len() as u64;
        report.unfinished_count = self.open.len() as u64;
        report.unfinished = self.open.into_values().take(FINDINGS_MAX).collect();
        report
    }
}
