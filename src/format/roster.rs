//! The roster: which passphrases count, and to whom data keys are wrapped from now on.
//!
//! Signed by the root writer and numbered. The highest number that authenticates counts, so that a copy of an older one
//! takes nothing back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::signed::{self, Purpose};
use super::{Error, RepositoryId, Result, Tag, WriterPublic};
use crate::limits::{RECIPIENTS_MAX, ROSTER_BYTES_MAX, ROSTER_NAME_BYTES_MAX};

const WHAT: &str = "roster";
const FORMAT: u32 = 1;

/// The roster of a repository. JSON; times are store time, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    /// Format version.
    pub format: u32,
    /// Id of the repository.
    pub repository: RepositoryId,
    /// Its number: 1, and one more with every change.
    pub generation: u64,
    /// When it was made.
    pub made_at: Timestamp,
    /// The recipient whose identity the bundles hold; one of the recipients.
    pub identity: String,
    /// Everybody to whom new data keys are wrapped.
    pub recipients: Vec<RosterRecipient>,
    /// The bundles whose passphrases count.
    pub bundles: Vec<RosterBundle>,
    /// What counted once: newest last.
    pub retired: Vec<Retired>,
}

/// A recipient of new data keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RosterRecipient {
    /// `age1…`
    pub recipient: String,
    /// For people.
    pub name: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// An identity bundle whose passphrase counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RosterBundle {
    /// Which one.
    pub fingerprint: Tag,
    /// For people.
    pub name: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// A recipient or bundle that counts no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retired {
    /// `age1…`, or the fingerprint of a bundle.
    pub what: String,
    /// For people.
    pub name: Option<String>,
    /// Since when it had counted.
    pub since: Timestamp,
    /// Since when it does not.
    pub until: Timestamp,
}

impl Roster {
    /// Format version this code writes and reads.
    pub const FORMAT: u32 = FORMAT;

    /// The stored bytes, signed by the root writer. Refuses whatever [`Roster::decode`] would refuse.
    pub fn encode(&self, root: &WriterPublic, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Result<Vec<u8>> {
        self.check()?;
        let json = serde_json::to_vec(self).map_err(|e| malformed(e.to_string()))?;
        let sealed = signed::seal(Purpose::Roster, json, root, sign);
        match sealed.len() as u64 {
            claimed if claimed > ROSTER_BYTES_MAX => {
                Err(Error::Absurd { what: "length of a roster", claimed, max: ROSTER_BYTES_MAX })
            }
            _ => Ok(sealed),
        }
    }

    /// Reads a roster of `repository` that `root` signed.
    pub fn decode(bytes: &[u8], repository: RepositoryId, root: &WriterPublic) -> Result<Self> {
        let (json, _) = signed::open(Purpose::Roster, bytes, std::slice::from_ref(root))?;
        // The format before the fields: those of a later one are not known, and it must be told from damage.
        let version = serde_json::from_slice::<Version>(json).map_err(|e| malformed(e.to_string()))?.format;
        if version != FORMAT {
            return Err(Error::Version { what: WHAT, version });
        }
        let roster: Self = serde_json::from_slice(json).map_err(|e| malformed(e.to_string()))?;
        if roster.repository != repository {
            return Err(malformed(format!("it is of repository {}", roster.repository)));
        }
        roster.check()?;
        Ok(roster)
    }

    /// Whether the passphrase of the bundle with this fingerprint counts.
    pub fn has_bundle(&self, fingerprint: Tag) -> bool {
        self.bundles.iter().any(|bundle| bundle.fingerprint == fingerprint)
    }

    /// Whether the bundle with this fingerprint was ever one of the repository.
    pub fn knows_bundle(&self, fingerprint: Tag) -> bool {
        self.has_bundle(fingerprint) || self.retired_at(&fingerprint.to_string()).is_some()
    }

    /// When a recipient or bundle was retired.
    pub fn retired_at(&self, what: &str) -> Option<Timestamp> {
        self.retired.iter().rev().find(|retired| retired.what == what).map(|retired| retired.until)
    }

    fn check(&self) -> Result<()> {
        if self.generation == 0 {
            return Err(malformed("its number is 0".into()));
        }
        if self.bundles.is_empty() || !self.recipients.iter().any(|one| one.recipient == self.identity) {
            return Err(malformed("it has no bundle, or not its identity among the recipients".into()));
        }
        if self.recipients.len() > RECIPIENTS_MAX {
            let (claimed, max) = (self.recipients.len() as u64, RECIPIENTS_MAX as u64);
            return Err(Error::Absurd { what: "number of recipients", claimed, max });
        }
        let bundles = self.bundles.iter().map(|bundle| &bundle.name);
        let names = self.recipients.iter().map(|one| &one.name).chain(bundles);
        match names.flatten().find(|name| !is_name(name)) {
            Some(name) => Err(malformed(format!("{name:?} is not a name"))),
            None => Ok(()),
        }
    }
}

/// Whether `text` may be shown as a name: printable and short.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= ROSTER_NAME_BYTES_MAX && !text.chars().any(char::is_control)
}

/// What stands in every version.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

fn malformed(why: String) -> Error {
    Error::Malformed { what: WHAT, why }
}
