//! The verdict on one cluster, and the figures that people ask for first.

use std::fmt::Write as _;

use super::escape::{Prose, Text};
use super::words::{count, relative, seconds, short, span, time};
use super::{checklist, drills};
use crate::commands::parts::Kind;
use crate::commands::parts::evidence::EvidenceResult;
use crate::commands::report::{BackupRow, ClusterReport, LockState, Outcome};
use crate::commands::status::Health;

/// Class and word of a verdict.
pub(super) fn word(health: Health) -> (&'static str, &'static str) {
    match health {
        Health::Green => ("good", "all is well"),
        Health::Yellow => ("warn", "needs attention"),
        Health::Red => ("bad", "at risk"),
    }
}

/// A sign of its own form for each verdict.
pub(super) fn icon(health: Health) -> &'static str {
    match health {
        Health::Green => {
            "<svg class=\"icon\" viewBox=\"0 0 24 24\" aria-hidden=\"true\"><circle cx=\"12\" cy=\"12\" r=\"11\"/><path d=\"M6.5 12.5L10.5 16.5L17.5 8.5\"/></svg>"
        }
        Health::Yellow => {
            "<svg class=\"icon\" viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path class=\"ground\" d=\"M12 1.5L23 21.5H1Z\"/><path d=\"M12 8.5V14.5M12 17.4V18.4\"/></svg>"
        }
        Health::Red => {
            "<svg class=\"icon\" viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path class=\"ground\" d=\"M7.5 1H16.5L23 7.5V16.5L16.5 23H7.5L1 16.5V7.5Z\"/><path d=\"M8 8L16 16M16 8L8 16\"/></svg>"
        }
    }
}

fn sentence(outcome: &Outcome, cluster: &ClusterReport) -> String {
    let doubts = doubts(outcome, cluster);
    let well = if cluster.archive {
        "An archive of imported backups: they are kept, and nothing new is asked for"
    } else {
        "As far as the bucket tells, this cluster can be recovered"
    };
    match cluster.health {
        Health::Green if !doubts.is_empty() => {
            format!("{well}, but: {}.", doubts.join("; "))
        }
        Health::Green if cluster.archive => format!("{well}."),
        Health::Green => format!("{well}, and it will stay so."),
        Health::Yellow => "This cluster can be recovered. Something will not stay well by itself.".into(),
        Health::Red => "What is written now may be lost, or cannot be recovered.".into(),
    }
}

/// What is not well beside the reasons of the health: how backups fare is no proof that they restore.
fn doubts(outcome: &Outcome, cluster: &ClusterReport) -> Vec<String> {
    let mut doubts = Vec::new();
    doubts.extend(cluster.own_drills().next().and_then(|drill| match drill.result {
        EvidenceResult::Passed => None,
        EvidenceResult::Failed => Some("the newest drill failed".into()),
        EvidenceResult::Error => Some("the newest drill was not carried out".into()),
    }));
    if let Some(row) = first_to_end(cluster) {
        let what = format!("{} {}", row.kind, row.backup);
        match row.locked_until {
            Some(until) if until <= outcome.at => {
                doubts.push(format!("the lock of {what}, which is needed, has ended"));
            }
            None => doubts.push(format!("{what}, which is needed, is not locked")),
            Some(_) => {}
        }
    }
    let open = open_points(cluster);
    if !open.is_empty() {
        doubts.push(format!("open on the checklist: {}", open.join(", ")));
    }
    doubts
}

fn open_points(cluster: &ClusterReport) -> Vec<&str> {
    cluster.checklist.iter().filter(|point| !point.ticked).map(|point| point.name).collect()
}

/// The verdict: never better than the health, and never the best one with a doubt.
pub(super) fn health(outcome: &Outcome, cluster: &ClusterReport) -> Health {
    match cluster.health {
        Health::Green if !doubts(outcome, cluster).is_empty() => Health::Yellow,
        health => health,
    }
}

pub(super) fn section(out: &mut String, outcome: &Outcome, cluster: &ClusterReport, number: usize) {
    let health = health(outcome, cluster);
    let (class, word) = word(health);
    let identifier = cluster.system_identifier.map(|id| format!(" · system identifier {id}"));
    let _ = write!(
        out,
        "<section id=\"c{number}-verdict\" class=\"card hero {class}\">\n<div class=\"verdict\">{icon}<div>\
         <p class=\"over\">cluster{identifier}</p><h2 id=\"c{number}-name\">{name}</h2></div>\
         <p class=\"badge {class}\">{word}</p></div>\n<p class=\"sentence\">{sentence}</p>\n",
        icon = icon(health),
        name = Text(&cluster.cluster),
        identifier = Text(identifier.unwrap_or_default()),
        sentence = Text(&sentence(outcome, cluster)),
    );
    tiles(out, &figures(outcome, cluster));
    reasons(out, cluster);
    out.push_str("</section>\n");
}

/// One figure: what it is, its value, and a line below it.
pub(super) struct Figure {
    pub(super) label: &'static str,
    pub(super) value: String,
    pub(super) below: String,
    pub(super) class: &'static str,
}

