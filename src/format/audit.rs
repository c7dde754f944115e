//! Audit records: who did what with a repository, when and why. Each names the digests of those before it.
//!
//! A command leaves two: one when it begins, one when it has ended. A record names every record that its writer saw and that
//! no other names yet, so that hosts which write at the same time fork the chain and whoever comes next joins it again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::signed::{self, ENVELOPE_BYTES, Purpose};
use super::wal::Base64;
use super::{AuditId, ClusterName, Digest, Error, RepositoryId, Result, WriterPublic};
use crate::limits::{
    AUDIT_LINKS_MAX, AUDIT_NAME_BYTES_MAX, AUDIT_NUMBERS_MAX, AUDIT_OBJECTS_MAX, AUDIT_RECORD_BYTES_MAX,
    AUDIT_TEXT_BYTES_MAX,
};

const FORMAT: u32 = 1;
const WHAT: &str = "audit record";

/// Which end of a deed a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditPhase {
    /// It is about to be done.
    Begun,
    /// It was done, or has failed.
    Ended,
}

/// One audit record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRecord {
    /// Version of this form.
    pub format: u32,
    /// Repository.
    pub repository: RepositoryId,
    /// Its own id, which is its name: a copy under another name is not the record.
    pub record: AuditId,
    /// When it was written (store time).
    pub at: Timestamp,
    /// What was done, such as `backup.dump`.
    pub deed: String,
    /// Beginning or end.
    pub phase: AuditPhase,
    /// Of an end, the record of its beginning, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<AuditId>,
    /// The cluster, if one is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterName>,
    /// What it was done to or with.
    pub objects: Vec<AuditObject>,
    /// The system's user.
    pub who: String,
    /// The host.
    pub host: String,
    /// Version of stonewal.
    pub version: String,
    /// Why, in the words of whoever did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of an end, what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<AuditOutcome>,
    /// Until when the record is locked; absent where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<Timestamp>,
    /// The records before it.
    pub previous: Vec<AuditLink>,
    /// The root writer's certificate for the writer that signed; absent where the root signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Base64>,
}

/// Something that a deed was about: a backup, a database, a directory, a writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditObject {
    /// What it is.
    pub kind: String,
    /// Its id or name, without secrets.
    pub name: String,
}

/// What came of a deed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditOutcome {
    /// The exit code.
    pub exit: u8,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How much of what.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<String, u64>,
}

/// An earlier record, as a later one names it. No chain can be a ring: a record would have to hold its own digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditLink {
    /// The earlier record.
    pub record: AuditId,
    /// SHA-256 of its object.
    pub sha256: Digest,
    /// Until when it was locked at first: a record that is gone before that was removed by force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<Timestamp>,
}

impl AuditRecord {
    /// Version of the form that this code writes.
    pub const FORMAT: u32 = FORMAT;

