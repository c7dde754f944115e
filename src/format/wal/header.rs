//! One WAL object: magic, version, header, signature, body.
//!
//! The signature covers the header, and the header the digest of the body: an object is genuine or not by itself, without
//! a manifest. Header and signature fit in the first [`WAL_HEAD_BYTES_MAX`] bytes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::encoded::Base64;
use super::record::as_text;
use super::{Commits, WalContent};
use crate::format::names::{Names, WalName};
use crate::format::signed::{self, ENVELOPE_BYTES, Purpose};
use crate::format::{
    BackupId, ChunkHeader, ClusterName, Codec, Digest, Error, KeyId, RepositoryId, Result, Salt, StreamId, Tag,
    WriterPublic,
};
use crate::limits::{WAL_FILE_BYTES_MAX, WAL_HEAD_BYTES_MAX, WAL_OBJECT_BYTES_MAX};

const MAGIC: &[u8; 8] = b"stwlwal1";
const VERSION: u32 = 1;
const FIXED_BYTES: usize = 16;
const WHAT: &str = "WAL object";

/// What a WAL object says of itself. JSON; times are store time, UTC, but for those of commits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalHeader {
    /// Id of the repository.
    pub repository: RepositoryId,
    /// Name of the cluster.
    pub cluster: ClusterName,
    /// PostgreSQL's system identifier of the cluster.
    #[serde(with = "as_text")]
    pub system_identifier: u64,
    /// The run that wrote it: one process that streams or pushes.
    pub run: BackupId,
    /// What it holds.
    pub content: WalContent,
    /// When it was sealed.
    pub written_at: Timestamp,
    /// Version of stonewal that made it.
    pub stonewal: String,
    /// Data key of the run.
    pub key: KeyId,
    /// That key as the run wrapped it (an age file), so that the object can be read when it is all there is; later wraps are
    /// found as for backups.
    pub wrap: Base64,
    /// The root writer's certificate for the writer that signed, so that it need not be looked for; absent where the root
    /// signed, or where the writer file was made without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Base64>,
    /// Id of the stream that the body is: the salt of its key.
    pub stream: StreamId,
    /// How the body's frames are compressed.
    pub codec: Codec,
    /// Length of the plain content.
    pub plain_bytes: u64,
    /// The body as stored.
    pub body: BodyRecord,
    /// Digest of the plain content, for pieces and files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain: Option<PlainRecord>,
    /// Transactions that ended in it, as far as it can be told from it alone; absent if none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commits: Option<Commits>,
    /// Of a copy under another data key: what it is a copy of. Only the root writer can say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_of: Option<WalCopy>,
}

/// What a copy says of its original, whose times, digest and commits it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalCopy {
    /// SHA-256 of the head of the first original: of everything before its body, which names the body.
    pub original: Digest,
    /// When the copy was made (store time): of several the newest counts.
    pub made_at: Timestamp,
}

impl WalCopy {
    /// Where the copy whose head has this digest stands among the copies of its name: the highest counts.
    pub fn rank(&self, head: Digest) -> (Timestamp, [u8; 32]) {
        (self.made_at, *head.bytes())
    }
}

/// The stored body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BodyRecord {
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: Digest,
}

/// A salted digest of the plain content: by it a host that cannot decrypt can tell whether the file in its hand is the one
/// that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlainRecord {
    /// Random.
    pub salt: Salt,
    /// SHA-256 of salt and content.
    pub sha256: Digest,
}

impl PlainRecord {
    /// That of `plain`.
    pub fn of(salt: Salt, plain: &[u8]) -> Self {
        Self { salt, sha256: Digest::of_parts(&[salt.as_bytes(), plain]) }
    }

    /// Whether it is that of `plain`.
    pub fn is_of(&self, plain: &[u8]) -> bool {
        Self::of(self.salt, plain) == *self
    }
}

impl WalHeader {
    /// The whole object: this header, signed by `writer`, and `body`, which must be the one that it describes. Refuses
    /// whatever [`WalHead::read`] would refuse.
    pub fn encode(&self, body: &[u8], writer: &WriterPublic, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Result<Vec<u8>> {
        self.check()?;
        self.check_body(body)?;
        let json = serde_json::to_vec(self).map_err(|error| Error::Malformed { what: WHAT, why: error.to_string() })?;
        if FIXED_BYTES + json.len() + ENVELOPE_BYTES > WAL_HEAD_BYTES_MAX {
            let claimed = (FIXED_BYTES + json.len() + ENVELOPE_BYTES) as u64;
            // It holds a wrap for every recipient: the only part that can grow.
            return Err(Error::Absurd { what: "WAL object header", claimed, max: WAL_HEAD_BYTES_MAX as u64 });
        }
        let mut head = Vec::with_capacity(FIXED_BYTES + json.len() + ENVELOPE_BYTES + body.len());
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&VERSION.to_be_bytes());
        head.extend_from_slice(&u32::try_from(json.len()).map_err(|_| Error::TooLong)?.to_be_bytes());
        head.extend_from_slice(&json);
        let mut object = signed::seal(Purpose::Wal, head, writer, sign);
        object.extend_from_slice(body);
        Ok(object)
    }

