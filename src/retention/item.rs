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
        let Some(rest) = key.strip_prefix(names.prefix()) else { return Self::Unknown };
        if key == names.repository() {
            return Self::Foundation;
        }
        let Some((folder, rest)) = rest.split_once('/') else { return Self::Unknown };
        match folder {
            "identities" if names.fingerprint_of(key).is_some() => Self::Foundation,
            "writers" if names.is_writer(key) => Self::Foundation,
            "roster" if names.roster_of(key).is_some() => Self::Foundation,
            "keys" => names.key_of(key).map_or(Self::Unknown, Self::Wrap),
            "audit" => Self::Audit,
            "canary" => Self::Canary,
            folder if folder == cluster.as_str() => Self::of_cluster(names, cluster, key, rest),
            folder => folder.parse().map_or(Self::Unknown, Self::OtherCluster),
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
