//! What can go wrong with a repository as a whole.

use super::ClusterIdentity;
use crate::format::manifest::Kind;
use crate::format::{self, BackupId, ClusterName, KeyId, RepositoryId, StreamName, Tag, Timeline};
use crate::{keys, store};

/// Result of a catalog call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What does not prove itself is nothing; that the store or KMS cannot be asked is an error.
pub fn believed<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_silence() => Err(error),
        Err(_) => Ok(None),
    }
}

/// A repository that cannot be opened, searched or added to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A key was missing or wrong.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// Stored bytes are not what they should be.
    #[error(transparent)]
    Format(#[from] format::Error),
    /// Nothing of ours is there.
    #[error("there is no stonewal repository at {location}")]
    NoRepository {
        /// Bucket and prefix.
        location: String,
    },
    /// Another repository than the keys are for.
    #[error("the keys are for repository {keys}, but the bucket holds another one: {found}")]
    OtherRepository {
        /// Repository of the keys.
        keys: RepositoryId,
        /// What its record says.
        found: String,
    },
    /// The cluster has no backup.
    #[error("cluster {cluster} has no {}", kind.map_or_else(|| "backup".to_owned(), |kind| kind.to_string()))]
    NoBackup {
        /// The cluster.
        cluster: ClusterName,
        /// Of this kind; `None` = of any.
        kind: Option<Kind>,
    },
    /// No backup has this id.
    #[error("cluster {cluster} has no backup {backup}")]
    UnknownBackup {
        /// The cluster.
        cluster: ClusterName,
        /// The id asked for.
        backup: BackupId,
    },
    /// There is something named like a manifest, and the store does not hand it out.
    #[error("{key} cannot be read, and nothing else is there: {why}")]
    Unread {
        /// The object.
        key: String,
        /// What the store said.
        why: String,
    },
    /// Every wrap of a data key was deleted, so what it sealed cannot be read.
    #[error("data key {key} is lost: the wrap that the manifest names was deleted, and no other opens")]
    LostKey {
        /// The key.
        key: KeyId,
    },
    /// The manifest was sent and no answer came.
    #[error("whether the manifest {key} was stored is not known")]
    Undecided {
        /// The manifest's object.
        key: String,
        /// What came instead of an answer.
        #[source]
        source: store::Error,
    },
    /// The store acknowledged an object with less protection than asked for.
    #[error("the store acknowledged {key} but did not lock it: {why}")]
    Unlocked {
        /// The object.
        key: String,
        /// Asked and found.
        why: String,
    },
    /// Receipts contradict each other: what was read, sealed and stored differ.
    #[error(
        "stream {stream}: the source delivered {source_bytes} bytes, {sealed_bytes} were sealed, {stored_bytes} stored"
    )]
    Receipts {
        /// The stream.
        stream: StreamName,
        /// By the source's receipt.
        source_bytes: u64,
        /// By the seal's receipt.
        sealed_bytes: u64,
        /// By the store's receipt.
        stored_bytes: u64,
    },
    /// A chunk that was acknowledged is not in the listing.
    #[error("the store acknowledged {key} in version {version} but does not list it")]
    Vanished {
        /// The object.
        key: String,
        /// The version acknowledged.
        version: String,
    },
    /// The name belongs to another PostgreSQL cluster.
    #[error(
        "cluster {cluster} of this repository is the PostgreSQL cluster with system identifier {} and segments of {} bytes, not the one with {} and {}",
        found.system_identifier, found.segment_bytes.bytes(), identity.system_identifier, identity.segment_bytes.bytes()
    )]
    OtherCluster {
        /// The name.
        cluster: ClusterName,
        /// Which cluster it is.
        found: ClusterIdentity,
        /// Which one was at hand.
        identity: ClusterIdentity,
    },
    /// No WAL of this timeline is stored.
    #[error("cluster {cluster} has no WAL of timeline {timeline}")]
    NoTimeline {
        /// The cluster.
        cluster: ClusterName,
        /// The timeline.
        timeline: Timeline,
    },
    /// How a timeline came to be is not known.
    #[error("cluster {cluster} lacks {}.history, so where timeline {timeline} branched off is not known", timeline.name())]
    NoHistory {
        /// The cluster.
        cluster: ClusterName,
        /// The timeline.
        timeline: Timeline,
    },
    /// WAL is stored with other content than the one at hand.
    #[error("{name} is stored with other content: {why}")]
    WalDiffers {
        /// The stored object.
        name: String,
        /// What is known of it.
        why: String,
    },
    /// Two changed the keys at once, and the other one was first.
    #[error("somebody else changed the keys of the repository at the same time")]
    KeysChanged {
        /// A bundle that was stored for the change that does not count.
        orphan: Option<Tag>,
    },
    /// The new roster was sent, and whether it counts cannot be told.
    #[error("whether the change of the keys counts is not known")]
    UndecidedKeys {
        /// What came instead of an answer.
        #[source]
        source: Box<Self>,
    },
    /// A worker of our own died; this is a bug.
    #[error("a worker stopped unexpectedly")]
    Worker(#[from] tokio::task::JoinError),
}

