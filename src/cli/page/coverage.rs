//! Coverage over time: when recovery is possible, which backups came when, and where WAL is missing.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use super::axis::Axis;
use super::shapes::{Form, Key, Picture, WIDTH, legend};
use super::table::{Cell, table};
use super::words::{count, seconds, short, size, span, time};
use crate::commands::parts::{Kind, Verified};
use crate::commands::report::{ClusterReport, Line, Outcome, Period};

/// Room for the names of the rows.
const LEFT: f64 = 150.0;
const TOP: f64 = 30.0;
const ROW: f64 = 34.0;
const BAR: f64 = 16.0;

/// Timelines drawn, and lines of the table: the newest ones.
const TIMELINES_SHOWN: usize = 8;
const LINES_SHOWN: usize = 20;

/// Bars of one row: what an attacker or years of gaps plant must not make a page of a gigabyte.
const SHAPES_MAX: usize = 2000;

pub(super) fn section(out: &mut String, outcome: &Outcome, cluster: &ClusterReport, number: usize) {
    let _ = writeln!(out, "<section id=\"c{number}-coverage\" class=\"card\"><h2>Coverage</h2>");
    if cluster.backups.is_empty() && cluster.wal.is_empty() {
        out.push_str("<p>Neither a backup nor WAL is stored.</p></section>\n");
        return;
    }
    out.push_str(&chart(outcome, cluster, number));
    legend(
        out,
        &[
            (Key::Bar("good-bar"), "recovery to any moment"),
            (Key::Bar("wal-bar"), "WAL stored"),
            (Key::Bar("hole-bar"), "missing"),
            (Key::Sign("base-sign", Form::Diamond), "base backup"),
            (Key::Sign("dump-sign", Form::Circle), "dump"),
            (Key::Sign("bad-sign", Form::Cross), "backup that is not whole"),
        ],
    );
    wal(out, cluster);
    out.push_str("</section>\n");
}

/// What is drawn: one and a half recovery windows back, or less if there is less.
fn frame(outcome: &Outcome, cluster: &ClusterReport) -> Axis {
    let backups = cluster.backups.iter().map(|row| row.arrived_at);
    let runs = cluster.wal.iter().flat_map(|line| &line.runs).filter_map(|run| run.arrived).map(|arrived| arrived.from);
    let first = backups.chain(runs).min().unwrap_or(outcome.at);
    let back = i64::try_from(cluster.policy_window_seconds).unwrap_or(i64::MAX).saturating_mul(3) / 2;
    let earliest = outcome.at.checked_sub(SignedDuration::from_secs(back)).unwrap_or(Timestamp::MIN);
    let from = first.max(earliest);
    let margin = |share: i64| SignedDuration::from_secs(outcome.at.duration_since(from).as_secs() / share);
    let to = outcome.at.checked_add(margin(40)).unwrap_or(outcome.at);
    Axis::new(from.checked_sub(margin(50)).unwrap_or(from), to, LEFT, WIDTH - LEFT - 12.0)
}

fn chart(outcome: &Outcome, cluster: &ClusterReport, number: usize) -> String {
    let axis = frame(outcome, cluster);
    let skipped = cluster.wal.len().saturating_sub(TIMELINES_SHOWN);
    let lines = &cluster.wal[skipped..];
    #[expect(clippy::cast_precision_loss, reason = "a few rows")]
    let height = TOP + ROW * (3 + lines.len()) as f64 + 22.0;
    let mut picture = Picture::new(height);
    picture.axis(&axis, TOP);
    let mut y = TOP + 8.0;
    picture.text("row", (0.0, y + 13.0), "Recovery possible");
    restorable(&mut picture, &axis, y, &cluster.restorable);
    for (kind, name) in [(Kind::Base, "Base backups"), (Kind::Dump, "Dumps")] {
        y += ROW;
        picture.text("row", (0.0, y + 13.0), name);
        picture.line("rail", (LEFT, y + BAR / 2.0), (WIDTH - 12.0, y + BAR / 2.0));
        backups(&mut picture, &axis, y + BAR / 2.0, cluster, kind);
    }
    for line in lines {
        y += ROW;
        picture.text("row", (0.0, y + 13.0), &format!("WAL, timeline {}", line.timeline));
        stored(&mut picture, &axis, y, line);
    }
    picture.now(axis.x(outcome.at), TOP);
    picture.finish(&format!("c{number}-coverage-chart"), "Coverage over time", &told(outcome, cluster))
}

fn restorable(picture: &mut Picture, axis: &Axis, y: f64, periods: &[Period]) {
    let shown = &periods[periods.len().saturating_sub(SHAPES_MAX)..];
    for pair in shown.windows(2).filter(|pair| axis.holds(pair[1].from)) {
        let told = format!("not possible: {} to {}", time(pair[0].to), time(pair[1].from));
        picture.bar("hole-bar", (axis.x(pair[0].to), axis.x(pair[1].from)), (y, BAR), &told);
    }
    for period in shown.iter().filter(|period| axis.holds(period.to)) {
        let told = format!("recovery to any moment from {} to {}", time(period.from), time(period.to));
        picture.bar("good-bar", (axis.x(period.from), axis.x(period.to)), (y, BAR), &told);
    }
}