/// The figures that people ask for first.
pub(super) fn figures(outcome: &Outcome, cluster: &ClusterReport) -> Vec<Figure> {
    let newest = |kind: Kind| cluster.backups.iter().rev().find(|row| row.kind == kind);
    let mut figures = Vec::new();
    if !cluster.archive || cluster.window.is_some() || cluster.is_stranded() {
        figures.push(restores(outcome, cluster));
    }
    let ages = [("Newest base backup", newest(Kind::Base)), ("Newest dump", newest(Kind::Dump))];
    figures.extend(ages.into_iter().map(|(label, row)| age(outcome, label, row)));
    let open = open_points(cluster);
    figures.push(Figure {
        label: "Checklist",
        value: checklist::sum(&cluster.checklist),
        below: if open.is_empty() { "all ticked".into() } else { format!("open: {}", open.join(", ")) },
        class: if open.is_empty() { "good" } else { "warn" },
    });
    if !cluster.archive || cluster.own_drills().next().is_some() {
        let (value, below, class) = drills::newest(cluster, outcome.at);
        figures.push(Figure { label: "Last drill", value, below, class });
    }
    figures.extend(first_lock(outcome, cluster));
    figures
}

fn restores(outcome: &Outcome, cluster: &ClusterReport) -> Figure {
    let label = "Any moment of the last";
    let Some(window) = &cluster.window else {
        let class = if cluster.backups.is_empty() { "bad" } else { "warn" };
        return Figure {
            label: "Recovery to any moment",
            value: "not possible".into(),
            below: "no base backup leads anywhere".into(),
            class,
        };
    };
    let latest = window.latest_commit_at.map_or_else(|| "on; no commit since".into(), |at| format!("to {}", short(at)));
    Figure {
        label,
        value: span(seconds(window.earliest_at, outcome.at)),
        below: format!("from {} {latest}", short(window.earliest_at)),
        class: "",
    }
}

fn age(outcome: &Outcome, label: &'static str, row: Option<&BackupRow>) -> Figure {
    match row {
        Some(row) => {
            let value = relative(row.arrived_at, outcome.at);
            Figure {
                label,
                value,
                below: format!("{}; {}", row.backup, super::words::size(row.stored_bytes)),
                class: "",
            }
        }
        None => Figure { label, value: "none".into(), below: "none is stored".into(), class: "" },
    }
}

/// The needed backup whose lock ends first, or that has none where everything should be locked.
fn first_to_end(cluster: &ClusterReport) -> Option<&BackupRow> {
    let needed = cluster.backups.iter().filter(|row| !matches!(row.lock, LockState::NotNeeded | LockState::NoLocks));
    needed.min_by_key(|row| row.locked_until)
}

fn first_lock(outcome: &Outcome, cluster: &ClusterReport) -> Option<Figure> {
    let first = first_to_end(cluster)?;
    let class = if first.lock <= LockState::EndsSoon { "bad" } else { "" };
    let (label, value) = match first.locked_until {
        Some(at) if at <= outcome.at => ("A needed lock", format!("ended {}", relative(at, outcome.at))),
        Some(at) => ("First lock to end", relative(at, outcome.at)),
        None => ("First lock to end", "not locked".into()),
    };
    Some(Figure { label, value, below: format!("{} {}", first.kind, first.backup), class })
}

fn tiles(out: &mut String, figures: &[Figure]) {
    out.push_str("<dl class=\"tiles\">\n");
    for Figure { label, value, below, class } in figures {
        let (value, below) = (Text(value), Text(below));
        let _ = writeln!(
            out,
            "<div class=\"tile {class}\"><dt>{label}</dt><dd><strong>{value}</strong><small>{below}</small></dd></div>"
        );
    }
    out.push_str("</dl>\n");
}

fn reasons(out: &mut String, cluster: &ClusterReport) {
    if let Some(why) = &cluster.no_plan {
        let _ = writeln!(out, "<p class=\"note bad\">There is no retention plan: {}</p>", Text(why));
    }
    if cluster.reasons.is_empty() {
        return;
    }
    let _ = writeln!(out, "<h3>{}</h3>\n<ul class=\"reasons\">", count(cluster.reasons.len() as u64, "reason"));
    for reason in &cluster.reasons {
        let (class, _) = word(reason.health);
        let _ = writeln!(
            out,
            "<li class=\"{class}\">{icon}<div><p><code>{name}</code> {text}</p><p class=\"hint\">{hint}</p></div></li>",
            icon = icon(reason.health),
            name = Text(reason.name),
            text = Text(&reason.text),
            hint = Prose(&reason.hint),
        );
    }
    out.push_str("</ul>\n");
}

/// The verdict in one line, for a text.
pub(super) fn line(outcome: &Outcome, cluster: &ClusterReport) -> String {
    let (_, word) = word(health(outcome, cluster));
    let archive = if cluster.archive { "archive of imported backups, " } else { "" };
    format!("{archive}{word}, as of {}", time(outcome.at))
}
