//! Hash chains: one check each.

use super::{Check, Expected, Report, Status, count};
use crate::observe::Progress;
use crate::postgres::{self, Session};
use crate::verify::chain::{self, Break, BreakKind, ChainReport};

/// How much of a hash is told.
const HASH_SHOWN: usize = 16;

/// What to do where only the end is gone.
const LOST: &str = "rows were deleted from its end: docs/RUNBOOK.md, \"The audit log is broken\". If the database was set back to an earlier state on purpose, name the head of that state in verify.chain.NAME.head until a drill has passed";

pub(super) async fn check(
    session: &Session,
    expected: &Expected,
    progress: &Progress,
    report: &mut Report,
) -> Result<(), postgres::Error> {
    if expected.chains.is_empty() {
        report.checks.push(Check::new("chains", Status::Note, "no hash chain is configured"));
    }
    for definition in &expected.chains {
        let name = format!("chain {}", definition.name);
        match session.question(chain::check(session, definition, expected.explain, progress)).await {
            Ok(followed) => {
                report.checks.push(judge(name, &followed));
                report.chains.push(followed);
            }
            Err(chain::Error::Postgres(error)) if session.client().is_closed() => return Err(error),
            Err(chain::Error::Postgres(error)) => report.checks.push(Check::not_done(&name, &error, error.hint())),
            Err(error) => {
                let hint = Some(format!("correct [verify.chain.{}]", definition.name));
                report.checks.push(Check::not_done(&name, &error, hint));
            }
        }
    }
    Ok(())
}

fn judge(name: String, report: &ChainReport) -> Check {
    let rows = count(report.rows, "row");
    if report.is_whole() {
        let status = if report.rows == 0 { Status::Note } else { Status::Ok };
        let head =
            report.head.as_ref().and_then(|head| head.hash.as_deref()).map(|hash| format!(", ends in {}", short(hash)));
        return Check::new(name, status, format!("{rows}, unbroken{}{}", rules(report), head.unwrap_or_default()));
    }
    let lost = report.lost_head.as_ref();
    let lost = lost.map(|head| format!("the chain no longer contains the head {} {}", short(&head.hash), head.told));
    if let (Some(lost), 0) = (&lost, report.breaks_total()) {
        let check = Check::new(name, Status::Fail, format!("{rows}, unbroken, but {lost}"));
        return check.advise(LOST);
    }
    let kinds: Vec<_> = report.counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let detail = format!("broken in {} of {rows}: {}", count(report.breaks_total(), "place"), kinds.join(", "));
    let check = Check::new(name, Status::Fail, detail).with(lost.into_iter().chain(report.breaks.iter().map(told)));
    let none_fits = report.rows > 1 && report.counts.get(&BreakKind::Content) == Some(&report.rows);
    if none_fits {
        return check.advise("no row agrees with its hash: more likely the definition is not that of the program that wrote them; --explain shows the hashed text of the first row");
    }
    check.advise("docs/RUNBOOK.md, \"The audit log is broken\"; --explain shows the hashed text of the first row that does not agree")
}

/// How many rows follow which rule for nulls, if there is anything to tell.
fn rules(report: &ChainReport) -> String {
    let rules = &report.rules;
    let parts = [(rules.keep, "written"), (rules.omit, "left out"), (rules.mixed, "left out in part")];
    let parts: Vec<_> =
        parts.iter().filter(|(rows, _)| *rows > 0).map(|(rows, how)| format!("{how} in {rows}")).collect();
    if parts.is_empty() { String::new() } else { format!("; nulls {}", parts.join(", ")) }
}

fn told(found: &Break) -> String {
    let hash = |hash: &Option<String>| hash.as_deref().map_or("null".to_owned(), short);
    let hashes = match found.kind {
        BreakKind::Content | BreakKind::Hash => {
            format!(": has {}, computed {}", hash(&found.stored), hash(&found.computed))
        }
        BreakKind::Previous | BreakKind::Missing | BreakKind::Order => {
            format!(": names {}, the row before has {}", hash(&found.previous), hash(&found.expected_previous))
        }
        BreakKind::Unhashed | BreakKind::Unreadable => String::new(),
    };
    let text = found.text.as_ref().map(|text| format!("\n  hashed: {text}")).unwrap_or_default();
    format!("row {} ({}): {}: {}{hashes}{text}", found.position, found.row, found.kind, found.detail)
}

fn short(hash: &str) -> String {
    match hash.char_indices().nth(HASH_SHOWN) {
        Some((at, _)) => format!("{}…", &hash[..at]),
        None => hash.to_owned(),
    }
}
