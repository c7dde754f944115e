//! `report`: a page, a text or a document; on standard output or in a file.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::{Report, warnings_of};
use crate::cli::page;
use crate::cli::words::{count, size};
use crate::commands::parts::Verified;
use crate::commands::report::Outcome;

/// Form of a report for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Form {
    /// For a browser.
    Html,
    /// For a wiki or a ticket.
    Markdown,
}

/// A report and what it is to become.
#[derive(Debug)]
pub(in crate::cli) struct Page {
    outcome: Outcome,
    text: String,
    written: Option<PathBuf>,
}

impl Page {
    /// Renders.
    pub(in crate::cli) fn new(outcome: Outcome, form: Form) -> Self {
        let text = match form {
            Form::Html => page::html(&outcome),
            Form::Markdown => page::markdown(&outcome),
        };
        Self { outcome, text, written: None }
    }

    /// What it reads.
    pub(in crate::cli) fn text(&self) -> &str {
        &self.text
    }

    /// It was written there, and is not printed.
    pub(in crate::cli) fn written_to(self, path: PathBuf) -> Self {
        Self { written: Some(path), ..self }
    }
}

impl Serialize for Page {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.outcome.serialize(serializer)
    }
}

impl Report for Page {
    fn print(&self, out: &mut String) {
        match &self.written {
            Some(path) => {
                let clusters = count(self.outcome.clusters.len() as u64, "cluster");
                let _ = writeln!(out, "{}: {clusters}, {}", path.display(), size(self.text.len() as u64));
            }
            None => out.push_str(&self.text),
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for cluster in &self.outcome.clusters {
            for row in &cluster.backups {
                if let Verified::No(why) = &row.whole {
                    lines.push(format!("backup {} of cluster {} is not whole: {why}", row.backup, cluster.cluster));
                }
            }
            let refused = cluster.no_plan.iter();
            lines.extend(refused.map(|why| format!("cluster {}: no retention plan: {why}", cluster.cluster)));
        }
        lines.extend(warnings_of(&self.outcome.findings.details));
        lines
    }

    fn is_summary(&self) -> bool {
        self.written.is_some()
    }
}
