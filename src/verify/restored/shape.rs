//! Sequences, constraints, indexes, collations.

use super::{Check, Expected, Status, count};
use crate::postgres::inspect::Validity;
use crate::postgres::{Result, Session};

/// Sequences that would hand out numbers that are there already.
pub(super) async fn sequences(session: &Session, expected: &Expected) -> Result<Check> {
    let sequences = session.sequences().await?;
    let (mut colliding, mut harmless, mut accepted) = (Vec::new(), Vec::new(), 0);
    for state in sequences.iter().filter(|state| state.is_behind()) {
        let farthest = state.farthest.unwrap_or_default();
        let text = format!("{} gives {} next, {} is at {farthest}", state.sequence, state.next, state.column);
        match () {
            () if expected.accept.contains(&state.sequence) => accepted += 1,
            () if state.unique => colliding.push(text),
            () => harmless.push(text),
        }
    }
    let all = count(sequences.len() as u64, "sequence");
    let (status, detail) = match (colliding.len(), harmless.len()) {
        (0, 0) => (Status::Ok, format!("{all}, none behind its column")),
        (0, behind) => (Status::Warn, format!("{behind} of {all} behind, over columns that are not unique")),
        (behind, _) => (Status::Fail, format!("{behind} of {all} behind: inserts will fail")),
    };
    let check =
        Check::new("sequences", status, with_accepted(detail, accepted)).with(colliding.into_iter().chain(harmless));
    Ok(if status == Status::Ok {
        check
    } else {
        check.advise("SELECT setval(SEQUENCE, (SELECT max(COLUMN) FROM TABLE)); if it is so in the source, name it in verify.accept")
    })
}

pub(super) async fn constraints(session: &Session, expected: &Expected) -> Result<Check> {
    let validity = session.constraints().await?;
    let advice = "ALTER TABLE … VALIDATE CONSTRAINT …, or ALTER TABLE … ENABLE TRIGGER ALL; if it is so in the source, name it in verify.accept";
    Ok(judged("constraints", "constraint", validity, expected, advice))
}

pub(super) async fn indexes(session: &Session, expected: &Expected) -> Result<Check> {
    let validity = session.indexes().await?;
    Ok(judged(
        "indexes",
        "index",
        validity,
        expected,
        "REINDEX INDEX …; if it is so in the source, name it in verify.accept",
    ))
}

fn judged(name: &str, word: &str, validity: Validity, expected: &Expected, advice: &str) -> Check {
    let all = count(validity.count, word);
    let (accepted, bad): (Vec<_>, Vec<_>) =
        validity.bad.into_iter().partition(|(name, _)| expected.accept.contains(name));
    if bad.is_empty() {
        return Check::new(name, Status::Ok, with_accepted(format!("{all}, all valid"), accepted.len()));
    }
    let detail = with_accepted(format!("{} of {all} not valid", bad.len()), accepted.len());
    let details = bad.into_iter().map(|(name, why)| format!("{name} is {why}"));
    Check::new(name, Status::Fail, detail).with(details).advise(advice)
}

fn with_accepted(detail: String, accepted: usize) -> String {
    if accepted == 0 { detail } else { format!("{detail} ({accepted} accepted as they are)") }
}

/// Another version of the library sorts otherwise: indexes over text may be wrong (PAINS of every move between hosts).
pub(super) async fn collations(session: &Session) -> Result<Check> {
    let drift = session.collation_drift().await?;
    if drift.is_empty() {
        return Ok(Check::new("collations", Status::Ok, "their versions are those that indexes were built with"));
    }
    let of_database = drift.iter().any(|drift| drift.of_database);
    let details = drift.iter().map(|drift| {
        let what = if drift.of_database { "the default of database " } else { "" };
        format!("{what}{} was {}, is {}", drift.name, drift.recorded, drift.actual)
    });
    let detail = format!("{} of another version than indexes were built with", count(drift.len() as u64, "collation"));
    let refresh = if of_database {
        "ALTER DATABASE … REFRESH COLLATION VERSION"
    } else {
        "ALTER COLLATION … REFRESH VERSION"
    };
    let check = Check::new("collations", Status::Warn, detail).with(details);
    Ok(check.advise(format!("REINDEX DATABASE first, then {refresh}: an index over text that was built by the other version finds what is there or not")))
}
