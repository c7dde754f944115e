//! Clusters that hold old backups of other tools and nothing else: what `stonewal import --cluster main-old` makes.

use jiff::{SignedDuration, Timestamp};

use super::facts::{BackupRow, ClusterReport, Period, Run};
use crate::catalog::Repository;
use crate::commands::Result;
use crate::commands::status::Health;
use crate::format::manifest::{Kind, SealedPart};

/// The WAL of an imported base arrives no longer than this before the base itself begins to.
const WAL_BEFORE_BASE: SignedDuration = SignedDuration::from_hours(24);

/// What only a cluster that goes on is asked for.
const OF_THE_LIVING: [&str; 5] = ["no-base", "base-old", "no-way", "gap", "old-gap"];
/// Why its base backups lead no further than their own end, where that is so.
const OF_THE_STRANDED: [&str; 2] = ["no-way", "gap"];

/// Whether every backup was imported, as far as the keys at hand tell, and no WAL came since. The newest are asked first: one
/// question is enough for a cluster that goes on.
pub(super) async fn is_one(repository: &Repository, report: &ClusterReport) -> Result<bool> {
    if report.backups.is_empty() || is_streamed(report) {
        return Ok(false);
    }
    for row in report.backups.iter().rev() {
        let (backup, _) = repository.backup(&report.cluster, &row.backup).await?;
        match repository.sealed_part(&backup.manifest).await {
            Ok(sealed) if is_imported(&sealed) => {}
            // What cannot be opened is taken for a backup of ours, which is asked for more.
            Ok(_) | Err(_) => return Ok(false),
        }
    }
    Ok(true)
}

fn is_imported(sealed: &SealedPart) -> bool {
    let dump = sealed.dump.as_ref().is_some_and(|dump| dump.imported.is_some());
    dump || sealed.base.as_ref().is_some_and(|base| base.imported.is_some())
}

/// Whether some WAL came otherwise than with an imported base. An import stores all of its WAL, then its base, then the manifest: a run
/// of WAL that arrived whole within a day before a base, and none of it after the manifest, is that base's. Any other is taken for a
/// streamed one, also if imports of different days brought it: a cluster that goes on is asked for more.
fn is_streamed(report: &ClusterReport) -> bool {
    let brought = |run: &Run| {
        let mut bases = report.backups.iter().filter(|row| row.kind == Kind::Base);
        run.arrived.is_some_and(|arrived| bases.any(|row| is_of(row, arrived)))
    };
    !report.wal.iter().flat_map(|line| &line.runs).all(brought)
}

fn is_of(base: &BackupRow, wal: Period) -> bool {
    let took = SignedDuration::from_secs(i64::try_from(base.took_seconds).unwrap_or(i64::MAX));
    let first = base.arrived_at.checked_sub(took.saturating_add(WAL_BEFORE_BASE)).unwrap_or(Timestamp::MIN);
    first <= wal.from && wal.to <= base.arrived_at
}

/// Takes out of the verdict what is not asked of an archive. Locks, holes in what it holds and tampering stay, and that no base
/// backup in it leads beyond its own end.
pub(super) fn judge(report: &mut ClusterReport) {
    report.archive = true;
    let stranded = report.is_stranded();
    let stays = |name| !OF_THE_LIVING.contains(&name) || (stranded && OF_THE_STRANDED.contains(&name));
    report.reasons.retain(|reason| stays(reason.name));
    for reason in &mut report.reasons {
        if reason.name == "lock-ends" {
            reason.hint = "`stonewal retention extend` lengthens what the plan keeps".into();
        }
    }
    report.health = report.reasons.iter().map(|reason| reason.health).max().unwrap_or(Health::Green);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::report::checklist::tests as samples;
    use crate::commands::report::facts::Line;
    use crate::commands::status::Reason;
    use crate::format::{Lsn, Timeline};

    fn reason(name: &'static str, health: Health) -> Reason {
        Reason { name, health, text: String::new(), hint: "make a new dump".into() }
    }

    #[test]
    fn an_archive_is_asked_for_nothing_new() {
        let mut report = samples::cluster();
        report.health = Health::Red;
        report.reasons = vec![reason("no-base", Health::Red), reason("lock-ends", Health::Yellow)];
        judge(&mut report);
        assert!(report.archive && report.health == Health::Yellow, "{report:?}");
        assert!(report.reasons.len() == 1 && report.reasons[0].hint.contains("retention extend"), "{report:?}");
        report.reasons = vec![reason("no-base", Health::Red)];
        judge(&mut report);
        assert_eq!(report.health, Health::Green);
    }

    /// A base whose own WAL is gone restores nothing, however well its objects are kept.
    #[test]
    fn an_archive_whose_base_cannot_be_recovered_is_not_well() {
        let mut report = samples::cluster();
        assert!(report.is_stranded(), "{report:?}");
        let all = || vec![reason("no-way", Health::Red), reason("base-old", Health::Yellow)];
        report.reasons = all();
        judge(&mut report);
        assert!(report.health == Health::Red && report.reasons.len() == 1, "{report:?}");
        report.backups.retain(|row| row.kind == Kind::Dump);
        report.reasons = all();
        judge(&mut report);
        assert!(report.health == Health::Green && report.reasons.is_empty(), "{report:?}");
    }

    /// Whether WAL that arrived from one moment to another was streamed; the base began to arrive an hour before `0`.
    fn streamed(kinds: &[Kind], from: i64, to: i64) -> bool {
        let mut report = samples::cluster();
        report.backups.retain(|row| kinds.contains(&row.kind));
        let arrived_at = report.backups[0].arrived_at;
        for row in &mut report.backups {
            row.took_seconds = 3600;
        }
        let at = |minutes| arrived_at.checked_add(SignedDuration::from_mins(minutes)).unwrap();
        let run = Run { start: Lsn::new(0), end: Lsn::new(1), arrived: Some(Period { from: at(from), to: at(to) }) };
        report.wal =
            vec![Line { timeline: Timeline::new(1).unwrap(), parent: None, runs: vec![run], missing: Vec::new() }];
        is_streamed(&report)
    }

    #[test]
    fn wal_that_no_import_brought_is_streamed() {
        const DAY: i64 = 24 * 60;
        let both = [Kind::Base, Kind::Dump];
        assert!(!streamed(&both, -90, -65) && !streamed(&both, -60 - DAY, 0));
        // It died young: minutes after the last import. And it went on for long before that.
        assert!(streamed(&both, -90, 5) && streamed(&both, 5, 5));
        assert!(streamed(&both, -90 * DAY, -65) && streamed(&both, -90 * DAY, -60 * DAY));
        // A dump brings no WAL.
        assert!(streamed(&[Kind::Dump], -90, -65));
    }
}
