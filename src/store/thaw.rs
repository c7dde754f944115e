//! Archive tiers: what lies there is listed, and read only some time after it was asked for (S3 User Guide, "Restoring an
//! archived object"; times from "Understanding archive retrieval options").

use std::fmt;

use serde::Serialize;

/// An archive tier, by the name that S3 gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Archive {
    /// The storage class S3 Glacier Flexible Retrieval.
    Glacier,
    /// The storage class S3 Glacier Deep Archive.
    DeepArchive,
    /// A tier of the storage class Intelligent-Tiering.
    ArchiveAccess,
    /// A deeper one.
    DeepArchiveAccess,
}

/// How fast an archive gives something back, and how dearly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Retrieval {
    /// The usual way.
    Standard,
    /// The cheapest.
    Bulk,
    /// The fastest; not from deep archives.
    Expedited,
}

impl Retrieval {
    /// All of them, the usual one first.
    pub const ALL: [Self; 3] = [Self::Standard, Self::Bulk, Self::Expedited];

    /// As settings and messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Bulk => "bulk",
            Self::Expedited => "expedited",
        }
    }
}

impl fmt::Display for Retrieval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Archive {
    /// The tier that a storage class is.
    pub fn of_class(class: &str) -> Option<Self> {
        [Self::Glacier, Self::DeepArchive].into_iter().find(|archive| archive.name() == class)
    }

    /// As S3 spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Glacier => "GLACIER",
            Self::DeepArchive => "DEEP_ARCHIVE",
            Self::ArchiveAccess => "ARCHIVE_ACCESS",
            Self::DeepArchiveAccess => "DEEP_ARCHIVE_ACCESS",
        }
    }

    /// How long it usually takes; `None` where it is not offered.
    pub fn takes(self, retrieval: Retrieval) -> Option<&'static str> {
        let is_deep = matches!(self, Self::DeepArchive | Self::DeepArchiveAccess);
        Some(match (retrieval, is_deep) {
            (Retrieval::Standard, false) => "3 to 5 hours",
            (Retrieval::Standard, true) => "up to 12 hours",
            (Retrieval::Bulk, false) => "5 to 12 hours",
            (Retrieval::Bulk, true) => "up to 48 hours",
            (Retrieval::Expedited, false) => "1 to 5 minutes",
            (Retrieval::Expedited, true) => return None,
        })
    }

    /// Whether what is thawed is a copy that ends after some days. Intelligent-Tiering moves the object itself, and refuses a number of
    /// days.
    pub fn takes_days(self) -> bool {
        matches!(self, Self::Glacier | Self::DeepArchive)
    }
}

impl fmt::Display for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is asked of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Thaw {
    /// For so many days it must stay readable.
    pub days: u32,
    /// How fast.
    pub retrieval: Retrieval,
}

/// Whether a version can be read, as far as HEAD tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Now.
    Ready,
    /// It was asked for, and will be.
    Thawing(Archive),
    /// Not before it is asked for.
    Frozen(Archive),
}

impl Readiness {
    /// From what HEAD says: the storage class, the tier within it (`x-amz-archive-status`), and how far a thaw is (`x-amz-restore`).
    pub(super) fn read(class: Option<&str>, tier: Option<&str>, restore: Option<&str>) -> Self {
        let within = [Archive::ArchiveAccess, Archive::DeepArchiveAccess];
        let within = within.into_iter().find(|archive| tier == Some(archive.name()));
        let Some(archive) = within.or_else(|| Archive::of_class(class?)) else { return Self::Ready };
        match restore {
            Some(restore) if restore.contains("ongoing-request=\"true\"") => Self::Thawing(archive),
            Some(restore) if restore.contains("ongoing-request=\"false\"") => Self::Ready,
            _ => Self::Frozen(archive),
        }
    }

    /// Where it lies, if it cannot be read now.
    pub fn archive(self) -> Option<Archive> {
        match self {
            Self::Ready => None,
            Self::Thawing(archive) | Self::Frozen(archive) => Some(archive),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PAINS B14.
    #[test]
    fn b14_readiness_is_read_from_class_tier_and_thaw() {
        let read = Readiness::read;
        assert_eq!(read(None, None, None), Readiness::Ready);
        assert_eq!(read(Some("GLACIER_IR"), None, None), Readiness::Ready);
        assert_eq!(read(Some("INTELLIGENT_TIERING"), None, None), Readiness::Ready);
        assert_eq!(read(Some("GLACIER"), None, None), Readiness::Frozen(Archive::Glacier));
        let ongoing = Some("ongoing-request=\"true\"");
        assert_eq!(read(Some("DEEP_ARCHIVE"), None, ongoing), Readiness::Thawing(Archive::DeepArchive));
        let thawed = Some("ongoing-request=\"false\", expiry-date=\"Fri, 21 Dec 2012 00:00:00 GMT\"");
        assert_eq!(read(Some("GLACIER"), None, thawed), Readiness::Ready);
        let tiering = Some("INTELLIGENT_TIERING");
        assert_eq!(read(tiering, Some("ARCHIVE_ACCESS"), None), Readiness::Frozen(Archive::ArchiveAccess));
        let deep = Readiness::Thawing(Archive::DeepArchiveAccess);
        assert_eq!(read(tiering, Some("DEEP_ARCHIVE_ACCESS"), ongoing), deep);
        assert_eq!(deep.archive().and_then(|archive| archive.takes(Retrieval::Expedited)), None);
    }
}
