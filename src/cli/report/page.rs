//! `report`: a page, a text or a document; on standard output or in a file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use super::{Report, warnings_of};
use crate::cli::Exit;
use crate::cli::page;
use crate::cli::words::{count, size};
use crate::commands::parts::{ClusterName, Verified};
use crate::commands::report::{ClusterReport, Outcome, Point};

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

/// A table in somebody's document.
#[derive(Debug)]
pub(in crate::cli) struct Dr {
    outcome: Outcome,
    table: String,
    path: PathBuf,
}

impl Dr {
    /// Renders.
    pub(in crate::cli) fn new(outcome: Outcome, path: PathBuf) -> Self {
        Self { table: page::dr(&outcome), outcome, path }
    }

    /// The table.
    pub(in crate::cli) fn table(&self) -> &str {
        &self.table
    }

    /// The document.
    pub(in crate::cli) fn path(&self) -> &Path {
        &self.path
    }
}

impl Serialize for Dr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.outcome.serialize(serializer)
    }
}

impl Report for Dr {
    fn print(&self, out: &mut String) {
        let clusters = count(self.outcome.clusters.len() as u64, "cluster");
        let _ = writeln!(out, "{}: {clusters}", self.path.display());
    }

    fn warnings(&self) -> Vec<String> {
        let never = |cluster: &&ClusterReport| cluster.own_drills().next().is_none() && !cluster.archive;
        let never = self.outcome.clusters.iter().filter(never);
        never.map(|cluster| format!("cluster {} was never drilled: `stonewal drill`", cluster.cluster)).collect()
    }

    fn is_summary(&self) -> bool {
        true
    }
}

/// Checklists alone.
#[derive(Debug)]
pub(in crate::cli) struct Checked {
    outcome: Outcome,
    markdown: bool,
}

impl Checked {
    /// To be printed as Markdown, or as a plain list.
    pub(in crate::cli) fn new(outcome: Outcome, markdown: bool) -> Self {
        Self { outcome, markdown }
    }
}

#[derive(Serialize)]
struct ClusterChecked<'a> {
    cluster: &'a ClusterName,
    archive: bool,
    ticked: bool,
    checklist: &'a [Point],
}

impl Serialize for Checked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let clusters = self.outcome.clusters.iter().map(|of| ClusterChecked {
            cluster: &of.cluster,
            archive: of.archive,
            ticked: of.checklist.iter().all(|point| point.ticked),
            checklist: &of.checklist,
        });
        let mut document = serializer.serialize_struct("Checked", 3)?;
        document.serialize_field("location", &self.outcome.location)?;
        document.serialize_field("at", &self.outcome.at)?;
        document.serialize_field("clusters", &clusters.collect::<Vec<_>>())?;
        document.end()
    }
}

impl Report for Checked {
    fn print(&self, out: &mut String) {
        if self.outcome.clusters.is_empty() {
            let _ = writeln!(out, "no clusters at {}", self.outcome.location);
        }
        if self.markdown {
            out.push_str(&page::checklists(&self.outcome));
            return;
        }
        for cluster in &self.outcome.clusters {
            let archive = if cluster.archive { ": archive of imported backups" } else { "" };
            let _ = writeln!(out, "cluster {} at {}{archive}", cluster.cluster, self.outcome.location);
            for point in &cluster.checklist {
                let _ = writeln!(out, "[{}] {}", if point.ticked { 'x' } else { ' ' }, point.title);
                let _ = writeln!(out, "    {}", point.evidence);
                if let Some(hint) = point.hint {
                    let _ = writeln!(out, "    hint: {hint}");
                }
            }
        }
    }

    fn exit(&self) -> Exit {
        let open = self.outcome.clusters.iter().any(|of| of.checklist.iter().any(|point| !point.ticked));
        if open || self.outcome.clusters.is_empty() { Exit::DoNotPromote } else { Exit::Done }
    }
}
