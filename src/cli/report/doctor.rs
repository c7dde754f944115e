//! `doctor`: one line per check.

use std::fmt::Write as _;

use super::Report;
use crate::cli::Exit;
use crate::cli::words::{check_word, table};
use crate::commands::doctor::{Outcome, Status};

impl Report for Outcome {
    fn print(&self, out: &mut String) {
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        for check in &self.checks {
            let status = check_word(check.status);
            let _ = writeln!(out, "{status:4}  {:width$}  {}", check.name, check.detail);
            if let Some(hint) = &check.hint {
                let _ = writeln!(out, "      {:width$}  hint: {hint}", "");
            }
        }
        if !self.capabilities.is_empty() {
            out.push('\n');
            let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
            let rows: Vec<_> =
                self.capabilities.iter().map(|(name, answer)| vec![(*name).to_owned(), yes(*answer)]).collect();
            table(out, &["THIS STORE", ""], &rows);
        }
    }

    fn exit(&self) -> Exit {
        match self.status() {
            Status::Ok | Status::Note => Exit::Done,
            Status::Warn => Exit::Warnings,
            Status::Fail => Exit::Failed,
        }
    }
}
