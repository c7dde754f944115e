//! What came of a command, for people, and what exit code that means.

use serde::Serialize;

use super::Exit;
use crate::commands::parts::{Finding, Findings};

mod audit;
mod bases;
mod doctor;
mod drill;
mod import;
mod import_base;
mod jobs;
mod keys;
mod list;
mod locks;
mod page;
mod proof;
mod recorded;
mod replica;
mod retention;
mod setup;
mod show;
mod status;
mod stream;
mod unlocking;
mod verify;
mod wal;

pub(super) use audit::AuditCsv;
pub(super) use jobs::ToStdout;
pub(super) use keys::WithPassphrase;
pub(super) use page::{Checked, Dr, Form, Page};
pub(super) use recorded::Recorded;
pub(super) use setup::Initialised;

/// An outcome that can be printed. As JSON it is serialised as it is.
pub(super) trait Report: Serialize {
    /// The text for people.
    fn print(&self, out: &mut String);

    /// What is worth knowing although the command did its work.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether it only sums up what was done, so that `--quiet` leaves it out.
    fn is_summary(&self) -> bool {
        false
    }

    /// Whether standard output carries the data itself.
    fn leaves_stdout_alone(&self) -> bool {
        false
    }

    /// How the run ended.
    fn exit(&self) -> Exit {
        if self.warnings().is_empty() { Exit::Done } else { Exit::Warnings }
    }
}

/// Findings as warnings. What an interrupted backup leaves is none.
fn warnings_of<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Vec<String> {
    findings.into_iter().filter(|finding| !finding.kind.is_stray()).map(finding_line).collect()
}

/// One finding on one line.
fn finding_line(finding: &Finding) -> String {
    let tampering = if finding.kind.is_tampering() { "tampering: " } else { "" };
    // A name with a line break in it must not look like a line of ours.
    format!("{tampering}{finding}").replace(['\n', '\t'], " ")
}

/// Whether there is anything beyond the harmless leftovers of interrupted backups.
fn deserve_a_look(findings: &Findings) -> bool {
    findings.counts.keys().any(|kind| !kind.is_stray())
}

/// `3 objects overwritten, 1 forged manifests`.
fn summary(findings: &Findings) -> String {
    let kinds: Vec<_> = findings.counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let least = if findings.is_cut() { "at least " } else { "" };
    format!("{least}{}", kinds.join(", "))
}
