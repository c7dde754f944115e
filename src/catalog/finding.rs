//! What does not belong in a repository, or is missing from it.

use serde::Serialize;

/// One thing found that should not be so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// The object it is about.
    pub key: String,
    /// Its version, where one is meant.
    pub version: Option<String>,
    /// In words.
    pub detail: String,
}

/// Kinds of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FindingKind {
    /// An object that looks like a manifest and is not signed by a trusted writer, or belongs elsewhere.
    ForgedManifest,
    /// An object named like ours that the store does not hand out. Whoever wrote it meant it so, or its rights are wrong.
    Opaque,
    /// A version written over an object of ours.
    LaterVersion,
    /// A delete marker over an object of ours.
    DeleteMarker,
    /// An object among ours that no manifest knows. A backup that was interrupted leaves some, harmlessly.
    Stray,
    /// A wrap that no manifest names: one that was added since, or one that somebody planted.
    Wrap,
    /// An identity bundle, key wrap, certificate or repository record that is not genuine.
    ForgedKey,
    /// An object named like WAL of ours that is not genuine.
    ForgedWal,
    /// An object named like evidence that is not genuine.
    ForgedEvidence,
    /// An object among the audit records that is none, or a record that was not stored when it was written.
    ForgedAudit,
    /// An object that a backup needs is gone.
    Missing,
    /// An object that a backup needs holds other bytes.
    Altered,
    /// A frame does not authenticate or decompress.
    Unreadable,
    /// The keys in use count no more.
    Retired,
    /// An object is not locked, or for less time than what needs it.
    LockShort,
    /// An object in a replica is not under the legal hold that it is under in the repository.
    HoldMissing,
}

impl std::fmt::Display for FindingKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ForgedManifest => "forged manifests",
            Self::Opaque => "objects that cannot be read",
            Self::LaterVersion => "objects overwritten",
            Self::DeleteMarker => "objects hidden by delete markers",
            Self::Stray => "stray objects",
            Self::Wrap => "wraps added since, or planted",
            Self::ForgedKey => "forged keys or records",
            Self::ForgedWal => "forged WAL objects",
            Self::ForgedEvidence => "forged evidence",
            Self::ForgedAudit => "forged audit records",
            Self::Missing => "objects missing",
            Self::Altered => "objects altered",
            Self::Unreadable => "streams unreadable",
            Self::Retired => "keys that count no more",
            Self::LockShort => "locks too short",
            Self::HoldMissing => "legal holds missing",
        })
    }
}

impl FindingKind {
    /// Whether a backup cannot be restored because of it. Everything else is noise that a restore ignores.
    pub fn is_damage(self) -> bool {
        matches!(self, Self::Missing | Self::Altered | Self::Unreadable)
    }

    /// Whether it is no more than what an interrupted backup or an added recipient leaves behind.
    pub fn is_stray(self) -> bool {
        matches!(self, Self::Stray | Self::Wrap)
    }

    /// Whether someone must have done it on purpose.
    pub fn is_tampering(self) -> bool {
        matches!(
            self,
            Self::ForgedManifest
                | Self::Opaque
                | Self::LaterVersion
                | Self::DeleteMarker
                | Self::ForgedKey
                | Self::ForgedWal
                | Self::ForgedAudit
                | Self::ForgedEvidence
                | Self::Altered
        )
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.key, self.detail)
    }
}

impl Finding {
    /// A finding about `key`.
    pub fn new(kind: FindingKind, key: impl Into<String>, version: Option<&str>, detail: impl Into<String>) -> Self {
        Self { kind, key: key.into(), version: version.map(str::to_owned), detail: detail.into() }
    }
}
