//! What does not belong in the repository.

use std::fmt::Write as _;

use super::table::{Cell, table};
use crate::commands::parts::Findings;

/// Findings shown; all are counted.
const SHOWN: usize = 50;

pub(super) fn section(out: &mut String, findings: &Findings) {
    out.push_str("<section id=\"findings\" class=\"card\"><h2>Tampering and other findings</h2>\n");
    if findings.counts.is_empty() {
        out.push_str(
            "<p class=\"note good\">✓ Nothing lies in the repository that does not belong there.</p></section>\n",
        );
        return;
    }
    out.push_str(if findings.has_tampering() {
        "<p class=\"note bad\">✗ Someone wrote into this repository who is not one of its writers. Restores ignore all of it; \
         docs/RUNBOOK.md says what to do.</p>\n"
    } else {
        "<p class=\"note\">None of this looks like tampering.</p>\n"
    });
    let kinds: Vec<_> = findings
        .counts
        .iter()
        .map(|(kind, number)| {
            let (class, word) = if kind.is_tampering() {
                ("bad", "tampering")
            } else if kind.is_stray() {
                ("", "left by an interrupted backup")
            } else {
                ("warn", "to be looked at")
            };
            vec![Cell::text(kind.to_string()), Cell::number(number.to_string()), Cell::judged(class, word)]
        })
        .collect();
    let least = if findings.is_cut() { "Findings by kind (at least)" } else { "Findings by kind" };
    table(out, least, &["Kind", ">Number", "Verdict"], &kinds);
    let told: Vec<_> = findings.details.iter().filter(|finding| !finding.kind.is_stray()).take(SHOWN).collect();
    if !told.is_empty() {
        let rows: Vec<_> = told
            .iter()
            .map(|finding| {
                vec![Cell::code(&finding.key), Cell::text(finding.kind.to_string()), Cell::text(&finding.detail)]
            })
            .collect();
        table(out, "Findings one by one", &["Object", "Kind", "What"], &rows);
    }
    let more = findings.total().saturating_sub(told.len() as u64);
    if more > 0 && !told.is_empty() {
        let _ = writeln!(
            out,
            "<p class=\"more\">{more} more are only counted here; `stonewal verify --json` tells them</p>"
        );
    }
    out.push_str("</section>\n");
}
