//! Identifiers that appear in object names and headers.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use ring::digest;
use serde::{Deserialize, Serialize};

use super::{Error, Result};

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The reverse of [`hex`] for exactly `N` bytes; upper case is refused, so that one value has one spelling.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(|d| matches!(d, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// A fixed-size binary identifier that reads and prints as hexadecimal.
macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Length in bytes.
            pub const BYTES: usize = $bytes;

            /// From raw bytes.
            pub const fn new(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The raw bytes.
            pub fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                unhex(text).map(Self).ok_or_else(|| Error::Malformed {
                    what: $what,
                    why: format!("{text:?} is not {} lower-case hexadecimal digits", 2 * $bytes),
                })
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

hex_id!(
    /// Random name of a repository, the same on all its replicas.
    RepositoryId, 16, "repository id"
);
hex_id!(
    /// Names a data key and commits to it: the first half of SHA-256 over a label and the key. A planted wrap that
    /// holds another key is found out by this.
    KeyId, 16, "key id"
);
hex_id!(
    /// Random, unique for every stream: the salt of its key.
    StreamId, 16, "stream id"
);
hex_id!(
    /// The random part of an object name, which makes every name fresh.
    Tag, 8, "random part of an object name"
);
hex_id!(
    /// Random, unique for every digest of plain text: without it equal texts would have equal digests.
    Salt, 16, "salt"
);
hex_id!(
    /// Random, one for the digests of tables of one backup: who does not know it cannot choose rows that come to the same.
    DigestKey, 32, "key of digests"
);
hex_id!(
    /// What the rows of a table come to (docs/FORMAT.md, "Digests of tables").
    RowSum, 32, "digest of a table"
);
hex_id!(
    /// Public half of a writer key (Ed25519, RFC 8032).
    WriterPublic, 32, "writer key"
);

impl WriterPublic {
    /// Short name of the key: the first 8 bytes of its SHA-256.
    pub fn id(&self) -> String {
        hex(&digest::digest(&digest::SHA256, &self.0).as_ref()[..8])
    }
}

/// Text identifier with a grammar.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// As it appears in names and headers.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                match $check(text) {
                    Ok(()) => Ok(Self(text.to_owned())),
                    Err(why) => Err(Error::Malformed { what: $what, why: format!("{text:?} {why}") }),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

text_id!(
    /// The operator's name for one PostgreSQL cluster: 1 to 63 of `a-z 0-9 . _ -`, beginning with a letter or digit.
    ClusterName, "cluster name", check_cluster
);
text_id!(
    /// Name of a stream within its backup: same characters as a cluster name.
    StreamName, "stream name", check_word
);
text_id!(
    /// Name of a backup: when it started (store time) and a random part, `20261124T031500Z-5b0c6f2e`. Sorts by time.
    BackupId, "backup id", check_moment
);
text_id!(
    /// Name of evidence, of the same form.
    EvidenceId, "evidence id", check_moment
);

text_id!(
    /// Name of an audit record: when it was written (store time) and a random part, `20261124T031500Z-5b0c6f2e00112233`.
    /// Sorts by time.
    AuditId, "audit record id", check_audit
);

impl AuditId {
    /// The id of a record that is written at `at` (store time).
    pub fn new(at: Timestamp, random: Tag) -> Self {
        Self(format!("{}-{random}", stamp(at)))
    }

    /// Whether this is the id of a record written at `at`.
    pub fn written_at(&self, at: Timestamp) -> bool {
        self.0.split_once('-').is_some_and(|(written, _)| written == stamp(at))
    }

    /// When the record was written, to the second, as the id says; `None` where that is no time.
    pub fn time(&self) -> Option<Timestamp> {
        self.0.split_once('-').and_then(|(written, _)| written.parse().ok())
    }

    /// What the ids of records written at `at` begin with: all of them sort behind it.
    pub fn stamp(at: Timestamp) -> String {
        stamp(at)
    }
}

/// Ids that tell when something began and are fresh by a random part.
macro_rules! moment_id {
    ($name:ident) => {
        impl $name {
            /// The id of what started at `at` (store time).
            pub fn new(at: Timestamp, random: [u8; 4]) -> Self {
                Self(format!("{}-{}", stamp(at), hex(&random)))
            }

            /// Whether this is the id of something that started at `at`.
            pub fn began_at(&self, at: Timestamp) -> bool {
                self.0.split_once('-').is_some_and(|(begun, _)| begun == stamp(at))
            }

            /// The random part.
            pub fn random(&self) -> Option<[u8; 4]> {
                self.0.split_once('-').and_then(|(_, random)| unhex(random))
            }

            /// When it started, to the second, as the id says; `None` where that is no time.
            pub fn time(&self) -> Option<Timestamp> {
                self.0.split_once('-').and_then(|(begun, _)| begun.parse().ok())
            }
        }
    };
}

moment_id!(BackupId);
moment_id!(EvidenceId);

fn stamp(at: Timestamp) -> String {
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn check_word(text: &str) -> Result<(), &'static str> {
    let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    match text.as_bytes() {
        [first, rest @ ..] if good(*first) && rest.len() < 63 => {
            if rest.iter().all(|&c| good(c) || b"._-".contains(&c)) {
                Ok(())
            } else {
                Err("may hold only a-z, 0-9, '.', '_' and '-'")
            }
        }
        _ => Err("must have 1 to 63 characters and begin with a-z or 0-9"),
    }
}

fn check_cluster(text: &str) -> Result<(), &'static str> {
    // These are folders of the repository itself.
    if ["repository", "identities", "keys", "writers", "roster", "canary", "audit"].contains(&text) {
        return Err("is reserved");
    }
    check_word(text)
}

fn check_moment(text: &str) -> Result<(), &'static str> {
    let random = after_stamp(text).and_then(unhex::<4>);
    random.map(|_| ()).ok_or("is not of the form 20261124T031500Z-5b0c6f2e")
}

fn check_audit(text: &str) -> Result<(), &'static str> {
    let random = after_stamp(text).and_then(unhex::<{ Tag::BYTES }>);
    random.map(|_| ()).ok_or("is not of the form 20261124T031500Z-5b0c6f2e00112233")
}

