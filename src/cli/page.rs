//! The report as one HTML page that stands by itself: no script, no font, no picture and no address from elsewhere, and a
//! policy in its head that forbids them. It is the same page for the same facts.
//!
//! Every text that comes from anywhere passes [`escape::Text`]; only what is written in these files is markup. Shapes say
//! what colours say, and a table stands below every chart.

use std::fmt::Write as _;

use crate::commands::report::{ClusterReport, Outcome};

mod axis;
mod backups;
mod bars;
mod checklist;
mod coverage;
mod dr;
mod drills;
mod escape;
mod findings;
mod locks;
mod markdown;
#[cfg(test)]
pub(in crate::cli) mod samples;
mod shapes;
mod table;
mod verdict;
mod words;

pub(super) use dr::dr;
pub(super) use markdown::{checklists, markdown};

use escape::Text;
use words::time;

const STYLE: &str = include_str!("page/style.css");

/// Nothing may be loaded, sent or run; styles and pictures only from the page itself.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// The page.
pub(super) fn html(outcome: &Outcome) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>Backup report: {location}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{patterns}",
        location = Text(&outcome.location),
        patterns = shapes::PATTERNS,
    );
    head(&mut out, outcome);
    out.push_str("<main>\n");
    if outcome.clusters.is_empty() {
        out.push_str("<section class=\"card\"><h2>No clusters</h2><p>Nothing has been backed up into this repository yet.</p></section>\n");
    }
    if outcome.clusters.len() > 1 {
        contents(&mut out, outcome);
    }
    for (number, cluster) in (1..).zip(&outcome.clusters) {
        article(&mut out, outcome, cluster, number);
    }
    findings::section(&mut out, &outcome.findings);
    out.push_str("</main>\n");
    foot(&mut out, outcome);
    out.push_str("</body>\n</html>\n");
    out
}

fn head(out: &mut String, outcome: &Outcome) {
    let _ = writeln!(
        out,
        "<header class=\"top\">{mark}<div><h1>Backup report</h1><p><code>{location}</code></p></div>\
         <p class=\"when\">as of<br><strong>{at}</strong></p></header>",
        mark = shapes::MARK,
        location = Text(&outcome.location),
        at = time(outcome.at),
    );
}

/// A list of the clusters, where there are several.
fn contents(out: &mut String, outcome: &Outcome) {
    out.push_str("<nav class=\"card\" aria-label=\"Clusters\"><h2>Clusters</h2><ul class=\"clusters\">\n");
    for (number, cluster) in (1..).zip(&outcome.clusters) {
        let health = verdict::health(outcome, cluster);
        let (class, word) = verdict::word(health);
        let _ = writeln!(
            out,
            "<li><a href=\"#c{number}\">{}</a> <span class=\"badge {class}\">{} {word}</span></li>",
            Text(&cluster.cluster),
            verdict::icon(health),
        );
    }
    out.push_str("</ul></nav>\n");
}

fn article(out: &mut String, outcome: &Outcome, cluster: &ClusterReport, number: usize) {
    let _ = writeln!(out, "<article id=\"c{number}\" aria-labelledby=\"c{number}-name\">");
    verdict::section(out, outcome, cluster, number);
    checklist::section(out, cluster, number);
    coverage::section(out, outcome, cluster, number);
    drills::section(out, outcome, cluster, number);
    locks::section(out, outcome, cluster, number);
    backups::section(out, cluster, number);
    out.push_str("</article>\n");
}

fn foot(out: &mut String, outcome: &Outcome) {
    let _ = writeln!(
        out,
        "<footer><p>Made by stonewal {version} from what <code>{location}</code> holds; no server was asked. All times are \
         UTC by the store's clock, unless a server's is named. Only backups that a trusted writer signed count.</p>\
         <p>This page holds no script and loads nothing.</p></footer>",
        version = Text(&outcome.stonewal),
        location = Text(&outcome.location),
    );
}

#[cfg(test)]
mod tests;
