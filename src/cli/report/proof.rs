//! `verify restore`: one line per check.

use std::fmt::Write as _;

use super::{Report, warnings_of};
use crate::cli::Exit;
use crate::cli::words::check_word;
use crate::commands::parts::CheckStatus;
use crate::commands::verify_restore::Outcome;

/// Details printed below a check.
const DETAILS_SHOWN: usize = 10;

impl Report for Outcome {
    fn print(&self, out: &mut String) {
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        for check in &self.checks {
            let word = check_word(check.status);
            let _ = writeln!(out, "{word:4}  {:width$}  {}", check.name, check.detail);
            for detail in check.details.iter().take(DETAILS_SHOWN) {
                let _ = writeln!(out, "      {:width$}  {detail}", "");
            }
            if check.details.len() > DETAILS_SHOWN {
                let _ = writeln!(out, "      {:width$}  and more; --json tells", "");
            }
            if let Some(hint) = &check.hint {
                let _ = writeln!(out, "      {:width$}  hint: {hint}", "");
            }
        }
        let verdict = if self.promote { "may be promoted" } else { "do NOT promote" };
        let _ = writeln!(out, "{}: {verdict}", self.database);
    }

    fn warnings(&self) -> Vec<String> {
        warnings_of(&self.findings)
    }

    fn exit(&self) -> Exit {
        match self.status() {
            CheckStatus::Fail => Exit::DoNotPromote,
            CheckStatus::Ok | CheckStatus::Note if self.warnings().is_empty() => Exit::Done,
            CheckStatus::Ok | CheckStatus::Note | CheckStatus::Warn => Exit::Warnings,
        }
    }
}
