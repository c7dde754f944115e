//! Names of stored WAL.

use super::Names;
use crate::format::wal::{WalContent, WalRange, timeline_of};
use crate::format::{ClusterName, Lsn, Tag, Timeline, WalFileName};

/// The name of one object below a cluster's `wal/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalName {
    /// A whole piece.
    Piece {
        /// Its timeline.
        timeline: Timeline,
        /// Its positions.
        range: WalRange,
        /// The random part of an alternate name.
        tag: Option<Tag>,
    },
    /// WAL of a piece that was not complete.
    Partial {
        /// Its timeline.
        timeline: Timeline,
        /// Its positions.
        range: WalRange,
        /// Random.
        tag: Tag,
    },
    /// A history or backup history file.
    File {
        /// Under which it lies.
        timeline: Timeline,
        /// Its name in `pg_wal`.
        name: WalFileName,
        /// The random part of an alternate name.
        tag: Option<Tag>,
    },
    /// A recorded gap.
    Gap {
        /// Its timeline.
        timeline: Timeline,
        /// Its positions.
        range: WalRange,
        /// Random.
        tag: Tag,
    },
}

impl WalName {
    /// The name of what holds `content`. Without a tag, that of a partial reads as one with a tag of zeros, which nobody
    /// writes.
    pub fn of(content: &WalContent, tag: Option<Tag>) -> Self {
        match content {
            WalContent::Range(content) if content.is_piece() => {
                Self::Piece { timeline: content.timeline, range: content.range(), tag }
            }
            WalContent::Range(content) => {
                let tag = tag.unwrap_or(Tag::new([0; Tag::BYTES]));
                Self::Partial { timeline: content.timeline, range: content.range(), tag }
            }
            WalContent::File(file) => Self::File { timeline: file.timeline, name: file.name, tag },
        }
    }

    /// Its timeline.
    pub fn timeline(&self) -> Timeline {
        match self {
            Self::Piece { timeline, .. }
            | Self::Partial { timeline, .. }
            | Self::File { timeline, .. }
            | Self::Gap { timeline, .. } => *timeline,
        }
    }

    /// Its random part.
    pub fn tag(&self) -> Option<Tag> {
        match self {
            Self::Piece { tag, .. } | Self::File { tag, .. } => *tag,
            Self::Partial { tag, .. } | Self::Gap { tag, .. } => Some(*tag),
        }
    }

    /// The same name without its random part, where it can be without.
    #[must_use]
    pub fn without_tag(self) -> Self {
        match self {
            Self::Piece { timeline, range, .. } => Self::Piece { timeline, range, tag: None },
            Self::File { timeline, name, .. } => Self::File { timeline, name, tag: None },
            other => other,
        }
    }

    /// Whether it is the name of an object with this content, whatever its random part.
    pub fn names(&self, content: &WalContent) -> bool {
        *self == Self::of(content, self.tag())
    }
}

impl Names {
    /// The cluster record.
    pub fn cluster_record(&self, cluster: &ClusterName) -> String {
        format!("{}{cluster}/cluster", self.prefix)
    }

    /// Its name where the first one was taken by something that is not ours.
    pub fn cluster_record_alternate(&self, cluster: &ClusterName, tag: Tag) -> String {
        format!("{}-{tag}", self.cluster_record(cluster))
    }

    /// Whether `key` is that of a cluster record, under its first name or an alternate.
    pub fn is_cluster_record(&self, cluster: &ClusterName, key: &str) -> bool {
        match key.strip_prefix(&self.cluster_record(cluster)) {
            Some("") => true,
            Some(rest) => rest.strip_prefix('-').is_some_and(|tag| tag.parse::<Tag>().is_ok()),
            None => false,
        }
    }

    /// Whose WAL or record `key` names, if everybody can tell that name before anything is written there: it holds nothing random.
    pub fn guessable(&self, key: &str) -> Option<ClusterName> {
        let (folder, _) = key.strip_prefix(&self.prefix)?.split_once('/')?;
        let cluster: ClusterName = folder.parse().ok()?;
        let is_record = key == self.cluster_record(&cluster);
        (is_record || self.wal_of(&cluster, key).is_some_and(|name| name.tag().is_none())).then_some(cluster)
    }

    /// Folder of the WAL of one cluster.
    pub fn wal_timelines(&self, cluster: &ClusterName) -> String {
        format!("{}{cluster}/wal/", self.prefix)
    }

    /// Folder of the WAL of one timeline.
    pub fn wal_timeline(&self, cluster: &ClusterName, timeline: Timeline) -> String {
        format!("{}{}/", self.wal_timelines(cluster), timeline.name())
    }

    /// Folder of its partials.
    pub fn wal_partials(&self, cluster: &ClusterName, timeline: Timeline) -> String {
        format!("{}partial/", self.wal_timeline(cluster, timeline))
    }

    /// Folder of its recorded gaps.
    pub fn wal_gaps(&self, cluster: &ClusterName, timeline: Timeline) -> String {
        format!("{}gaps/", self.wal_timeline(cluster, timeline))
    }

