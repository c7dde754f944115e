//! The signature envelope of everything that is published: payload, writer key (32 bytes), signature (64 bytes).
//!
//! Ed25519 (RFC 8032) over a label, the payload and the writer key. The label says what is signed, so that one kind of
//! object can never be passed off as another.

use ring::signature::{ED25519, UnparsedPublicKey};

use super::{Error, Result, WriterPublic};

const SIGNATURE_BYTES: usize = 64;
pub(super) const ENVELOPE_BYTES: usize = WriterPublic::BYTES + SIGNATURE_BYTES;

/// What a signature is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A backup's manifest.
    Manifest,
    /// A certificate: the repository's first writer vouches for another.
    Writer,
    /// The repository record.
    Repository,
    /// A cluster record.
    Cluster,
    /// A WAL object.
    Wal,
    /// A record of missing WAL.
    Gap,
    /// The roster of passphrases and recipients.
    Roster,
    /// The record of a drill.
    Evidence,
    /// An audit record.
    Audit,
}

impl Purpose {
    /// Name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Writer => "writer certificate",
            Self::Repository => "repository record",
            Self::Cluster => "cluster record",
            Self::Wal => "WAL object",
            Self::Gap => "gap record",
            Self::Roster => "roster",
            Self::Evidence => "evidence",
            Self::Audit => "audit record",
        }
    }

    fn label(self) -> &'static [u8] {
        match self {
            Self::Manifest => b"stonewal/v1/signed/manifest",
            Self::Writer => b"stonewal/v1/signed/writer",
            Self::Repository => b"stonewal/v1/signed/repository",
            Self::Cluster => b"stonewal/v1/signed/cluster",
            Self::Wal => b"stonewal/v1/signed/wal",
            Self::Gap => b"stonewal/v1/signed/gap",
            Self::Roster => b"stonewal/v1/signed/roster",
            Self::Evidence => b"stonewal/v1/signed/evidence",
            Self::Audit => b"stonewal/v1/signed/audit",
        }
    }
}

/// Appends the envelope to `payload`; `sign` makes an Ed25519 signature with the secret half of `writer`.
pub fn seal(
    purpose: Purpose,
    mut payload: Vec<u8>,
    writer: &WriterPublic,
    sign: impl FnOnce(&[u8]) -> [u8; SIGNATURE_BYTES],
) -> Vec<u8> {
    payload.extend_from_slice(writer.as_bytes());
    let signature = sign(&message(purpose, &payload));
    payload.extend_from_slice(&signature);
    payload
}

/// The payload of `bytes`, if its signature holds and its writer is among `trusted` (invariant I6).
pub fn open<'a>(purpose: Purpose, bytes: &'a [u8], trusted: &[WriterPublic]) -> Result<(&'a [u8], WriterPublic)> {
    let what = purpose.name();
    let payload_bytes = bytes.len().checked_sub(ENVELOPE_BYTES).ok_or(Error::Short(what))?;
    let (signed, signature) = bytes.split_at(payload_bytes + WriterPublic::BYTES);
    let (payload, writer) = signed.split_at(payload_bytes);
    UnparsedPublicKey::new(&ED25519, writer)
        .verify(&message(purpose, signed), signature)
        .map_err(|_| Error::Signature(what))?;
    let writer = WriterPublic::new(writer.try_into().map_err(|_| Error::Short(what))?);
    if !trusted.contains(&writer) {
        return Err(Error::UntrustedWriter { what, writer: writer.id() });
    }
    Ok((payload, writer))
}

/// The key that `bytes` claim to be signed with: nothing to believe.
pub fn signer(bytes: &[u8]) -> Option<WriterPublic> {
    let payload_bytes = bytes.len().checked_sub(ENVELOPE_BYTES)?;
    let key = bytes.get(payload_bytes..payload_bytes + WriterPublic::BYTES)?;
    Some(WriterPublic::new(key.try_into().ok()?))
}

fn message(purpose: Purpose, signed: &[u8]) -> Vec<u8> {
    [purpose.label(), signed].concat()
}
