//! The checklist with its ticks.

use std::fmt::Write as _;

use super::escape::{Prose, Text};
use crate::commands::report::{ClusterReport, Point};

const TICK: &str = "<svg class=\"icon\" viewBox=\"0 0 24 24\" aria-hidden=\"true\"><circle cx=\"12\" cy=\"12\" r=\"11\"/><path d=\"M6.5 12.5L10.5 16.5L17.5 8.5\"/></svg>";
const OPEN: &str = "<svg class=\"icon\" viewBox=\"0 0 24 24\" aria-hidden=\"true\"><rect class=\"ground\" x=\"1\" y=\"1\" width=\"22\" height=\"22\" rx=\"5\"/><path d=\"M8 8L16 16M16 8L8 16\"/></svg>";

pub(super) fn section(out: &mut String, cluster: &ClusterReport, number: usize) {
    let _ = write!(
        out,
        "<section id=\"c{number}-checklist\" class=\"card\"><h2>Checklist: {}</h2>\n<ul class=\"checks\">\n",
        sum(&cluster.checklist)
    );
    for point in &cluster.checklist {
        let (class, sign, word) = if point.ticked { ("good", TICK, "done") } else { ("bad", OPEN, "open") };
        let hint = point.hint.map_or_else(String::new, |hint| format!("<p class=\"hint\">{}</p>", Prose(hint)));
        let _ = writeln!(
            out,
            "<li class=\"{class}\">{sign}<div><p><strong>{}</strong> <span class=\"word\">{word}</span></p><p>{}</p>{hint}</div></li>",
            Text(point.title),
            Text(&point.evidence),
        );
    }
    out.push_str("</ul></section>\n");
}

/// `6 of 7`.
pub(super) fn sum(points: &[Point]) -> String {
    format!("{} of {}", points.iter().filter(|point| point.ticked).count(), points.len())
}
