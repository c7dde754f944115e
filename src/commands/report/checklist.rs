//! The checklist: seven points that must hold before anybody says "we have backups", each with what it rests on. Pure.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::facts::{ClusterReport, Period};
use super::sealed::Sealed;
use super::traces::Trace;
use crate::format::evidence::{CheckResult, Evidence, EvidenceResult};
use crate::format::manifest::Kind;
use crate::limits::CHECKLIST_WAL_AGE_HOURS;

/// One point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Its name: never changes.
    pub name: &'static str,
    /// What must be so.
    pub title: &'static str,
    /// Whether it is.
    pub ticked: bool,
    /// What that rests on.
    pub evidence: String,
    /// What to do, where it is not so.
    pub hint: Option<&'static str>,
}

/// What a checklist asks beyond the facts of a report.
#[derive(Clone, Debug)]
pub struct Terms {
    /// So old may a drill be.
    pub max_age: SignedDuration,
    /// The release that is approved.
    pub release: Option<String>,
}

/// Everything that a checklist rests on.
pub(super) struct Ground<'a> {
    pub(super) at: Timestamp,
    pub(super) cluster: &'a ClusterReport,
    /// The newest backup of each kind, looked at closely.
    pub(super) sealed: &'a [Sealed],
    /// What the audit log knows of the newest drill.
    pub(super) trace: Option<Trace>,
    pub(super) terms: &'a Terms,
}

type Answer = Result<String, String>;

/// The points that are asked: of an archive, whether what it holds is whole, and whether its base backups lead anywhere if they
/// do not.
pub(super) fn points_of(ground: &Ground<'_>) -> Vec<Point> {
    let mut points = points(ground);
    if ground.cluster.archive {
        let stranded = ground.cluster.is_stranded();
        points.retain(|point| point.name == "encrypted" || (stranded && point.name == "wal-window"));
    }
    points
}

/// All seven.
pub(super) fn points(ground: &Ground<'_>) -> Vec<Point> {
    let point = |name, title, answer: Answer, hint| {
        let ticked = answer.is_ok();
        let evidence = answer.unwrap_or_else(|why| why);
        Point { name, title, ticked, evidence, hint: (!ticked).then_some(hint) }
    };
    vec![
        point(
            "encrypted",
            "Stored backups are encrypted and whole",
            ground.encrypted(),
            "see `stonewal verify`, and take a new backup",
        ),
        point(
            "wal-window",
            "WAL covers the recovery window",
            ground.wal(),
            "see `stonewal status`; a gap is closed by `stonewal wal push --from`, else only by a new base backup and time",
        ),
        point(
            "restored",
            "A restore was rehearsed without errors",
            ground.restored(),
            "run `stonewal drill --kind dump`",
        ),
        point(
            "point-in-time",
            "A recovery to a moment was rehearsed, with recovery.signal before the start",
            ground.recovered(),
            "run `stonewal drill --kind base --target-time TIME`",
        ),
        point(
            "verified",
            "The restored database passed its checks",
            ground.verified(),
            "see the checks of the drill: `stonewal drill show`; name what must be there in verify.tables, verify.chain and drill.sql",
        ),
        point(
            "audited",
            "The use of backups is recorded",
            ground.audited(),
            "set audit.mode to on or required, and run the drill with it; `stonewal audit log` shows what is recorded",
        ),
        point(
            "release",
            "The restored database belongs to the approved release",
            ground.released(),
            "set verify.release_query and verify.release, or give --release, and run a drill",
        ),
    ]
}

