//! `keys`: who can read, and, after a change, what that does not change.

use std::fmt::Write as _;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::Serialize;

use super::setup::too_short;
use super::{Report, warnings_of};
use crate::cli::Exit;
use crate::cli::words::{count, facts, table, time};
use crate::commands::keys::{add, check, list, revoke, rewrap, rotate};

/// How many data keys that do not open are told on the screen.
const CLOSED_TOLD: usize = 20;

/// An outcome, and what to say of the new passphrase.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct WithPassphrase<T> {
    #[serde(flatten)]
    outcome: T,
    warnings: Vec<String>,
}

impl<T> WithPassphrase<T> {
    pub(in crate::cli) fn new(outcome: T, passphrase: Option<&SecretString>) -> Self {
        Self { outcome, warnings: passphrase.and_then(too_short).into_iter().collect() }
    }
}

fn when(at: Option<Timestamp>) -> String {
    at.map_or("-".into(), time)
}

/// A key in AWS KMS by its ARN, which `keys revoke` takes too.
fn shown(recipient: &str) -> &str {
    let kms = recipient.strip_prefix("aws-kms:").and_then(|rest| rest.split_once(':'));
    kms.map_or(recipient, |(_, arn)| arn)
}

impl Report for list::Outcome {
    fn print(&self, out: &mut String) {
        let written = self.generation.map_or("none yet".into(), |number| format!("number {number}"));
        let _ = writeln!(out, "keys of {}", self.location);
        let lines = [
            ("repository", self.repository.to_string()),
            ("roster", written),
            ("root writer", self.root_writer.clone()),
        ];
        facts(out, &lines);
        out.push('\n');
        let name = |key: &list::Key| key.name.clone().unwrap_or_default();
        let state = |key: &list::Key| key.until.map_or("counts".to_owned(), |until| format!("retired {}", time(until)));
        let row =
            |key: &list::Key| vec![key.id.clone(), name(key), when(key.since), state(key), when(key.locked_until)];
        let rows: Vec<_> = self.passphrases.iter().map(row).collect();
        table(out, &["PASSPHRASE", "NAME", "SINCE", "STATE", "LOCKED UNTIL"], &rows);
        out.push('\n');
        let rows = self.recipients.iter().map(|key| {
            let known = if key.is_identity { "the passphrases\u{2019} identity".to_owned() } else { name(key) };
            let keys = key.data_keys.map_or("-".into(), |keys| keys.to_string());
            vec![shown(&key.id).to_owned(), known, when(key.since), state(key), keys]
        });
        table(out, &["RECIPIENT", "NAME", "SINCE", "STATE", ">DATA KEYS"], &rows.collect::<Vec<_>>());
        if let Some(keys) = &self.data_keys {
            let _ = writeln!(
                out,
                "{}, of which {} are known by their names to be wrapped to somebody; a stored key does not say to whom it is wrapped",
                count(keys.total, "data key"),
                keys.known
            );
        }
        if !self.writers.is_empty() {
            out.push('\n');
            let row =
                |one: &list::Writer| vec![one.id.clone(), one.name.clone(), time(one.since), when(one.locked_until)];
            table(out, &["WRITER", "HOST", "SINCE", "LOCKED UNTIL"], &self.writers.iter().map(row).collect::<Vec<_>>());
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = warnings_of(&self.findings);
        let counting = self.recipients.iter().filter(|key| key.until.is_none()).count();
        if counting == 1 {
            warnings.push("data keys are wrapped to one recipient only: a lost passphrase would lose every backup; `stonewal keys add --recovery-file FILE --past` makes another".into());
        }
        if let Some(closed) = self.data_keys.as_ref().map(|keys| keys.closed).filter(|closed| *closed > 0) {
            warnings.push(format!("{} did not open; `stonewal keys check` names them", count(closed, "data key")));
        }
        warnings
    }
}

impl Report for check::Outcome {
    fn print(&self, out: &mut String) {
        let _ = writeln!(out, "{} of {} open, in {}", self.opened, count(self.keys, "data key"), self.location);
        for recipient in &self.reads_as {
            let _ = writeln!(out, "  read as {recipient}");
        }
        print_closed(out, &self.closed, self.closed_count);
        if self.closed_count > 0 && !self.damaged {
            let _ = writeln!(
                out,
                "`stonewal keys rewrap --all`, with keys that open them, wraps them to every recipient that counts"
            );
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = warnings_of(&self.findings);
        if self.counts == Some(false) {
            warnings.push("new backups are not wrapped to these keys".into());
        }
        warnings
    }

    fn exit(&self) -> Exit {
        match (self.damaged, self.closed_count) {
            (true, _) => Exit::Integrity,
            (false, 1..) => Exit::DoNotPromote,
            (false, 0) if self.warnings().is_empty() => Exit::Done,
            (false, 0) => Exit::Warnings,
        }
    }
}

fn print_closed(out: &mut String, closed: &[rewrap::Closed], total: u64) {
    for one in closed.iter().take(CLOSED_TOLD) {
        let _ = writeln!(out, "  does not open: {}, {}", one.of, one.why);
    }
    let told = closed.len().min(CLOSED_TOLD) as u64;
    if total > told {
        let _ = writeln!(out, "  and {} more (--json tells more of them)", total - told);
    }
}

impl Report for rewrap::Outcome {
    fn print(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "{} in {}: {} added, {} had what they need; every one is wrapped to {}",
            count(self.keys, "data key"),
            self.location,
            count(self.added, "wrap"),
            self.already,
            count(self.recipients as u64, "recipient")
        );
        print_closed(out, &self.closed, self.closed_count);
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = warnings_of(&self.findings);
        if self.damaged_count > 0 {
            let keys = count(self.damaged_count, "data key");
            warnings.push(format!(
                "{keys} lost or tampered with: what was sealed under them cannot be read; `stonewal verify` tells of what is stored beside them"
            ));
        }
        let closed = self.closed_count - self.damaged_count;
        if closed > 0 {
            let keys = count(closed, "data key");
            warnings.push(format!("{keys} could not be opened and were not wrapped: they read as before"));
        }
        warnings
    }

