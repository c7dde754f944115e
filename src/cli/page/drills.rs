//! Drills: restores that were tried out, how long they took and how much they would have lost.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::bars::{Bar, Bars, Part};
use super::shapes::{Form, Key, legend};
use super::table::{Cell, table};
use super::words::{count, relative, short, span, version};
use crate::commands::parts::evidence::{CheckResult, Evidence, EvidenceResult};
use crate::commands::report::{ClusterReport, Outcome};

/// Drills drawn and told: the newest.
const DRAWN: usize = 24;
const SHOWN: usize = 30;

/// Phases in order, with the class of their bars.
const PHASES: [(&str, &str); 5] =
    [("plan", "phase-1"), ("fetch", "phase-2"), ("replay", "phase-3"), ("ready", "phase-4"), ("checks", "phase-5")];

pub(super) fn section(out: &mut String, outcome: &Outcome, cluster: &ClusterReport, number: usize) {
    let _ = writeln!(out, "<section id=\"c{number}-drills\" class=\"card\"><h2>Drills</h2>");
    if cluster.drills.is_empty() && cluster.archive {
        out.push_str("<p>None is asked for: this is an archive of imported backups.</p></section>\n");
        return;
    }
    if cluster.drills.is_empty() {
        out.push_str(
            "<p class=\"note bad\">✗ No restore has been tried out, or none was recorded. A backup that was never restored is a hope. \
             Run <code>stonewal drill</code>.</p></section>\n",
        );
        return;
    }
    let drawn: Vec<&Evidence> = cluster.drills.iter().take(DRAWN).rev().collect();
    let times: Vec<Bar> = drawn.iter().filter_map(|drill| time_bar(drill)).collect();
    let losses: Vec<Bar> = drawn.iter().filter_map(|drill| loss_bar(drill)).collect();
    out.push_str("<div class=\"pair\">\n");
    chart(out, &times, &format!("c{number}-rto"), "Time to recover (RTO)");
    chart(out, &losses, &format!("c{number}-rpo"), "Data lost (RPO)");
    out.push_str("</div>\n");
    let phases = PHASES.map(|(name, class)| (Key::Bar(class), name));
    let rest = [
        (Key::Bar("wal-bar"), "data lost"),
        (Key::Line("goal"), "objective"),
        (Key::Sign("bad-sign", Form::Cross), "failed"),
    ];
    legend(out, &phases.into_iter().chain(rest).collect::<Vec<_>>());
    let rows: Vec<_> = cluster.drills.iter().take(SHOWN).map(|drill| row(outcome, drill)).collect();
    let headings = ["Drill (UTC)", "Result", ">Time to recover", ">Data lost", "Checks", "Backup"];
    table(out, "Drills, the newest first", &headings, &rows);
    if let Some(more) = hidden(cluster) {
        let _ = writeln!(out, "<p class=\"more\">and {more} before; --json tells all</p>");
    }
    out.push_str("</section>\n");
}

fn chart(out: &mut String, bars: &[Bar], id: &str, title: &str) {
    let _ = writeln!(out, "<div><p class=\"title\">{title}</p>");
    if bars.is_empty() {
        out.push_str("<p>No drill came so far.</p>\n");
    } else {
        out.push_str(&Bars { id, title, measured: bars }.draw());
    }
    out.push_str("</div>\n");
}

fn seconds(milliseconds: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a length in a picture")]
    let seconds = milliseconds as f64 / 1000.0;
    seconds
}

fn time_bar(drill: &Evidence) -> Option<Bar> {
    let all = drill.rto_milliseconds?;
    let class = |name: &str| PHASES.iter().find(|(phase, _)| *phase == name).map_or("phase-5", |(_, class)| class);
    let mut parts: Vec<Part> = Vec::new();
    for phase in &drill.phases {
        let told = format!("{}: {} took {}", short(drill.started_at), phase.name, fine(phase.milliseconds));
        parts.push(Part { class: class(&phase.name), length: seconds(phase.milliseconds), told });
    }
    if parts.is_empty() {
        let told = format!("{}: {}", short(drill.started_at), fine(all));
        parts.push(Part { class: "phase-1", length: seconds(all), told });
    }
    Some(bar(drill, parts, drill.objectives.rto_milliseconds))
}

fn loss_bar(drill: &Evidence) -> Option<Bar> {
    let lost = drill.rpo_milliseconds?;
    let told = format!("{}: {} lost", short(drill.started_at), fine(lost));
    let parts = vec![Part { class: "wal-bar", length: seconds(lost), told }];
    Some(bar(drill, parts, drill.objectives.rpo_milliseconds))
}

fn bar(drill: &Evidence, parts: Vec<Part>, goal: Option<u64>) -> Bar {
    let passed = drill.result == EvidenceResult::Passed;
    Bar { at: drill.started_at, parts, goal: goal.map(seconds), passed }
}

