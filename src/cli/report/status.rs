//! `status`: the verdict, the figures it rests on, and what to do.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use super::{Report, summary};
use crate::cli::Exit;
use crate::cli::words::{between, duration, facts, size, table, time};
use crate::commands::parts::{Lsn, WalStatus};
use crate::commands::status::{Health, Outcome, ServerAnswer, TimelineFacts};

/// Lines of the table of WAL. `--json` has all.
const LINES_SHOWN: usize = 20;

/// Beyond a month the rate of a moment says nothing.
const RATE_SECONDS_MAX: u64 = 30 * 86_400;

impl Report for Outcome {
    fn print(&self, out: &mut String) {
        let _ = writeln!(out, "cluster {} at {}: {}", self.cluster, self.location, word(self.health));
        facts(out, &figures(self));
        wal(out, &self.bucket.timelines);
        for reason in &self.reasons {
            let _ = writeln!(
                out,
                "\n{}  {}: {}\n        hint: {}",
                word(reason.health),
                reason.name,
                reason.text,
                reason.hint
            );
        }
        let unread = self.server.facts().map(|server| server.unread.as_slice()).unwrap_or_default();
        for fact in unread {
            let _ = writeln!(out, "\nnot seen: {}: {}", fact.fact, fact.why);
        }
        if !self.findings.counts.is_empty() {
            let _ = writeln!(out, "\nbeside what belongs there: {}", summary(&self.findings));
        }
    }

    fn exit(&self) -> Exit {
        match self.health {
            Health::Green => Exit::Done,
            Health::Yellow => Exit::Warnings,
            Health::Red => Exit::Failed,
        }
    }
}

fn word(health: Health) -> &'static str {
    match health {
        Health::Green => "green",
        Health::Yellow => "yellow",
        Health::Red => "RED",
    }
}

fn figures(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let bucket = &outcome.bucket;
    let ago = |at: Timestamp| format!("{} ago", between(at, outcome.at));
    let mut lines = Vec::new();
    lines.push(match &bucket.durable {
        Some(durable) => {
            ("durable", format!("{} on timeline {}, since {}", durable.lsn, durable.timeline, ago(durable.arrived_at)))
        }
        None => ("durable", "no WAL".into()),
    });
    server(outcome, &mut lines);
    lines.push(match &bucket.window {
        Some(window) => {
            let latest = match window.latest_commit_at {
                Some(at) => format!("to {} ({})", time(at), window.end),
                None => format!("to {}, without a commit since then", window.end),
            };
            ("restores", format!("from {} {latest}", time(window.earliest_at)))
        }
        None => ("restores", "no moment".into()),
    });
    match bucket.bases.last() {
        Some(base) => {
            let count = bucket.bases.len();
            let of = if count > 1 { format!(", the newest of {count}") } else { String::new() };
            lines.push(("base", format!("{}, {}{of}", base.backup.backup, ago(base.backup.arrived_at))));
        }
        None => lines.push(("base", "none".into())),
    }
    lines
        .extend(bucket.newest_dump.as_ref().map(|dump| ("dump", format!("{}, {}", dump.backup, ago(dump.arrived_at)))));
    if let Some(lock) = &bucket.locks.soonest {
        let asked = bucket.locks.asked;
        lines.push(("locked", format!("until {}, by the first lock to end of {asked} asked", time(lock.until))));
    }
    lines
}

fn server(outcome: &Outcome, lines: &mut Vec<(&'static str, String)>) {
    let server = match &outcome.server {
        ServerAnswer::NotAsked => {
            let what = "not asked: what is not yet in the bucket, slots and archiver are unknown";
            return lines.push(("server", what.into()));
        }
        ServerAnswer::Silent { .. } => return lines.push(("server", "does not answer".into())),
        ServerAnswer::Facts(server) => server,
    };
    let role = if server.standby { "standby" } else { "primary" };
    let unknown = || "?".to_owned();
    let position = server.position.map_or_else(unknown, |lsn: Lsn| lsn.to_string());
    let timeline = server.timeline.map_or_else(unknown, |timeline| timeline.to_string());
    let major = server.version / 10_000;
    lines.push(("server", format!("PostgreSQL {major} {role}, {position} on timeline {timeline}")));
    lines.push(("missing", missing(outcome)));
    if let Some(slot) = server.slot(&outcome.slot) {
        let active = if slot.active { "active" } else { "idle" };
        let kept = slot.retained_bytes.map(|bytes| format!(", keeps {}", size(bytes))).unwrap_or_default();
        let left = match &outcome.headroom {
            Some(headroom) => {
                let seconds = headroom.seconds.filter(|seconds| *seconds <= RATE_SECONDS_MAX);
                let lasts = seconds.map(|s| format!(" ({} at this rate)", duration(Duration::from_secs(s))));
                format!(", {} left{}", size(headroom.bytes), lasts.unwrap_or_default())
            }
            None if slot.wal_status == Some(WalStatus::Lost) => ", LOST".into(),
            None if server.settings.slot_keep_bytes.is_none() => ", no limit".into(),
            None => String::new(),
        };
        lines.push(("slot", format!("{}, {active}{kept}{left}", slot.name)));
    }
    let senders = server.senders.iter().flatten();
    lines.extend(senders.filter_map(|sender| sender.sync_state.as_ref()).map(|state| ("streamer", state.clone())));
    if let Some(archiver) = server.archiver.as_ref().filter(|_| server.settings.archiving) {
        let last = archiver.last_archived_at.map_or_else(|| "nothing yet".into(), |at| format!("last at {}", time(at)));
        let waiting = server.backlog.map(|backlog| format!(", {} waiting", backlog.files)).unwrap_or_default();
        lines.push(("archiver", format!("{} files, {last}{waiting}", archiver.archived)));
    }
}

fn missing(outcome: &Outcome) -> String {
    let Some(lag) = outcome.lag else { return "not known".into() };
    let since = match lag.seconds {
        Some(seconds) => format!("for at most {}", duration(Duration::from_secs(seconds))),
        None => "from the beginning".into(),
    };
    match lag.bytes {
        Some(0) => "nothing: all WAL of the server is in the bucket".into(),
        Some(bytes) => format!("{} of WAL, {since}", size(bytes)),
        None => format!("all WAL of this timeline, {since}"),
    }
}

fn wal(out: &mut String, timelines: &[TimelineFacts]) {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for line in timelines {
        let row = |what: &str, start: Lsn, end: Lsn, bases: String| {
            vec![
                line.timeline.to_string(),
                what.to_owned(),
                start.to_string(),
                end.to_string(),
                size(end.since(start)),
                bases,
            ]
        };
        let windows =
            line.windows.iter().map(|window| (window.start, row("stored", window.start, window.end, String::new())));
        let gaps = line.gaps.iter().map(|gap| {
            let what = if gap.recorded { "GAP, recorded" } else { "GAP, found" };
            (gap.span.start, row(what, gap.span.start, gap.span.end, String::new()))
        });
        let mut all: Vec<_> = windows.chain(gaps).collect();
        all.sort_by_key(|(start, _)| *start);
        if let Some((_, first)) = all.first_mut() {
            first[5] = line.bases.to_string();
        }
        rows.extend(all.into_iter().map(|(_, row)| row));
    }
    if rows.is_empty() {
        return;
    }
    out.push('\n');
    let more = rows.len().saturating_sub(LINES_SHOWN);
    // The newest are the ones to know about.
    table(out, &[">TIMELINE", "WAL", "FROM", "TO", ">SIZE", ">BASES"], &rows[more..]);
    if more > 0 {
        let _ = writeln!(out, "and {more} earlier lines; --json tells all");
    }
}