    fn exit(&self) -> Exit {
        let damaged = self.damaged_count > 0 || self.findings.iter().any(|finding| finding.kind.is_damage());
        if damaged {
            Exit::Integrity
        } else if self.warnings().is_empty() {
            Exit::Done
        } else {
            Exit::Warnings
        }
    }
}

impl Report for WithPassphrase<add::Outcome> {
    fn print(&self, out: &mut String) {
        let outcome = &self.outcome;
        let what = if outcome.passphrase { "passphrase" } else { "recipient" };
        let done = if outcome.already { "counted already" } else { "added" };
        let _ = writeln!(
            out,
            "{what} {} {done}: roster number {} of {}",
            shown(&outcome.added),
            outcome.generation,
            outcome.location
        );
        if outcome.passphrase {
            let _ = writeln!(
                out,
                "It opens every backup, old and new. Where it is used, keys.bundle may name its fingerprint."
            );
            return;
        }
        let _ = writeln!(out, "New backups and WAL are wrapped to {}.", count(outcome.recipients as u64, "recipient"));
        if let Some(file) = &outcome.recovery_file {
            let _ =
                writeln!(out, "Keep {} offline and prove it: stonewal keys check --identity-file {0}", file.display());
        }
        if let Some(file) = &outcome.kms_file {
            let _ = writeln!(
                out,
                "{} holds no secret: with it, whoever may use the key in AWS KMS reads. Prove it: stonewal keys check --identity-file {0}",
                file.display()
            );
        }
        match &outcome.past {
            Some(past) => past.print(out),
            None => {
                let _ = writeln!(out, "Stored backups are not: `stonewal keys rewrap --all` adds what is missing.");
            }
        }
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.iter().cloned().chain(self.outcome.past.iter().flat_map(Report::warnings)).collect()
    }

