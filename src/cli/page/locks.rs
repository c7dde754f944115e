//! Locks: until when each backup is safe from everyone, against until when it is needed.

use std::fmt::Write as _;

use jiff::SignedDuration;

use super::axis::Axis;
use super::shapes::{Form, Key, Picture, WIDTH, legend};
use super::words::{count, relative, time};
use crate::commands::parts::Kind;
use crate::commands::report::{BackupRow, ClusterReport, LockState, Outcome};

/// Room for ids.
const LEFT: f64 = 262.0;
const TOP: f64 = 30.0;
const ROW: f64 = 38.0;
const BAR: f64 = 14.0;

/// Backups drawn: those whose locks end first.
const SHOWN: usize = 14;

/// Class and words of a state.
pub(super) fn word(state: LockState) -> (&'static str, &'static str) {
    match state {
        LockState::Unlocked => ("bad", "not locked"),
        LockState::EndsSoon => ("bad", "ends too soon"),
        LockState::ToExtend => ("warn", "to be extended"),
        LockState::Enough => ("good", "long enough"),
        LockState::NotNeeded => ("", "not needed any more"),
        LockState::NoLocks => ("", "no locks in this repository"),
    }
}

/// Backups that are needed, the lock that ends first before all others.
fn needed(cluster: &ClusterReport) -> Vec<&BackupRow> {
    let needed = |row: &&BackupRow| !matches!(row.lock, LockState::NotNeeded | LockState::NoLocks);
    let mut rows: Vec<_> = cluster.backups.iter().filter(needed).collect();
    rows.sort_by_key(|row| (row.locked_until, row.arrived_at));
    rows
}

pub(super) fn section(out: &mut String, outcome: &Outcome, cluster: &ClusterReport, number: usize) {
    if cluster.backups.is_empty() {
        return;
    }
    let _ = writeln!(out, "<section id=\"c{number}-locks\" class=\"card\"><h2>Locks</h2>");
    if cluster.backups.iter().all(|row| row.lock == LockState::NoLocks) {
        out.push_str("<p class=\"note bad\">This repository locks nothing (immutability = none): whoever may delete can delete backups.</p></section>\n");
        return;
    }
    let rows = needed(cluster);
    if rows.is_empty() {
        out.push_str("<p>Nothing that is stored is needed any more.</p></section>\n");
        return;
    }
    out.push_str(
        "<p>While a backup is locked, nobody can delete or change it. The flag marks until when the retention policy needs it; \
         <code>stonewal retention extend</code> lengthens locks up to there.</p>\n",
    );
    out.push_str(&chart(outcome, &rows, number));
    legend(
        out,
        &[
            (Key::Bar("good-bar"), "locked long enough"),
            (Key::Bar("warn-bar"), "locked, to be extended"),
            (Key::Bar("bad-bar"), "ends too soon"),
            (Key::Bar("later-bar"), "needed, not locked yet"),
            (Key::Sign("need-sign", Form::Flag), "needed until"),
        ],
    );
    if rows.len() > SHOWN {
        let more = count((rows.len() - SHOWN) as u64, "lock");
        let _ = writeln!(out, "<p class=\"more\">and {more} that end later; the table of backups has them</p>");
    }
    for line in dependencies(cluster) {
        let _ = writeln!(out, "<p class=\"note\">{}</p>", super::escape::Text(&line));
    }
    holds(out, cluster);
    out.push_str("</section>\n");
}

/// Whose lock ends first of what the newest base backup needs, WAL included, and whether that is before the backup's own.
pub(super) fn dependencies(cluster: &ClusterReport) -> Vec<String> {
    let locks = &cluster.locks;
    let is_dump = locks.kind == Some(Kind::Dump);
    let (newest, kind) =
        if is_dump { ("dump needs", "dump") } else { ("base backup needs, WAL included", "base backup") };
    let soonest = locks.soonest.as_ref().map(|end| {
        format!(
            "Of what the newest {newest}, {} is unlocked first, at {} (of {} asked; verify --locks asks all)",
            end.key,
            time(end.until),
            count(locks.asked, "object")
        )
    });
    let short = locks.short.as_ref().map(|short| {
        let (until, needed) = (time(short.until), time(short.needed_until));
        format!("{} is unlocked at {until}, before the {kind} that needs it until {needed}", short.key)
    });
    let unlocked = locks.unlocked.as_ref().map(|key| format!("{key} is not locked at all"));
    soonest.into_iter().chain(short).chain(unlocked).collect()
}