impl Error {
    /// Whether a version that was listed turned out to be nothing of ours: other bytes, or gone. Everything else may be ours
    /// and damaged, or be withheld.
    pub fn is_nothing_of_ours(&self) -> bool {
        matches!(self, Self::Format(format::Error::NotOurs(_)) | Self::Store(store::Error::NotFound { .. }))
    }

    /// Whether the store or KMS did not answer, so that nothing can be said of what was asked for.
    fn is_silence(&self) -> bool {
        match self {
            Self::Store(error) => !error.is_about_the_object(),
            Self::Keys(error) => error.is_of_kms(),
            _ => false,
        }
    }

    /// What the operator should do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Store(error) => return error.hint(),
            Self::Keys(error) => return error.hint(),
            Self::NoRepository { .. } => "check the repository URL, or run `stonewal init`".into(),
            Self::OtherRepository { .. } => "use the keys of this repository, or another prefix".into(),
            Self::NoBackup { kind: Some(Kind::Base), .. } => {
                "run `stonewal backup base`; `stonewal list` shows every cluster".into()
            }
            Self::NoBackup { .. } => "run `stonewal backup dump`; `stonewal list` shows every cluster".into(),
            Self::UnknownBackup { .. } => "`stonewal list` shows the ids".into(),
            Self::Undecided { .. } => "run `stonewal list`: if the backup is listed it is whole, if not there is none".into(),
            Self::Unread { .. } => "allow s3:GetObjectVersion on the prefix; if others can be read, this one was planted or archived".into(),
            Self::LostKey { .. } => "someone removed a locked object by a bypass, or its lock had ended; restore another backup (`stonewal list`)".into(),
            Self::Unlocked { .. } => {
                "this store does not enforce Object Lock as asked; `stonewal doctor` tells more. Nothing was published"
                    .into()
            }
            Self::Vanished { .. } => {
                "nothing was published; do not trust this store with backups before `stonewal doctor` passes".into()
            }
            Self::OtherCluster { .. } => {
                "give every PostgreSQL cluster a name of its own (cluster in the configuration); nothing was stored".into()
            }
            Self::NoTimeline { .. } => "`stonewal wal verify` shows the timelines".into(),
            Self::NoHistory { .. } => "store it from a server that has it: `stonewal wal push --from <pg_wal>`".into(),
            Self::WalDiffers { .. } => {
                "the stored object was not touched. Two clusters that were one until a failover write different WAL under one name when both go on: stop the one that should not be running, or give it another cluster name".into()
            }
            Self::KeysChanged { orphan: Some(print) } => format!(
                "their change counts and this one does not: look at it with `stonewal keys list`, then run the command again if it is still wanted. The bundle that was stored for the new passphrase would be taken for a planted one: `stonewal keys revoke {print}` says that it was not"
            ),
            Self::UndecidedKeys { .. } => "it may have taken effect: look at it with `stonewal keys list`. A recovery file that was written was kept; if its recipient is not listed, it opens nothing".into(),
            Self::KeysChanged { orphan: None } => "their change counts and this one does not: look at it with `stonewal keys list`, then run the command again if it is still wanted".into(),
            Self::Format(_) | Self::Receipts { .. } | Self::Worker(_) => return None,
        })
    }

    /// Whether stored data is at fault, rather than the store, the keys or this process.
    pub fn is_integrity(&self) -> bool {
        match self {
            Self::Format(_)
            | Self::Vanished { .. }
            | Self::Receipts { .. }
            | Self::LostKey { .. }
            | Self::WalDiffers { .. } => true,
            Self::Keys(error) => {
                matches!(
                    error,
                    keys::Error::WrongKey { .. }
                        | keys::Error::Format(_)
                        | keys::Error::WrongPassphrase
                        | keys::Error::NotARecipient { .. }
                        | keys::Error::ExcessiveWork { .. }
                        | keys::Error::Age { .. }
                )
            }
            Self::Store(error) => matches!(error, store::Error::Corrupt { .. }),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KmsError;
    use crate::store::ObjectKey;

    /// PAINS B5: a copy whose keys KMS does not open today is not called unreadable.
    #[test]
    fn b05_silence_is_no_refusal() {
        let unreachable = KmsError::Unreachable { endpoint: "http://127.0.0.1:9".into(), why: "refused".into() };
        let busy = store::Error::Busy { action: "s3:GetObject", target: "prod/x".into(), code: "503".into() };
        for silence in [keys::Error::Kms(unreachable).into(), keys::Error::NoKms.into(), Error::Store(busy)] {
            assert!(believed::<()>(Err(silence)).is_err());
        }
        let gone = store::Error::NotFound { key: ObjectKey::new("prod/x"), version: None };
        for refusal in [Error::Store(gone), keys::Error::WrongPassphrase.into()] {
            assert_eq!(believed::<()>(Err(refusal)).unwrap(), None);
        }
    }
}
