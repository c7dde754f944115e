//! What an object is, from its name alone.

use crate::format::names::{Names, WalName};
use crate::format::wal::WalRange;
use crate::format::{BackupId, ClusterName, KeyId, SegmentName, Timeline, WalFileName};

/// Something a plan has a verdict on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Anything in the folder of a backup, finished or not.
    Backup(BackupId),
    /// A wrap of a data key.
    Wrap(KeyId),
    /// A whole piece of WAL.
    Piece {
        /// Its timeline.
        timeline: Timeline,
        /// Its positions.
        range: WalRange,
    },
    /// Part of a piece.
    Partial {
        /// Its timeline.
        timeline: Timeline,
        /// Its positions.
        range: WalRange,
    },
    /// A backup history file: it belongs to the WAL of its segment.
    Notes(SegmentName),
    /// A timeline's history file.
    History(Timeline),
    /// A recorded gap.
    Gap(Timeline),
    /// Which PostgreSQL cluster lies under the name.
    ClusterRecord,
    /// Repository record, identity bundles, rosters, certificates of writers: every cluster needs them.
    Foundation,
    /// An audit record.
    Audit,
    /// Evidence of a drill.
    Evidence,
    /// What `doctor` left.
    Canary,
    /// Something of another cluster.
    OtherCluster(ClusterName),
    /// Nothing that stonewal names so.
    Unknown,
}

impl Item {
    /// What is called `key`, in the eyes of one cluster.
    pub fn of(names: &Names, cluster: &ClusterName, key: &str) -> Self {
        match folder_of(names, key) {
            Some((folder, rest)) if folder == cluster.as_str() => Self::of_cluster(names, cluster, key, rest),
            Some((folder, _)) => match Self::of_all(names, key) {
                Self::Unknown => folder.parse().map_or(Self::Unknown, Self::OtherCluster),
                item => item,
            },
            None => Self::of_all(names, key),
        }
    }

    /// What is called `key`, and in the folder of which cluster; `None` where it is of no single one.
    pub fn with_owner(names: &Names, key: &str) -> (Option<ClusterName>, Self) {
        let found = folder_of(names, key).and_then(|(folder, rest)| Some((folder.parse().ok()?, rest)));
        match found {
            Some((owner, rest)) => {
                let item = Self::of_cluster(names, &owner, key, rest);
                (Some(owner), item)
            }
            None => (None, Self::of_all(names, key)),
        }
    }

    /// What is called `key` outside of the clusters' folders.
    fn of_all(names: &Names, key: &str) -> Self {
        if key == names.repository() {
            return Self::Foundation;
        }
        match folder_of(names, key) {
            Some(("identities", _)) if names.fingerprint_of(key).is_some() => Self::Foundation,
            Some(("writers", _)) if names.is_writer(key) => Self::Foundation,
            Some(("roster", _)) if names.roster_of(key).is_some() => Self::Foundation,
            Some(("keys", _)) => names.key_of(key).map_or(Self::Unknown, Self::Wrap),
            Some(("audit", _)) => Self::Audit,
            Some(("canary", _)) => Self::Canary,
            _ => Self::Unknown,
        }
    }

    /// What is called `rest` below the cluster's folder.
    fn of_cluster(names: &Names, cluster: &ClusterName, key: &str, rest: &str) -> Self {
        if names.is_cluster_record(cluster, key) {
            return Self::ClusterRecord;
        }
        if rest.starts_with("evidence/") {
            return Self::Evidence;
        }
        if let Some(rest) = rest.strip_prefix("backups/") {
            let folder = rest.split_once('/').and_then(|(id, inside)| id.parse().ok().filter(|_| !inside.is_empty()));
            return folder.map_or(Self::Unknown, Self::Backup);
        }
        match names.wal_of(cluster, key) {
            Some(WalName::Piece { timeline, range, .. }) => Self::Piece { timeline, range },
            Some(WalName::Partial { timeline, range, .. }) => Self::Partial { timeline, range },
            Some(WalName::Gap { timeline, .. }) => Self::Gap(timeline),
            Some(WalName::File { name: WalFileName::History(timeline), .. }) => Self::History(timeline),
            Some(WalName::File { name: WalFileName::BackupHistory(segment, _), .. }) => Self::Notes(segment),
            Some(WalName::File { .. }) | None => Self::Unknown,
        }
    }
}

/// The first folder below the prefix, and what follows.
fn folder_of<'k>(names: &Names, key: &'k str) -> Option<(&'k str, &'k str)> {
    key.strip_prefix(names.prefix())?.split_once('/')
}