impl Ground<'_> {
    fn encrypted(&self) -> Answer {
        if self.sealed.is_empty() {
            return Err("there is no backup".into());
        }
        let told: Vec<String> = self.sealed.iter().map(ToString::to_string).collect();
        if self.sealed.iter().all(Sealed::is_good) { Ok(told.join("; ")) } else { Err(told.join("; ")) }
    }

    fn wal(&self) -> Answer {
        if self.cluster.archive && self.cluster.is_stranded() {
            return Err("no base backup leads beyond its own end: WAL behind it is missing or cannot be read".into());
        }
        let window = SignedDuration::from_secs(i64::try_from(self.cluster.policy_window_seconds).unwrap_or(i64::MAX));
        let begin = self.at.checked_sub(window).unwrap_or(Timestamp::MIN);
        let periods: Vec<&Period> = self.cluster.restorable.iter().filter(|period| period.to >= begin).collect();
        let [period] = periods[..] else {
            return Err(match periods[..] {
                [.., before, last] => {
                    format!("recovery is not possible between {} and {}", told(before.to), told(last.from))
                }
                _ => "no moment in the window can be recovered".into(),
            });
        };
        if self.at.duration_since(period.to) > SignedDuration::from_hours(CHECKLIST_WAL_AGE_HOURS) {
            return Err(format!(
                "the newest WAL arrived at {}, more than {CHECKLIST_WAL_AGE_HOURS} h ago",
                told(period.to)
            ));
        }
        let reach = format!("any moment from {} to {}", told(period.from), told(period.to));
        match self.cluster.physical_since {
            _ if period.from <= begin => Ok(format!("{reach}; the window begins at {}", told(begin))),
            Some(since) if since > begin => {
                Ok(format!("{reach}; physical backups began at {}, within the window", told(since)))
            }
            _ => Err(format!("{reach}; the window begins at {}", told(begin))),
        }
    }

    /// Drills of the repository that are young enough, the newest first.
    fn drills(&self) -> impl Iterator<Item = &Evidence> {
        let oldest = self.at.checked_sub(self.terms.max_age).unwrap_or(Timestamp::MIN);
        self.cluster.own_drills().filter(move |drill| drill.started_at >= oldest)
    }

    fn all_of_kind(&self, kind: Kind) -> impl Iterator<Item = &Evidence> {
        // One that did not come as far as to choose a backup went wrong for every kind.
        self.drills().filter(move |drill| drill.backup.as_ref().is_none_or(|backup| backup.kind == kind))
    }

    /// Of a dump; of a base where there are no dumps.
    fn restored(&self) -> Answer {
        let kinds = |kind: Kind| self.cluster.backups.iter().any(|row| row.kind == kind);
        let kind = if kinds(Kind::Dump) || !kinds(Kind::Base) { Kind::Dump } else { Kind::Base };
        let drill = self.all_of_kind(kind).next();
        passed(drill.ok_or_else(|| self.too_old(&format!("no {kind} was restored by a drill")))?)
    }

    /// A drill to the end of the WAL rehearses no moment: it neither ticks this nor hides the one before it that does.
    fn recovered(&self) -> Answer {
        let to_a_moment = |drill: &&Evidence| drill.request.time.is_some() || drill.request.lsn.is_some();
        let drill = self.all_of_kind(Kind::Base).find(to_a_moment);
        let drill = drill.ok_or_else(|| self.too_old("no base backup was recovered to a moment by a drill"))?;
        let told = passed(drill)?;
        if drill.recovery_signal != Some(true) {
            return Err(format!("{told}, but without recovery.signal before the start"));
        }
        Ok(format!("{told}, with recovery.signal before the start"))
    }

    fn verified(&self) -> Answer {
        let drill = self.drills().find(|drill| !drill.checks.is_empty());
        let drill = drill.ok_or_else(|| self.too_old("no drill came to its checks"))?;
        let bad = drill.checks.iter().find(|check| check.status == CheckResult::Fail);
        if let Some(check) = bad {
            return Err(format!("{}: {} failed: {}", name(drill), check.name, check.detail));
        }
        if drill.result == EvidenceResult::Error {
            return passed(drill);
        }
        let proved = |names: fn(&str) -> bool| {
            drill.checks.iter().filter(|check| check.status == CheckResult::Ok && names(&check.name)).count()
        };
        if proved(looks_at_data) == 0 {
            return Err(format!("{}: no check looked at its tables, rows, hash chains or queries", name(drill)));
        }
        let chains = match proved(is_chain) {
            0 => "no hash chain was followed".to_owned(),
            followed => format!("{followed} of them hash chains"),
        };
        let compared = drill.checks.iter().filter(|check| check.status != CheckResult::Note).count();
        let notes = match drill.checks.len() - compared {
            0 => String::new(),
            notes => format!("; {notes} not compared"),
        };
        let checks = if compared == 1 { "check" } else { "checks" };
        Ok(format!("{}: {compared} {checks}, {chains}, none failed{notes}", name(drill)))
    }

    fn audited(&self) -> Answer {
        match &self.trace {
            None => Err("there is no drill that could be recorded".into()),
            Some(Trace::Ended { record }) => Ok(format!("audit record {record} tells of the newest drill")),
            Some(Trace::BegunOnly { record }) => {
                Err(format!("audit record {record} tells that the newest drill began, and none that it ended"))
            }
            Some(Trace::None) => Err("the audit log knows nothing of the newest drill".into()),
        }
    }

    fn released(&self) -> Answer {
        let Some(approved) = &self.terms.release else { return Err("no approved release is configured".into()) };
        let drill = self.drills().find(|drill| drill.release.is_some());
        let drill = drill.ok_or_else(|| self.too_old("no drill told a release"))?;
        let found = drill.release.as_deref().unwrap_or_default();
        if found != approved {
            return Err(format!("{} found {found}, approved is {approved}", name(drill)));
        }
        Ok(format!("{} found {found}, the approved one", name(drill)))
    }

    fn too_old(&self, what: &str) -> String {
        let days = self.terms.max_age.as_secs() / 86_400;
        format!("{what} within {days} days (checklist.max_age)")
    }
}

/// A chain that was followed; `chains` is the note that none is configured.
fn is_chain(check: &str) -> bool {
    check.starts_with("chain ")
}

/// Whether a check looks at what is stored in the tables, not only at what is built around them.
fn looks_at_data(check: &str) -> bool {
    matches!(check, "tables" | "rows" | "digests") || is_chain(check) || check.starts_with("sql ")
}

fn passed(drill: &Evidence) -> Answer {
    match drill.result {
        EvidenceResult::Passed => Ok(format!("{} passed at {}", name(drill), told(drill.finished_at))),
        EvidenceResult::Failed => Err(format!("{} failed", name(drill))),
        EvidenceResult::Error => Err(format!(
            "{} could not be carried out: {}",
            name(drill),
            drill.error.as_deref().unwrap_or("no reason is told")
        )),
    }
}

fn name(drill: &Evidence) -> String {
    let of = drill.backup.as_ref().map_or_else(String::new, |backup| format!(" of {} {}", backup.kind, backup.id));
    format!("drill {}{of}", drill.evidence)
}

fn told(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
pub(super) mod tests;
