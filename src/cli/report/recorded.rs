//! Restores, with the audit record of each.

use std::fmt::Write as _;

use serde::Serialize;

use super::Report;
use crate::cli::Exit;
use crate::commands::parts::AuditId;

/// What came of a restore, and the audit record that incident notes name it by.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Recorded<T> {
    #[serde(flatten)]
    pub(in crate::cli) outcome: T,
    #[serde(rename = "audit_record", skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) record: Option<AuditId>,
}

impl<T: Report> Report for Recorded<T> {
    fn print(&self, out: &mut String) {
        self.outcome.print(out);
        if let Some(record) = &self.record {
            let _ = writeln!(out, "  audit record {record}");
        }
    }

    fn warnings(&self) -> Vec<String> {
        self.outcome.warnings()
    }

    fn is_summary(&self) -> bool {
        self.outcome.is_summary()
    }

    fn leaves_stdout_alone(&self) -> bool {
        self.outcome.leaves_stdout_alone()
    }

    fn exit(&self) -> Exit {
        self.outcome.exit()
    }
}
