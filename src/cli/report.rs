//! What came of a command, for people, and what exit code that means.

use serde::Serialize;

use super::Exit;
use crate::commands::parts::{BackupId, Finding, Findings};
use crate::commands::read_back::ReadBack;

mod audit;
mod bases;
mod cost;
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
mod reencrypt;
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

/// Whether it was as it was stored.
fn read_back(read: &ReadBack) -> String {
    let found = if read.whole { "whole: every object has the bytes that were sent" } else { "DAMAGED" };
    found.to_owned()
}

/// What is wrong with a backup that was read back.
fn told_of(backup: &BackupId, read: Option<&ReadBack>) -> Vec<String> {
    let Some(read) = read else { return Vec::new() };
    let mut lines = warnings_of(&read.findings.details);
    if !read.whole {
        lines.push(format!("backup {backup} is not in the store as it was sent: do not count on it. `stonewal doctor` examines the store; back up again, elsewhere if this comes back"));
    }
    lines
}

/// How a backup ended that may have been read back.
fn exit_of(warnings: &[String], read: Option<&ReadBack>) -> Exit {
    match read {
        Some(read) if !read.whole => Exit::Integrity,
        _ if warnings.is_empty() => Exit::Done,
        _ => Exit::Warnings,
    }
}

/// `3 objects overwritten, 1 forged manifests`.
fn summary(findings: &Findings) -> String {
    let kinds: Vec<_> = findings.counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let least = if findings.is_cut() { "at least " } else { "" };
    format!("{least}{}", kinds.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PAINS A14: what came back other than it was sent is no warning.
    #[test]
    fn a_backup_that_was_not_kept_ends_as_a_breach_of_integrity() {
        let read = |whole| ReadBack { whole, findings: Findings::default() };
        let id = "20261124T031500Z-5b0c6f2e".parse().unwrap();
        for (read, exit) in [(None, Exit::Done), (Some(read(true)), Exit::Done), (Some(read(false)), Exit::Integrity)] {
            let told = told_of(&id, read.as_ref());
            assert_eq!(exit_of(&told, read.as_ref()), exit);
            assert_eq!(told.len(), usize::from(exit == Exit::Integrity));
            assert!(told.iter().all(|line| line.contains("20261124T031500Z-5b0c6f2e")), "{told:?}");
        }
        assert_eq!(exit_of(&["x".into()], None), Exit::Warnings);
    }
}
