//! `import`.

use std::fmt::Write as _;

use super::Report;
use crate::cli::words::{facts, lock, ratio, size, time};
use crate::commands::import::Outcome;

impl Report for Outcome {
    fn print(&self, out: &mut String) {
        let mut lines = Vec::new();
        match (&self.backup, &self.target) {
            (Some(sealed), _) => {
                let _ = writeln!(out, "{} is backup {} of cluster {}", self.file, sealed.backup, sealed.cluster);
                let (plain, stored) = (self.plain_bytes, sealed.stored_bytes);
                lines.push((
                    "stored",
                    format!("{} of {} plain ({} : 1)", size(stored), size(plain), ratio(plain, stored)),
                ));
                lines.push(("locked", lock(sealed.lock.as_ref())));
            }
            (None, target) => {
                let _ = writeln!(out, "{} is restored", self.file);
                lines.extend(target.iter().map(|target| ("target", target.clone())));
                lines.push(("plain", size(self.plain_bytes)));
            }
        }
        lines.extend(self.taken_at.map(|at| ("taken", time(at))));
        lines.push(("key", self.derivation.clone()));
        lines.push(("sha256", self.sha256.clone()));
        facts(out, &lines);
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn is_summary(&self) -> bool {
        true
    }
}