/// Whole units, but milliseconds of what was over at once.
pub(super) fn fine(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        1000..10_000 => format!("{}.{} s", milliseconds / 1000, milliseconds / 100 % 10),
        _ => span(milliseconds / 1000),
    }
}

/// Class and words of a result.
pub(super) fn word(result: EvidenceResult) -> (&'static str, &'static str) {
    match result {
        EvidenceResult::Passed => ("good", "✓ passed"),
        EvidenceResult::Failed => ("bad", "✗ failed"),
        EvidenceResult::Error => ("bad", "✗ not carried out"),
    }
}

/// `4 min 12 s`, and the objective below it.
pub(super) fn measured(measured: Option<u64>, allowed: Option<u64>) -> (String, String) {
    let measured = measured.map_or_else(|| "–".into(), fine);
    (measured, allowed.map_or_else(String::new, |allowed| format!("objective {}", fine(allowed))))
}

/// `10 ok, 2 not compared`, and what was not ok.
pub(super) fn checks(drill: &Evidence) -> (String, String) {
    let those = |result: CheckResult| drill.checks.iter().filter(move |check| check.status == result);
    let counts = [
        (CheckResult::Ok, "ok"),
        (CheckResult::Note, "not compared"),
        (CheckResult::Warn, "warned"),
        (CheckResult::Fail, "failed"),
    ];
    let counts = counts.map(|(result, word)| (those(result).count(), word));
    let counts: Vec<_> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    let first = those(CheckResult::Fail).next().map(|check| format!("{}: {}", check.name, check.detail));
    let told = first.or_else(|| drill.error.clone()).unwrap_or_default();
    (if counts.is_empty() { "none".into() } else { counts.join(", ") }, told)
}

fn row(outcome: &Outcome, drill: &Evidence) -> Vec<Cell> {
    let (class, words) = word(drill.result);
    let (time, time_goal) = measured(drill.rto_milliseconds, drill.objectives.rto_milliseconds);
    let (lost, lost_goal) = measured(drill.rpo_milliseconds, drill.objectives.rpo_milliseconds);
    let (counts, told) = checks(drill);
    let server =
        drill.server_version.as_deref().map_or_else(String::new, |text| format!(", PostgreSQL {}", version(text)));
    let backup = match &drill.backup {
        Some(backup) => Cell::code(backup.id.as_str()).with(format!("{}{server}", backup.kind)),
        None => Cell::text("none found"),
    };
    vec![
        Cell::text(short(drill.started_at)).with(relative(drill.started_at, outcome.at)),
        Cell::judged(class, words).with(drill.replica().unwrap_or_default()),
        Cell::number(time).with(time_goal),
        Cell::number(lost).with(lost_goal),
        Cell::text(counts).with(told),
        backup,
    ]
}

/// How many drills are not told.
pub(super) fn hidden(cluster: &ClusterReport) -> Option<String> {
    let more = cluster.drills.len().saturating_sub(SHOWN);
    (more > 0).then(|| count(more as u64, "drill"))
}

/// The drills that are told, as rows of text.
pub(super) fn rows(cluster: &ClusterReport) -> impl Iterator<Item = Vec<String>> {
    cluster.drills.iter().take(SHOWN).map(|drill| {
        let both = |(measured, allowed): (String, String)| match allowed.as_str() {
            "" => measured,
            allowed => format!("{measured} ({allowed})"),
        };
        let ((counts, told), (_, words)) = (checks(drill), word(drill.result));
        vec![
            short(drill.started_at),
            drill.replica().map_or_else(|| words.to_owned(), |replica| format!("{words} ({replica})")),
            both(measured(drill.rto_milliseconds, drill.objectives.rto_milliseconds)),
            both(measured(drill.rpo_milliseconds, drill.objectives.rpo_milliseconds)),
            if told.is_empty() { counts } else { format!("{counts}: {told}") },
            drill.backup.as_ref().map_or_else(|| "none found".into(), |backup| backup.id.to_string()),
        ]
    })
}

/// When the newest drill of the repository was, and what it measured: for the figures at the top.
pub(super) fn newest(cluster: &ClusterReport, now: Timestamp) -> (String, String, &'static str) {
    let Some(drill) = cluster.own_drills().next() else {
        return ("never".into(), "no restore has been tried out".into(), "bad");
    };
    let (class, words) = word(drill.result);
    let part = |name: &str, value: Option<u64>| value.map(|value| format!("{name} {}", fine(value)));
    let figures = [part("RTO", drill.rto_milliseconds), part("RPO", drill.rpo_milliseconds)];
    let figures = figures.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let below = if figures.is_empty() { drill.error.clone().unwrap_or_default() } else { figures };
    (format!("{words} {}", relative(drill.started_at, now)), below, class)
}