fn backups(picture: &mut Picture, axis: &Axis, y: f64, cluster: &ClusterReport, kind: Kind) {
    let those = cluster.backups.iter().rev().filter(|row| row.kind == kind && axis.holds(row.arrived_at));
    for row in those.take(SHAPES_MAX) {
        let told = format!("{} {}, arrived {}, {}", row.kind, row.backup, time(row.arrived_at), size(row.stored_bytes));
        let (class, form, told) = match (&row.whole, kind) {
            (Verified::No(why), _) => ("bad-sign", Form::Cross, format!("{told}: not whole: {why}")),
            (Verified::Yes, Kind::Base) => ("base-sign", Form::Diamond, told),
            (Verified::Yes, Kind::Dump) => ("dump-sign", Form::Circle, told),
        };
        picture.sign(class, form, (axis.x(row.arrived_at), y), &told);
    }
}

fn stored(picture: &mut Picture, axis: &Axis, y: f64, line: &Line) {
    let runs = &line.runs[line.runs.len().saturating_sub(SHAPES_MAX)..];
    for run in runs {
        let Some(arrived) = run.arrived.filter(|arrived| axis.holds(arrived.to)) else { continue };
        let told =
            format!("WAL from {} to {}, arrived {} to {}", run.start, run.end, time(arrived.from), time(arrived.to));
        picture.bar("wal-bar", (axis.x(arrived.from), axis.x(arrived.to)), (y, BAR), &told);
    }
    let missing = &line.missing[line.missing.len().saturating_sub(SHAPES_MAX)..];
    for gap in missing {
        let Some(around) = gap.around.filter(|around| axis.holds(around.to)) else { continue };
        let told = format!("missing: WAL from {} to {} ({})", gap.start, gap.end, size(gap.end.since(gap.start)));
        picture.bar("hole-bar", (axis.x(around.from), axis.x(around.to)), (y - 2.0, BAR + 4.0), &told);
    }
}

/// The picture in words.
fn told(outcome: &Outcome, cluster: &ClusterReport) -> String {
    let of = |kind: Kind| cluster.backups.iter().filter(|row| row.kind == kind).count() as u64;
    let gaps: usize = cluster.wal.iter().map(|line| line.missing.len()).sum();
    let reach = match cluster.restorable.last() {
        Some(last) => format!(
            "the latest period in which recovery is possible runs from {} to {}",
            time(last.from),
            time(last.to)
        ),
        None => "no base backup makes recovery to a moment possible".into(),
    };
    format!(
        "{}, {}, WAL of {} with {}; {reach}; as of {}.",
        count(of(Kind::Base), "base backup"),
        count(of(Kind::Dump), "dump"),
        count(cluster.wal.len() as u64, "timeline"),
        count(gaps as u64, "gap"),
        time(outcome.at),
    )
}

/// One line of the table of WAL.
pub(super) struct Row {
    pub(super) timeline: String,
    pub(super) missing: Option<&'static str>,
    pub(super) start: String,
    pub(super) end: String,
    pub(super) size: String,
    pub(super) when: String,
}

/// Stored and missing WAL, in order; the newest lines, and how many more there are.
pub(super) fn rows(cluster: &ClusterReport) -> (Vec<Row>, usize) {
    let mut rows = Vec::new();
    for line in &cluster.wal {
        let when = |period: Option<Period>| period.map_or_else(|| "not known".into(), between);
        let row = |missing, start: crate::commands::parts::Lsn, end: crate::commands::parts::Lsn, when: String| {
            let (size, timeline) = (size(end.since(start)), line.timeline.to_string());
            (start, Row { timeline, missing, start: start.to_string(), end: end.to_string(), size, when })
        };
        let stored = line.runs.iter().map(|run| row(None, run.start, run.end, when(run.arrived)));
        let missing = line.missing.iter().map(|gap| {
            let word = match (gap.matters, gap.recorded) {
                (true, _) => "missing, and needed",
                (false, true) => "missing, recorded",
                (false, false) => "missing",
            };
            row(Some(word), gap.start, gap.end, when(gap.around))
        });
        let mut of_line: Vec<_> = stored.chain(missing).collect();
        of_line.sort_by_key(|(start, _)| *start);
        rows.extend(of_line.into_iter().map(|(_, row)| row));
    }
    let more = rows.len().saturating_sub(LINES_SHOWN);
    (rows.split_off(more), more)
}

fn between(period: Period) -> String {
    format!("{} to {} ({})", short(period.from), short(period.to), span(seconds(period.from, period.to)))
}

fn wal(out: &mut String, cluster: &ClusterReport) {
    let (rows, more) = rows(cluster);
    if rows.is_empty() {
        out.push_str("<p>No WAL is stored: backups restore to their own end only.</p>\n");
        return;
    }
    let cells = |row: Row| {
        let what = match row.missing {
            Some(word) => Cell::judged("bad", word),
            None => Cell::text("stored"),
        };
        let size = Cell::number(row.size);
        vec![Cell::text(row.timeline), what, Cell::code(row.start), Cell::code(row.end), size, Cell::text(row.when)]
    };
    let rows: Vec<_> = rows.into_iter().map(cells).collect();
    table(out, "Write-ahead log", &["Timeline", "WAL", "From", "To", ">Size", "Arrived (UTC)"], &rows);
    if more > 0 {
        let _ = writeln!(out, "<p class=\"more\">and {} before; --json tells all</p>", count(more as u64, "line"));
    }
}