fn frame(outcome: &Outcome, rows: &[&BackupRow]) -> Axis {
    let ends = rows.iter().flat_map(|row| [row.locked_until, row.needed_until]).flatten();
    let end = ends.max().unwrap_or(outcome.at).max(outcome.at);
    let ahead = end.duration_since(outcome.at).as_secs().max(60);
    let from = outcome.at.checked_sub(SignedDuration::from_secs(ahead / 4)).unwrap_or(outcome.at);
    let to = end.checked_add(SignedDuration::from_secs(ahead / 25)).unwrap_or(end);
    Axis::new(from, to, LEFT, WIDTH - LEFT - 12.0)
}

fn chart(outcome: &Outcome, rows: &[&BackupRow], number: usize) -> String {
    let shown = &rows[..rows.len().min(SHOWN)];
    let axis = frame(outcome, shown);
    #[expect(clippy::cast_precision_loss, reason = "a few rows")]
    let mut picture = Picture::new(TOP + ROW * shown.len() as f64 + 22.0);
    picture.axis(&axis, TOP);
    let mut y = TOP + 10.0;
    for row in shown {
        draw(&mut picture, &axis, y, outcome, row);
        y += ROW;
    }
    picture.now(axis.x(outcome.at), TOP);
    let first = shown.first().map(|row| {
        let until = row.locked_until.map_or_else(|| "never".into(), time);
        format!("The lock that ends first is that of {} {}: {until}.", row.kind, row.backup)
    });
    picture.finish(&format!("c{number}-locks-chart"), "Locks against need", &first.unwrap_or_default())
}

fn draw(picture: &mut Picture, axis: &Axis, y: f64, outcome: &Outcome, row: &BackupRow) {
    let (state, words) = word(row.lock);
    let left = row
        .locked_until
        .map_or_else(|| words.to_owned(), |at| format!("{} ends {}", row.kind, relative(at, outcome.at)));
    picture.text("row-id", (0.0, y + 5.0), row.backup.as_str());
    picture.text("row-below", (0.0, y + 20.0), &left);
    let until = row.locked_until.unwrap_or(row.arrived_at);
    if let Some(needed) = row.needed_until.filter(|needed| *needed > until) {
        let told = format!("needed until {}, locked until {}", time(needed), time(until));
        picture.bar("later-bar", (axis.x(until.max(row.arrived_at)), axis.x(needed)), (y, BAR), &told);
    }
    if row.locked_until.is_some() {
        let told = format!("{} {}: locked until {}, {words}", row.kind, row.backup, time(until));
        let class = match state {
            "bad" => "bad-bar",
            "warn" => "warn-bar",
            _ => "good-bar",
        };
        picture.bar(class, (axis.x(row.arrived_at), axis.x(until)), (y, BAR), &told);
    }
    if let Some(needed) = row.needed_until {
        picture.sign(
            "need-sign",
            Form::Flag,
            (axis.x(needed), y + BAR / 2.0),
            &format!("needed until {}", time(needed)),
        );
    }
}

fn holds(out: &mut String, cluster: &ClusterReport) {
    let held: Vec<String> =
        cluster.backups.iter().filter(|row| row.held).map(|row| format!("{} {}", row.kind, row.backup)).collect();
    if !held.is_empty() {
        let shown =
            held.iter().take(SHOWN).map(|id| super::escape::Text(id).to_string()).collect::<Vec<_>>().join(", ");
        let all = count(held.len() as u64, "backup");
        let _ = writeln!(out, "<p class=\"note\">Under legal hold, whatever the locks say: {all} ({shown})</p>");
    }
}
