//! `cost`: where it lies, what becomes of it, and what is not ours.

use std::fmt::Write as _;

use super::Report;
use crate::cli::words::{count, size, table, time};
use crate::commands::cost::{Amount, Area, Foreign, ForeignKind, LocksBy, Outcome, Part, Place, Share};

/// Lines of places. `--json` has all.
const LINES_SHOWN: usize = 50;

impl Report for Outcome {
    fn print(&self, out: &mut String) {
        if self.areas.is_empty() {
            let _ = writeln!(out, "nothing is stored at {}", self.location);
        } else {
            let _ = writeln!(out, "{}, as of {}", self.location, time(self.at));
            places(out, self);
            classes(out, self);
            fates(out, self);
        }
        if let Some(why) = &self.uploads.why_not {
            let _ = writeln!(out, "unfinished uploads: {why}");
        }
        if self.unjudged.versions > 0 {
            let (versions, bytes) = (count(self.unjudged.versions, "version"), size(self.unjudged.bytes));
            let why = if self.planned { "of clusters not planned, or too many to look at" } else { "keys tell" };
            let _ = writeln!(out, "{versions} of {bytes} over other WAL: copies of `reencrypt --wal` or not ({why})");
        }
        if !self.unpriced.is_empty() {
            let classes: Vec<&str> = self.unpriced.iter().map(String::as_str).collect();
            let _ = writeln!(out, "no price is set for {} (retention.price_by_class)", classes.join(", "));
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.foreign.iter().map(foreign).collect();
        if let (Some(number @ 1..), Some(oldest), Some(key)) =
            (self.uploads.unfinished, self.uploads.oldest, &self.uploads.example)
        {
            lines.push(format!(
                "{} begun and not completed, the oldest at {} ({}): stonewal begins none",
                count(number, "multipart upload"),
                time(oldest),
                on_one_line(key)
            ));
        }
        lines
    }
}

/// A name with a line break in it must not look like a line of ours.
fn on_one_line(key: &str) -> String {
    key.replace(['\n', '\t'], " ")
}

fn foreign(found: &Foreign) -> String {
    let (versions, bytes, key) = (count(found.count, "version"), size(found.bytes), on_one_line(&found.example));
    match found.kind {
        ForeignKind::UnknownName => format!("{versions} of {bytes} with names that are none of ours, such as {key}"),
        ForeignKind::UnknownCluster => {
            format!("{versions} of {bytes} in folders of clusters that are none, such as {key}")
        }
        ForeignKind::LaterVersion => format!("{versions} of {bytes} written over other objects, such as {key}"),
        ForeignKind::DeleteMarker => format!("{} laid on objects, such as {key}", count(found.count, "delete marker")),
        ForeignKind::Stray => {
            let backups = count(found.count, "backup");
            format!(
                "{bytes} in {backups} that no manifest names, such as in {key}: `stonewal verify` names every object"
            )
        }
    }
}

/// An amount of money.
fn money(sum: Option<f64>) -> Vec<String> {
    sum.map(|sum| format!("{sum:.2}")).into_iter().collect()
}

fn places(out: &mut String, outcome: &Outcome) {
    let row = |area: &Area| {
        let Area { current, noncurrent, markers, .. } = area;
        let versions = (current.versions + noncurrent.versions).to_string();
        let cells = vec![
            place(area.place.as_ref()),
            size(current.bytes),
            size(noncurrent.bytes),
            versions,
            markers.to_string(),
        ];
        cells.into_iter().chain(money(area.per_month)).collect::<Vec<_>>()
    };
    let more = outcome.areas.len().saturating_sub(LINES_SHOWN);
    // What is of no cluster stands last.
    let shown = outcome.areas.iter().skip(more).chain([&outcome.total]);
    let mut headings = vec!["WHERE", ">CURRENT", ">NONCURRENT", ">VERSIONS", ">MARKERS"];
    headings.extend(outcome.total.per_month.map(|_| ">PER MONTH"));
    table(out, &headings, &shown.map(row).collect::<Vec<_>>());
    if more > 0 {
        let _ = writeln!(out, "and {more} lines before these; --json tells all");
    }
}

fn place(place: Option<&Place>) -> String {
    let Some(Place { cluster, part }) = place else { return "all".into() };
    let part = match part {
        Part::Backups => "backups",
        Part::Wal => "WAL",
        Part::Evidence => "evidence",
        Part::MoreClusters => "more clusters",
        Part::Keys => "keys",
        Part::Records => "records",
        Part::Audit => "audit",
        Part::Canary => "canaries",
        Part::Unknown => "unknown",
    };
    cluster.as_ref().map_or_else(|| part.to_owned(), |cluster| format!("{cluster}: {part}"))
}

fn classes(out: &mut String, outcome: &Outcome) {
    let classes = &outcome.total.classes;
    if classes.keys().all(|class| class == "STANDARD") {
        return;
    }
    out.push('\n');
    let row =
        |(class, amount): (&String, &Amount)| vec![class.clone(), size(amount.bytes), amount.versions.to_string()];
    table(out, &["STORAGE CLASS", ">STORED", ">VERSIONS"], &classes.iter().map(row).collect::<Vec<_>>());
}

fn fates(out: &mut String, outcome: &Outcome) {
    let shares = &outcome.shares;
    let left = if outcome.planned { "in no plan" } else { "not planned" };
    let all =
        [("kept", &shares.kept), ("expires", &shares.expires), (left, &shares.left), ("not ours", &shares.foreign)];
    let row = |(word, share): &(&str, &Share)| {
        let ends = |at: Option<jiff::Timestamp>| at.map_or_else(String::new, time);
        let (stored, versions) = (size(share.all.bytes), share.all.versions.to_string());
        let mut cells = vec![(*word).to_owned(), stored, versions, size(share.locked.bytes)];
        cells.extend([ends(share.first_ends), ends(share.last_ends)]);
        cells.extend(money(share.cost_until_then));
        cells
    };
    let some = all.iter().filter(|(_, share)| share.all.versions > 0);
    let mut headings = vec!["PLAN", ">STORED", ">VERSIONS", ">LOCKED", "FIRST ENDS", "LAST ENDS"];
    headings.extend(shares.kept.cost_until_then.map(|_| ">COST UNTIL THEN"));
    out.push('\n');
    table(out, &headings, &some.map(row).collect::<Vec<_>>());
    out.push_str(match (outcome.locks, outcome.planned) {
        (LocksBy::Asked, _) => "every version was asked for its lock\n",
        (LocksBy::Projected, true) => "locks as the plan and the settings have them; --locks asks every version\n",
        (LocksBy::Projected, false) => "without a key nothing is planned; --locks asks every version for its lock\n",
        (LocksBy::Nothing, _) => "nothing of this repository is locked\n",
    });
    let held: u64 = all.iter().map(|(_, share)| share.held.versions).sum();
    if held > 0 {
        let _ = writeln!(out, "only a legal hold keeps {}", count(held, "version"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Exit;
    use crate::commands::cost::{Shares, Uploads};

    fn amount(versions: u64, bytes: u64) -> Amount {
        Amount { versions, bytes }
    }

    fn area(place: Option<Place>, current: Amount, per_month: Option<f64>) -> Area {
        let classes = [("STANDARD".to_owned(), current)].into();
        Area { place, current, noncurrent: amount(0, 0), markers: 0, classes, per_month }
    }

    fn outcome(priced: bool) -> Outcome {
        let at: jiff::Timestamp = "2026-11-29T14:00:00Z".parse().unwrap();
        let money = |sum: f64| priced.then_some(sum);
        let place =
            |cluster: Option<&str>, part| Some(Place { cluster: cluster.map(|name| name.parse().unwrap()), part });
        let kept = Share {
            all: amount(3, 2048),
            locked: amount(3, 2048),
            first_ends: Some(at),
            last_ends: Some(at),
            cost_until_then: money(1.5),
            ..Share::default()
        };
        Outcome {
            location: "s3://backups/prod/".into(),
            at,
            areas: vec![
                area(place(Some("main"), Part::Wal), amount(2, 1024), money(0.25)),
                area(place(None, Part::Keys), amount(1, 1024), money(0.25)),
            ],
            total: area(None, amount(3, 2048), money(0.5)),
            locks: LocksBy::Projected,
            planned: true,
            shares: Shares { kept, ..Shares::default() },
            foreign: Vec::new(),
            unjudged: Amount::default(),
            uploads: Uploads { unfinished: Some(0), ..Uploads::default() },
            unpriced: std::collections::BTreeSet::new(),
        }
    }

    fn text(outcome: &Outcome) -> String {
        let mut text = String::new();
        outcome.print(&mut text);
        text
    }

    #[test]
    fn a_clean_repository_is_two_tables_and_money_needs_a_price() {
        let plain = outcome(false);
        let expected = "\
s3://backups/prod/, as of 2026-11-29 14:00:00Z
WHERE      CURRENT  NONCURRENT  VERSIONS  MARKERS
main: WAL  1.0 KiB         0 B         2        0
keys       1.0 KiB         0 B         1        0
all        2.0 KiB         0 B         3        0

PLAN   STORED  VERSIONS   LOCKED  FIRST ENDS            LAST ENDS
kept  2.0 KiB         3  2.0 KiB  2026-11-29 14:00:00Z  2026-11-29 14:00:00Z
locks as the plan and the settings have them; --locks asks every version
";
        assert_eq!(text(&plain), expected);
        assert_eq!((plain.exit(), plain.warnings().len()), (Exit::Done, 0));
        let priced = text(&outcome(true));
        assert!(
            priced.contains("PER MONTH") && priced.contains("COST UNTIL THEN") && priced.contains("1.50"),
            "{priced}"
        );
        let json = serde_json::to_value(outcome(true)).unwrap();
        assert_eq!((&json["areas"][0]["cluster"], &json["areas"][0]["part"]), (&"main".into(), &"wal".into()));
        assert!(json["total"].get("part").is_none() && json["shares"]["kept"]["bytes"] == 2048, "{json}");
    }

    /// PAINS E1, E3.
    #[test]
    fn what_does_not_belong_there_is_told_with_an_example() {
        let mut found = outcome(false);
        let kinds = [
            ForeignKind::UnknownName,
            ForeignKind::UnknownCluster,
            ForeignKind::LaterVersion,
            ForeignKind::DeleteMarker,
            ForeignKind::Stray,
        ];
        found.foreign = kinds.map(|kind| Foreign { kind, count: 2, bytes: 1024, example: "a\nerror: b".into() }).into();
        found.uploads =
            Uploads { unfinished: Some(1), oldest: Some(found.at), example: Some("prod/x".into()), why_not: None };
        found.unpriced.insert("GLACIER".into());
        found.total.classes.insert("GLACIER".into(), amount(1, 1));
        found.unjudged = amount(2, 1024);
        let lines = found.warnings();
        assert_eq!(lines[0], "2 versions of 1.0 KiB with names that are none of ours, such as a error: b");
        assert_eq!(lines[3], "2 delete markers laid on objects, such as a error: b");
        assert!(lines[4].starts_with("1.0 KiB in 2 backups that no manifest names"), "{lines:?}");
        let upload = "1 multipart upload begun and not completed, the oldest at 2026-11-29 14:00:00Z (prod/x): stonewal begins none";
        assert_eq!((lines[5].as_str(), lines.len(), found.exit()), (upload, 6, Exit::Warnings));
        let text = text(&found);
        assert!(text.contains("2 versions of 1.0 KiB over other WAL: copies of `reencrypt --wal` or not"), "{text}");
        assert!(text.contains("STORAGE CLASS") && text.contains("no price is set for GLACIER"), "{text}");

        found.foreign.clear();
        found.uploads = Uploads { why_not: Some("not shown".into()), ..Uploads::default() };
        assert!(found.exit() == Exit::Done && super::tests::text(&found).contains("unfinished uploads: not shown"));
    }
}