    fn exit(&self) -> Exit {
        match &self.outcome.past {
            Some(past) if past.exit() == Exit::Integrity => Exit::Integrity,
            _ if self.warnings().is_empty() => Exit::Done,
            _ => Exit::Warnings,
        }
    }
}

impl Report for WithPassphrase<rotate::Outcome> {
    fn print(&self, out: &mut String) {
        let outcome = &self.outcome;
        let _ = writeln!(
            out,
            "new passphrase {}: roster number {} of {}",
            outcome.bundle, outcome.generation, outcome.location
        );
        for retired in &outcome.retired {
            let _ = writeln!(out, "  passphrase {retired} counts no more: it publishes nothing new");
        }
        let _ = writeln!(
            out,
            "Set BACKUP_PASSPHRASE to the new one wherever the old one is used, and keys.bundle, where it is set, to its fingerprint. Writer files and recovery files stay as they are."
        );
        match &outcome.former_identity {
            Some(former) => {
                let _ = writeln!(out, "New data keys are wrapped to {} instead of {former}.", outcome.identity);
                out.push_str(&stays("The old passphrase", outcome.locked_until));
            }
            None => {
                let _ = writeln!(
                    out,
                    "The identity behind it is the same: whoever knows the old passphrase and may read the bucket still reads old and new backups. `stonewal keys rotate --identity` ends that for new ones."
                );
            }
        }
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}

impl Report for revoke::Outcome {
    fn print(&self, out: &mut String) {
        let what = if self.passphrase { "passphrase" } else { "recipient" };
        let _ = writeln!(
            out,
            "{what} {} counts no more: roster number {} of {}",
            self.revoked, self.generation, self.location
        );
        if self.passphrase {
            let _ = writeln!(
                out,
                "It publishes nothing new. The identity behind it is that of the other passphrases: whoever knows it and may read the bucket still reads old and new backups. `stonewal keys rotate --identity` ends that for new ones."
            );
        } else {
            let _ = writeln!(
                out,
                "New backups and WAL are wrapped to {}; running streamers follow within the hour.",
                count(self.recipients as u64, "recipient")
            );
            out.push_str(&stays("It", self.locked_until));
        }
    }

    fn warnings(&self) -> Vec<String> {
        let one = (self.recipients == 1)
            .then(|| "one recipient is left: a lost passphrase would lose every backup".to_owned());
        one.into_iter().collect()
    }
}

/// What nobody can take back.
fn stays(who: &str, until: Option<Timestamp>) -> String {
    let until = until.map_or(String::new(), |until| {
        format!(" That is locked until as late as {}, or longer where `retention extend` went further.", time(until))
    });
    format!(
        "{who} still opens what is stored by now, for whoever may read the bucket or has copied it.{until} After a real compromise, `stonewal reencrypt` copies backups under fresh keys, and WAL with `--wal`.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key that is lost is not one that "reads as before".
    #[test]
    fn b05_a_rewrap_that_meets_a_damaged_key_fails_as_a_check_does() {
        let mut outcome = rewrap::Outcome {
            location: "s3://backups".into(),
            recipients: 2,
            keys: 3,
            added: 1,
            already: 0,
            closed: Vec::new(),
            closed_count: 1,
            damaged_count: 0,
            findings: Vec::new(),
        };
        assert_eq!(outcome.exit(), Exit::Warnings);
        assert!(outcome.warnings()[0].contains("1 data key could not be opened"), "{:?}", outcome.warnings());
        (outcome.closed_count, outcome.damaged_count) = (2, 2);
        assert_eq!(outcome.exit(), Exit::Integrity);
        let warnings = outcome.warnings();
        assert!(warnings.len() == 1 && warnings[0].starts_with("2 data keys lost or tampered with"), "{warnings:?}");
    }

    #[test]
    fn b05_a_check_tells_damage_from_a_key_of_others() {
        let (location, counts) = ("s3://backups".into(), Some(true));
        let (reads_as, closed, findings) = (Vec::new(), Vec::new(), Vec::new());
        let mut outcome = check::Outcome {
            location,
            reads_as,
            counts,
            keys: 3,
            opened: 3,
            closed,
            closed_count: 0,
            damaged: false,
            findings,
        };
        assert_eq!(outcome.exit(), Exit::Done);
        outcome.closed_count = 1;
        assert_eq!(outcome.exit(), Exit::DoNotPromote);
        outcome.damaged = true;
        assert_eq!(outcome.exit(), Exit::Integrity);
    }
}