/// What follows a time and its dash.
fn after_stamp(text: &str) -> Option<&str> {
    let (stamp, random) = text.split_once('-')?;
    let shape = stamp.bytes().enumerate().all(|(i, c)| match i {
        8 => c == b'T',
        15 => c == b'Z',
        _ => c.is_ascii_digit(),
    });
    (stamp.len() == 16 && shape).then_some(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_strict() {
        for good in ["main", "a", "0", "db-1.prod_x"] {
            assert!(good.parse::<ClusterName>().is_ok(), "{good}");
        }
        for bad in ["", "Main", "-a", ".", "..", "a/b", "a b", "ä", "keys", "writers", &"a".repeat(64)] {
            assert!(bad.parse::<ClusterName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn backup_ids_sort_by_time_and_round_trip() {
        let at: Timestamp = "2026-11-24T03:15:00Z".parse().unwrap();
        let id = BackupId::new(at, [0x5b, 0x0c, 0x6f, 0x2e]);
        assert_eq!(id.as_str(), "20261124T031500Z-5b0c6f2e");
        assert_eq!(id.as_str().parse::<BackupId>().unwrap(), id);
        assert_eq!(id.time(), Some(at));
        assert_eq!("20261324T031500Z-5b0c6f2e".parse::<BackupId>().unwrap().time(), None);
        for bad in
            ["20261124T031500Z", "20261124T031500Z-5B0C6F2E", "20261124 031500Z-5b0c6f2e", "x", "../../etc-00000000"]
        {
            assert!(bad.parse::<BackupId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn hexadecimal_has_one_spelling() {
        assert_eq!("00ff".repeat(8).parse::<KeyId>().unwrap().to_string(), "00ff".repeat(8));
        assert!("00FF".repeat(8).parse::<KeyId>().is_err());
        assert!("+0ff".repeat(8).parse::<KeyId>().is_err());
    }
}
