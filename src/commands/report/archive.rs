//! Clusters that hold old backups of other tools and nothing else: what `stonewal import --cluster main-old` makes.

use jiff::SignedDuration;

use super::facts::ClusterReport;
use crate::catalog::Repository;
use crate::commands::Result;
use crate::commands::status::Health;
use crate::format::manifest::SealedPart;

/// WAL that comes with an import arrives before its backup does; what arrives so much later is streamed.
const STREAMED_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// What only a cluster that goes on is asked for.
const OF_THE_LIVING: [&str; 5] = ["no-base", "base-old", "no-way", "gap", "old-gap"];
/// Why its base backups cannot be recovered, where that is so.
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

fn is_streamed(report: &ClusterReport) -> bool {
    let Some(newest) = report.backups.iter().map(|row| row.arrived_at).max() else { return false };
    let mut arrived = report.wal.iter().flat_map(|line| &line.runs).filter_map(|run| run.arrived);
    arrived.any(|period| period.to.duration_since(newest) > STREAMED_AFTER)
}

/// Takes out of the verdict what is not asked of an archive. Locks, holes in what it holds and tampering stay, and that no base
/// backup in it can be recovered.
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
    use crate::commands::report::facts::{Line, Period, Run};
    use crate::commands::status::Reason;
    use crate::format::manifest::Kind;
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
    fn i09_an_archive_whose_base_cannot_be_recovered_is_not_well() {
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

    #[test]
    fn wal_that_comes_after_the_last_import_is_streamed() {
        let mut report = samples::cluster();
        let newest = report.backups.iter().map(|row| row.arrived_at).max().unwrap();
        let mut run = |minutes| {
            let at = newest.checked_add(SignedDuration::from_mins(minutes)).unwrap();
            let run = Run { start: Lsn::new(0), end: Lsn::new(1), arrived: Some(Period { from: at, to: at }) };
            let timeline = Timeline::new(1).unwrap();
            report.wal = vec![Line { timeline, parent: None, runs: vec![run], missing: Vec::new() }];
            is_streamed(&report)
        };
        assert!(!run(-5) && !run(5) && run(61));
    }
}