    /// One object of WAL.
    pub fn wal(&self, cluster: &ClusterName, name: &WalName) -> String {
        let folder = self.wal_timeline(cluster, name.timeline());
        let span = |range: &WalRange| format!("{}-{}", range.start.name(), range.end.name());
        let end = |tag: &Option<Tag>| tag.map_or_else(String::new, |tag| format!("-{tag}"));
        match name {
            WalName::Piece { range, tag, .. } => format!("{folder}{}{}", span(range), end(tag)),
            WalName::Partial { range, tag, .. } => format!("{folder}partial/{}-{tag}", span(range)),
            WalName::File { name, tag, .. } => format!("{folder}{name}{}", end(tag)),
            WalName::Gap { range, tag, .. } => format!("{folder}gaps/{}-{tag}", span(range)),
        }
    }

    /// The timeline that a folder of a listing of [`Names::wal_timelines`] is of.
    pub fn timeline_of(&self, cluster: &ClusterName, folder: &str) -> Option<Timeline> {
        Timeline::from_name(folder.strip_prefix(&self.wal_timelines(cluster))?.strip_suffix('/')?)
    }

    /// Reads [`Names::wal`]; `None` for what is not named like WAL of ours.
    pub fn wal_of(&self, cluster: &ClusterName, key: &str) -> Option<WalName> {
        let (folder, rest) = key.strip_prefix(&self.wal_timelines(cluster))?.split_once('/')?;
        let timeline = Timeline::from_name(folder)?;
        if let Some(rest) = rest.strip_prefix("partial/") {
            let (range, tag) = span(rest)?;
            return Some(WalName::Partial { timeline, range, tag: tag? });
        }
        if let Some(rest) = rest.strip_prefix("gaps/") {
            let (range, tag) = span(rest)?;
            return Some(WalName::Gap { timeline, range, tag: tag? });
        }
        if let Some((range, tag)) = span(rest) {
            return Some(WalName::Piece { timeline, range, tag });
        }
        let (name, tag) = match rest.split_once('-') {
            Some((name, tag)) => (name, Some(tag.parse().ok()?)),
            None => (rest, None),
        };
        let name: WalFileName = name.parse().ok()?;
        (timeline_of(name) == Some(timeline)).then_some(WalName::File { timeline, name, tag })
    }
}

/// `<start>-<end>` and maybe `-<tag>`.
fn span(text: &str) -> Option<(WalRange, Option<Tag>)> {
    let mut parts = text.splitn(3, '-');
    let range = WalRange { start: Lsn::from_name(parts.next()?)?, end: Lsn::from_name(parts.next()?)? };
    let tag = match parts.next() {
        Some(tag) => Some(tag.parse().ok()?),
        None => None,
    };
    (range.start < range.end).then_some((range, tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_wal_read_back() {
        let names = Names::new("p").unwrap();
        let cluster: ClusterName = "main".parse().unwrap();
        let timeline = Timeline::new(2).unwrap();
        let range = WalRange { start: Lsn::new(0x300_0000), end: Lsn::new(0x400_0000) };
        let (tag, file) = (Tag::new([7; 8]), "00000002.history".parse().unwrap());
        let backup = "000000020000000A000000FF.00000028.backup".parse().unwrap();
        let all = [
            (WalName::Piece { timeline, range, tag: None }, "0000000003000000-0000000004000000"),
            (WalName::Piece { timeline, range, tag: Some(tag) }, "0000000003000000-0000000004000000-0707070707070707"),
            (WalName::Partial { timeline, range, tag }, "partial/0000000003000000-0000000004000000-0707070707070707"),
            (WalName::Gap { timeline, range, tag }, "gaps/0000000003000000-0000000004000000-0707070707070707"),
            (WalName::File { timeline, name: file, tag: None }, "00000002.history"),
            (WalName::File { timeline, name: file, tag: Some(tag) }, "00000002.history-0707070707070707"),
            (WalName::File { timeline, name: backup, tag: None }, "000000020000000A000000FF.00000028.backup"),
        ];
        for (name, text) in all {
            let key = names.wal(&cluster, &name);
            assert_eq!(key, format!("p/main/wal/00000002/{text}"));
            assert_eq!(names.wal_of(&cluster, &key), Some(name));
            assert_eq!(names.guessable(&key), name.tag().is_none().then(|| cluster.clone()), "{key}");
        }
        for bad in [
            "0000000004000000-0000000003000000",
            "0000000003000000-0000000003000000",
            "0000000003000000-000000000400000a",
            "0000000003000000-0000000004000000-",
            "0000000003000000-0000000004000000-07",
            "partial/0000000003000000-0000000004000000",
            "partial/00000002.history",
            "00000003.history",
            "000000030000000A000000FF.00000028.backup",
            "000000020000000A000000FF",
            "000000020000000A000000FF.partial",
            "",
        ] {
            assert_eq!(names.wal_of(&cluster, &format!("p/main/wal/00000002/{bad}")), None, "{bad}");
        }
        assert_eq!(names.guessable(&names.cluster_record(&cluster)), Some(cluster.clone()));
        for random in [
            names.cluster_record_alternate(&cluster, tag),
            names.repository(),
            "p/keys/x".into(),
            "q/main/cluster".into(),
        ] {
            assert_eq!(names.guessable(&random), None, "{random}");
        }
        assert_eq!(names.timeline_of(&cluster, "p/main/wal/00000002/"), Some(timeline));
        assert_eq!(names.timeline_of(&cluster, "p/main/wal/2/"), None);
    }
}