    /// Header of the chunk that the body is.
    pub fn chunk(&self) -> Result<ChunkHeader> {
        Ok(ChunkHeader {
            codec: self.codec,
            number: 0,
            first_frame: 0,
            repository: self.repository,
            key: self.key,
            stream: self.stream,
            cluster: self.cluster.clone(),
            backup: self.run.clone(),
            name: "wal".parse()?,
        })
    }

    /// Where it belongs. `tag` is the random part of names that have one: of partials always, of the others only where
    /// something that is not ours has the name without it.
    pub fn object_name(&self, names: &Names, tag: Option<Tag>) -> String {
        names.wal(&self.cluster, &WalName::of(&self.content, tag))
    }

    /// Refuses a body that is not the one described.
    pub fn check_body(&self, body: &[u8]) -> Result<()> {
        if body.len() as u64 != self.body.bytes || Digest::of(body) != self.body.sha256 {
            let holds = match &self.content {
                WalContent::Range(content) => format!("{} of timeline {}", content.range(), content.timeline),
                WalContent::File(content) => content.name.to_string(),
            };
            return Err(Error::Malformed {
                what: WHAT,
                why: format!("the body of {holds} is not the one that was signed"),
            });
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        self.content.check()?;
        let malformed = |why: &str| Err(Error::Malformed { what: WHAT, why: why.into() });
        let bytes_fit = match &self.content {
            WalContent::Range(content) => self.plain_bytes == content.range().bytes(),
            WalContent::File(_) => self.plain_bytes <= WAL_FILE_BYTES_MAX as u64,
        };
        if !bytes_fit {
            return malformed("its length is not that of its content");
        }
        if self.body.bytes > WAL_OBJECT_BYTES_MAX as u64 {
            let max = WAL_OBJECT_BYTES_MAX as u64;
            return Err(Error::Absurd { what: "body of a WAL object", claimed: self.body.bytes, max });
        }
        if self.plain.is_some() != self.content.is_canonical() {
            return malformed("pieces and files have a digest of their content, partials have none");
        }
        if self.commits.is_some_and(|commits| commits.first > commits.last) {
            return malformed("its first commit is after its last");
        }
        if self.copy_of.is_some() && !self.content.is_canonical() {
            return malformed("pieces and files are copied, partials are not");
        }
        Ok(())
    }
}

/// The authenticated header of a WAL object.
#[derive(Clone, Debug)]
pub struct WalHead {
    header: WalHeader,
    writer: WriterPublic,
    body_at: usize,
    digest: Digest,
}

impl WalHead {
    /// Reads the header at the beginning of an object, accepting it only if one of `trusted` signed it (invariant I6).
    /// `first` is the whole object or at least its first [`WAL_HEAD_BYTES_MAX`] bytes.
    pub fn read(first: &[u8], trusted: &[WriterPublic]) -> Result<Self> {
        let length = json_bytes(first)?;
        let body_at = FIXED_BYTES + length + ENVELOPE_BYTES;
        let head = first.get(..body_at).ok_or(Error::Short(WHAT))?;
        let (_, writer) = signed::open(Purpose::Wal, head, trusted)?;
        let json = first.get(FIXED_BYTES..FIXED_BYTES + length).ok_or(Error::Short(WHAT))?;
        let header: WalHeader =
            serde_json::from_slice(json).map_err(|error| Error::Malformed { what: WHAT, why: error.to_string() })?;
        header.check()?;
        Ok(Self { header, writer, body_at, digest: Digest::of(head) })
    }

    /// The certificate that an object carries, before anything is known of its writer: worth no more than what it proves.
    pub fn certificate(first: &[u8]) -> Option<Vec<u8>> {
        let json = first.get(FIXED_BYTES..)?.get(..json_bytes(first).ok()?)?;
        let header: WalHeader = serde_json::from_slice(json).ok()?;
        header.certificate.map(|Base64(bytes)| bytes)
    }

    /// What it says.
    pub fn header(&self) -> &WalHeader {
        &self.header
    }

    /// Who signed it.
    pub fn writer(&self) -> &WriterPublic {
        &self.writer
    }

    /// SHA-256 of all that lies before the body: tells one object from every other.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Where the body begins.
    pub fn body_at(&self) -> usize {
        self.body_at
    }

    /// Length of the whole object.
    pub fn object_bytes(&self) -> u64 {
        self.body_at as u64 + self.header.body.bytes
    }

    /// The body of `object`, if it is the one that was signed.
    pub fn body<'a>(&self, object: &'a [u8]) -> Result<&'a [u8]> {
        let body = object.get(self.body_at..).ok_or(Error::Short(WHAT))?;
        self.header.check_body(body)?;
        Ok(body)
    }
}

/// Length of the JSON in a header of our version.
fn json_bytes(first: &[u8]) -> Result<usize> {
    if !first.starts_with(MAGIC) {
        return Err(Error::NotOurs(WHAT));
    }
    let fixed = first.get(..FIXED_BYTES).ok_or(Error::Short(WHAT))?;
    let number = |at: usize| fixed[at..at + 4].iter().fold(0u32, |n, &byte| n << 8 | u32::from(byte));
    let (version, length) = (number(8), number(12) as usize);
    if version != VERSION {
        return Err(Error::Version { what: WHAT, version });
    }
    let max = WAL_HEAD_BYTES_MAX - FIXED_BYTES - ENVELOPE_BYTES;
    if length > max {
        return Err(Error::Absurd { what: "WAL object header", claimed: length as u64, max: max as u64 });
    }
    Ok(length)
}