    /// The stored bytes, signed by `writer`.
    pub fn encode(&self, writer: &WriterPublic, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Result<Vec<u8>> {
        self.check()?;
        let json = serde_json::to_vec(self).map_err(|error| malformed(error.to_string()))?;
        Ok(signed::seal(Purpose::Audit, json, writer, sign))
    }

    /// Reads a record signed by one of `trusted`, and tells by which.
    pub fn decode(bytes: &[u8], trusted: &[WriterPublic]) -> Result<(Self, WriterPublic)> {
        if bytes.len() > AUDIT_RECORD_BYTES_MAX {
            return Err(absurd(bytes.len(), AUDIT_RECORD_BYTES_MAX));
        }
        let (json, writer) = signed::open(Purpose::Audit, bytes, trusted)?;
        let version = serde_json::from_slice::<Version>(json).map_err(|error| malformed(error.to_string()))?.format;
        if version != FORMAT {
            return Err(Error::Version { what: WHAT, version });
        }
        let record: Self = serde_json::from_slice(json).map_err(|error| malformed(error.to_string()))?;
        record.check()?;
        Ok((record, writer))
    }

    /// The certificate that a record carries, before anything is known of its writer: worth no more than what it proves.
    pub fn certificate(bytes: &[u8]) -> Option<Vec<u8>> {
        let json = bytes.get(..bytes.len().checked_sub(ENVELOPE_BYTES)?)?;
        let record: Self = serde_json::from_slice(json).ok()?;
        record.certificate.map(|Base64(bytes)| bytes)
    }

    fn check(&self) -> Result<()> {
        if !self.record.written_at(self.at) {
            return Err(malformed("its name and its time differ"));
        }
        if (self.phase == AuditPhase::Ended) != self.outcome.is_some() {
            return Err(malformed("an end has an outcome, and a beginning has none"));
        }
        if self.phase == AuditPhase::Begun && self.begun.is_some() {
            return Err(malformed("a beginning names no beginning"));
        }
        if !is_deed(&self.deed) {
            return Err(malformed("what was done is no word"));
        }
        for (number, max) in [(self.objects.len(), AUDIT_OBJECTS_MAX), (self.previous.len(), AUDIT_LINKS_MAX)] {
            if number > max {
                return Err(absurd(number, max));
            }
        }
        if !self.texts().all(|(text, max)| is_plain(text, max)) {
            return Err(malformed("a text is too long, or holds characters that are not for reading"));
        }
        Ok(())
    }

    /// Every text that someone wrote, with the bound of its length.
    fn texts(&self) -> impl Iterator<Item = (&str, usize)> {
        let outcome = self.outcome.iter().flat_map(|outcome| {
            outcome.error.iter().chain(outcome.numbers.keys()).map(|text| (text.as_str(), AUDIT_TEXT_BYTES_MAX))
        });
        let named = self.objects.iter().flat_map(|object| [&object.kind, &object.name]);
        let named = named.map(|text| (text.as_str(), AUDIT_NAME_BYTES_MAX));
        let own = [Some(&self.who), Some(&self.host), Some(&self.version), self.reason.as_ref()];
        own.into_iter().flatten().map(|text| (text.as_str(), AUDIT_TEXT_BYTES_MAX)).chain(outcome).chain(named)
    }
}

impl AuditObject {
    /// What `kind` and `name` say, cut to fit a record.
    pub fn new(kind: &str, name: &str) -> Self {
        Self { kind: kind.to_owned(), name: plain_text(name, AUDIT_NAME_BYTES_MAX) }
    }
}

impl AuditOutcome {
    /// An outcome, cut to fit a record.
    pub fn new(exit: u8, error: Option<&str>, numbers: &BTreeMap<&'static str, u64>) -> Self {
        let numbers = numbers.iter().take(AUDIT_NUMBERS_MAX).map(|(name, number)| ((*name).to_owned(), *number));
        let error = error.map(|text| plain_text(text, AUDIT_TEXT_BYTES_MAX));
        Self { exit, error, numbers: numbers.collect() }
    }
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

fn malformed(why: impl Into<String>) -> Error {
    Error::Malformed { what: WHAT, why: why.into() }
}

fn absurd(claimed: usize, max: usize) -> Error {
    Error::Absurd { what: WHAT, claimed: claimed as u64, max: max as u64 }
}

/// Words of lower-case letters and dashes with dots between them.
fn is_deed(text: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|c| c.is_ascii_lowercase() || c == b'-');
    text.len() <= 64 && text.split('.').all(word)
}

fn is_plain(text: &str, max: usize) -> bool {
    text.len() <= max && !text.chars().any(is_unreadable)
}

/// Characters that steer a terminal, or make a text read otherwise than it is written.
fn is_unreadable(c: char) -> bool {
    let marks = ['\u{61c}', '\u{feff}', '\u{2028}', '\u{2029}', '\u{200e}', '\u{200f}'];
    c.is_control()
        || marks.contains(&c)
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

/// A text as a record may hold it: one line of at most `max` bytes. What cannot be read becomes a blank, and what is too long
/// ends in `…`.
pub fn plain_text(text: &str, max: usize) -> String {
    let clean: String = text.chars().map(|c| if is_unreadable(c) { ' ' } else { c }).collect();
    let clean = clean.trim();
    if clean.len() <= max {
        return clean.to_owned();
    }
    let room = max.saturating_sub('…'.len_utf8());
    let end = clean.char_indices().map(|(at, _)| at).take_while(|at| *at <= room).last().unwrap_or(0);
    format!("{}…", &clean[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_made_to_fit() {
        assert_eq!(plain_text(" a\nb\u{202e}c\x1b[31m ", 100), "a b c [31m");
        assert_eq!(plain_text("äöü", 6), "äöü");
        assert_eq!(plain_text("äöüß", 7), "äö…");
        for max in 3..40 {
            let cut = plain_text(&"grün und weiß ".repeat(9), max);
            assert!(cut.len() <= max && is_plain(&cut, max), "{cut:?}");
        }
    }

    #[test]
    fn deeds_are_words() {
        for good in ["init", "backup.dump", "keys.writer", "restore.base", "re-encrypt.all"] {
            assert!(is_deed(good), "{good}");
        }
        for bad in ["", ".", "a.", "Backup", "a b", "a=b", &"a".repeat(65)] {
            assert!(!is_deed(bad), "{bad}");
        }
    }
}
