//! `init`, `keys writer`, `store serve`.

use std::fmt::Write as _;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::Report;
use crate::cli::words::{facts, time};
use crate::commands::{init, lifecycle, serve, writer};

/// Characters below which a passphrase is called short: what is stored can be guessed at offline, for ever.
const PASSPHRASE_CHARACTERS: usize = 16;

/// What to say of a passphrase that is short.
pub(super) fn too_short(passphrase: &SecretString) -> Option<String> {
    let short = passphrase.expose_secret().chars().count() < PASSPHRASE_CHARACTERS;
    short.then(|| {
        format!(
            "the passphrase has fewer than {PASSPHRASE_CHARACTERS} characters; whoever copies the bucket can guess at it at leisure"
        )
    })
}

/// A repository, and what to say about the passphrase it was made with.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Initialised {
    #[serde(flatten)]
    outcome: init::Outcome,
    warnings: Vec<String>,
}

impl Initialised {
    pub(in crate::cli) fn new(outcome: init::Outcome, passphrase: &SecretString) -> Self {
        let mut warnings = Vec::new();
        if outcome.created_repository {
            warnings.extend(too_short(passphrase));
        }
        if outcome.created_repository && outcome.recipients.len() < 2 {
            let why = "there is one recipient only: if the passphrase is lost, so is every backup; `stonewal keys add --recovery-file FILE --past` makes another";
            warnings.push(why.into());
        }
        Self { outcome, warnings }
    }
}

impl Report for Initialised {
    fn print(&self, out: &mut String) {
        let outcome = &self.outcome;
        let made = if outcome.created_repository { "created" } else { "exists and opens" };
        let _ = writeln!(out, "repository {} {made}", outcome.location);
        let bucket = if outcome.created_bucket { "created, with versions and Object Lock" } else { "was there" };
        let mut lines = vec![
            ("id", outcome.repository.to_string()),
            ("bucket", bucket.to_owned()),
            ("root writer", outcome.root_writer.clone()),
        ];
        lines.extend(outcome.lifecycle.as_ref().map(|installed| ("lifecycle", rule(installed))));
        let forever = |at| format!("until {} (compliance): nobody can shorten that, nor what backups lock", time(at));
        lines.extend(outcome.compliance_until.map(|at| ("locked", forever(at))));
        for recipient in &outcome.recipients {
            lines.push(("recipient", recipient.clone()));
        }
        facts(out, &lines);
        let Some(bundle) = &outcome.bundle else { return };
        let _ = writeln!(out, "\nKeep safe, apart from this bucket and from each other:");
        let _ = writeln!(out, "  - the passphrase, in two places: nobody can restore without it or a recovery file");
        if let Some(file) = &outcome.recovery_file {
            let file = file.display();
            let _ = writeln!(out, "  - {file}, offline: it opens every backup without the passphrase");
        }
        let _ = writeln!(out, "  - a copy of the object {bundle}: with the passphrase, it is the key");
        let _ = writeln!(out, "\nNext: stonewal doctor, then stonewal backup dump");
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}

fn rule(installed: &lifecycle::Installed) -> String {
    if !installed.changed {
        return "the rules that are there remove leftovers and nothing else".into();
    }
    let versions = installed.noncurrent_days.map_or_else(String::new, |days| {
        format!(", what was written over or hidden after {days} days, never before its lock ends")
    });
    let (rule, uploads) = (&installed.rule, installed.upload_days);
    format!("rule {rule} removes unfinished uploads after {uploads} days{versions}")
}

impl Report for writer::Outcome {
    fn print(&self, out: &mut String) {
        let file = self.file.display();
        let _ = writeln!(out, "writer {} for host {}: {file}", self.writer, self.name);
        let _ = writeln!(
            out,
            "Move the file to that host, readable by its backup user only, and set keys.writer_file there; delete it here."
        );
    }
}

impl Report for serve::Outcome {
    fn print(&self, out: &mut String) {
        let _ = writeln!(out, "S3 for development at {} (region {})", self.endpoint, self.region);
        let _ = writeln!(out, "To become a user, read one of these into a shell:");
        for file in &self.environments {
            let _ = writeln!(out, "  . {}", file.display());
        }
    }
}
