//! What a drill measured against what is allowed, and what may be claimed of it.

use std::time::Duration;

use jiff::Timestamp;

use crate::format::evidence::Evidence;
use crate::format::manifest::DumpFacts;
use crate::verify::restored::{Check, Status};

/// What to do where an objective is set and the figure is not known.
const UNKNOWN: &str = "a standby does not tell how far it had come: take backups that are judged from the primary, or leave out the objective";
/// Why there is no RPO.
const NO_MOMENT: &str = "not judged: no moment was wanted, but a position, or a dump by its id or by lot";

/// Until when everything that was committed is in a dump; `None` where that is not known.
pub(super) fn newest_in(started_at: Timestamp, recorded: &DumpFacts) -> Option<Timestamp> {
    match &recorded.imported {
        // Its times are those of the import.
        Some(imported) => Some(imported.taken_at),
        // How far that had come is not recorded.
        None if recorded.standby => None,
        // The snapshot was taken after that.
        None => Some(started_at),
    }
}

/// By how much what came back lies before the moment that was wanted.
pub(super) fn rpo(evidence: &Evidence, allowed: Option<Duration>) -> (Option<Duration>, Check) {
    const NAME: &str = "rpo";
    let Some(wanted) = evidence.requested_at else { return (None, Check::new(NAME, Status::Note, NO_MOMENT)) };
    let lost = evidence.newest_committed_at.map(|newest| newest.duration_until(wanted));
    let lost = lost.map(|lost| Duration::try_from(lost).unwrap_or_default());
    (lost, objective(NAME, "from the newest commit to the moment wanted", lost, allowed))
}

/// A figure against what is allowed.
pub(super) fn objective(name: &str, what: &str, found: Option<Duration>, allowed: Option<Duration>) -> Check {
    let seconds = |span: Duration| format!("{:.1} s", span.as_secs_f64());
    match (found, allowed) {
        (None, None) => Check::new(name, Status::Note, "not known"),
        (None, Some(_)) => Check::new(name, Status::Fail, "not known, and an objective is set").advise(UNKNOWN),
        (Some(found), None) => {
            Check::new(name, Status::Note, format!("{} {what}; no objective is set", seconds(found)))
        }
        (Some(found), Some(allowed)) => {
            let status = if found <= allowed { Status::Ok } else { Status::Fail };
            Check::new(name, status, format!("{} {what}; {} are allowed", seconds(found), seconds(allowed)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The import is not when the data is from, and a standby may be behind.
    #[test]
    fn what_nobody_knows_is_not_claimed_of_a_dump() {
        let facts = |standby: bool, imported: Option<&str>| -> DumpFacts {
            let imported = imported.map(|at| {
                serde_json::json!({"file": "old.sql.gz.enc", "taken_at": at, "sha256": "ab".repeat(32), "host": null})
            });
            let database = serde_json::json!({
                "name": "books", "owner": "me", "encoding": "UTF8", "collate": "C", "ctype": "C", "icu_locale": null,
                "collation_version": null, "size_bytes": null, "comment": null, "acl": null, "connection_limit": -1,
                "settings": [],
            });
            serde_json::from_value(serde_json::json!({
                "database": database, "server_version_num": 150_018, "standby": standby, "extensions": [],
                "large_objects": 0, "pg_dump_version": "15.18", "restrict": false, "role_passwords": null,
                "options": [], "counts": null, "imported": imported,
            }))
            .unwrap()
        };
        let (started, taken) = ("2026-11-24T03:15:00Z", "2025-10-01T03:15:00Z");
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(newest_in(at(started), &facts(false, None)), Some(at(started)));
        assert_eq!(newest_in(at(started), &facts(true, None)), None);
        assert_eq!(newest_in(at(started), &facts(false, Some(taken))), Some(at(taken)));
    }

    #[test]
    fn an_objective_that_is_missed_fails() {
        let second = Duration::from_secs(1);
        let status = |found, allowed| objective("rto", "x", found, allowed).status;
        assert_eq!(status(Some(second), Some(second)), Status::Ok);
        assert_eq!(status(Some(2 * second), Some(second)), Status::Fail);
        assert_eq!(status(None, Some(second)), Status::Fail);
        assert_eq!(status(Some(second), None), Status::Note);
    }
}
