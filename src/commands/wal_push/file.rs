//! One file of `pg_wal` and the objects that it becomes.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::{Error, Result, backlog, unreadable};
use crate::catalog::{self, ClusterIdentity, Repository, WalCatalog};
use crate::format::names::WalName;
use crate::format::wal::{
    ClusterRecord, CommitScanner, Commits, SegmentHeader, WalContent, WalRange, finished_bytes, piece_bytes,
};
use crate::format::{self, ClusterName, Lsn, SegmentName, SegmentSize, Timeline, WalFileName};
use crate::limits::WAL_FILE_BYTES_MAX;

/// A file that is what its name says.
#[derive(Debug)]
pub(super) struct WalFile {
    path: PathBuf,
    /// Its name.
    pub(super) name: WalFileName,
    /// Whose it is; of files that do not say, what a segment beside them says.
    pub(super) identity: Option<ClusterIdentity>,
}

/// What becomes one object.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// WAL.
    Range { timeline: Timeline, range: WalRange, segment: SegmentSize },
    /// The whole file.
    File,
}

impl WalFile {
    /// Looks at the file: its name, its size, and what the first page of a segment says.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let text = path.file_name().unwrap_or_default().to_string_lossy();
        let name: WalFileName = text.parse()?;
        let identity = match name {
            WalFileName::Segment(segment) | WalFileName::Partial(segment) => Some(identify(path, segment)?),
            WalFileName::History(_) | WalFileName::BackupHistory(..) => {
                let bytes = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?.len();
                if bytes > WAL_FILE_BYTES_MAX as u64 {
                    let why = format!("it has {bytes} bytes; {name} should be a few lines");
                    return Err(Error::File { path: path.to_owned(), why });
                }
                backlog::neighbour(path).and_then(|segment| identity_of(&segment))
            }
        };
        Ok(Self { path: path.to_owned(), name, identity })
    }

    /// Whether it says of itself that it is of the same cluster, or says nothing.
    pub(super) fn belongs_with(&self, other: &Self) -> bool {
        self.identity.is_none() || other.identity.is_none() || self.identity == other.identity
    }

    /// Refuses a file of another cluster.
    pub(super) fn check(&self, record: &ClusterRecord) -> Result<()> {
        let found =
            ClusterIdentity { system_identifier: record.system_identifier, segment_bytes: record.segment_bytes };
        match self.identity {
            Some(identity) if identity != found => {
                Err(catalog::Error::OtherCluster { cluster: record.cluster.clone(), found, identity }.into())
            }
            _ => Ok(()),
        }
    }

    /// Whether it is the unfinished end of a timeline, which has no name of its own in the bucket.
    pub(super) fn is_partial(&self) -> bool {
        matches!(self.name, WalFileName::Partial(_))
    }

    /// Whether the bucket has it, by the names in it.
    pub(super) fn is_in(&self, stored: &WalCatalog) -> bool {
        let coverage = |timeline| stored.timelines.get(&timeline);
        match (self.name, self.identity) {
            (WalFileName::Segment(segment), Some(identity)) => {
                let Some(start) = segment.start(identity.segment_bytes) else { return false };
                let range = WalRange { start, end: start.plus(identity.segment_bytes.bytes()) };
                let holds = |whole: &WalRange| whole.start <= range.start && range.end <= whole.end;
                coverage(segment.timeline).is_some_and(|coverage| coverage.pieces.iter().any(holds))
            }
            (WalFileName::History(timeline), _) => {
                coverage(timeline).is_some_and(|coverage| coverage.history.is_some())
            }
            _ => false,
        }
    }

    /// The objects that it becomes.
    pub(super) fn parts(&self) -> Result<Vec<Part>> {
        let (segment, end) = match self.name {
            WalFileName::History(_) | WalFileName::BackupHistory(..) => return Ok(vec![Part::File]),
            WalFileName::Segment(segment) => (segment, None),
            WalFileName::Partial(segment) => (segment, Some(self.end_of_partial(segment)?)),
        };
        let Some(ClusterIdentity { segment_bytes, .. }) = self.identity else { return Ok(Vec::new()) };
        let (start, bytes) = (start_of(segment, segment_bytes)?, piece_bytes(segment_bytes));
        let end = end.unwrap_or_else(|| start.plus(segment_bytes.bytes()));
        let starts = (start.get()..end.get()).step_by(usize::try_from(bytes).unwrap_or(usize::MAX));
        let part = |start| {
            let piece = WalRange::piece(Lsn::new(start), segment_bytes);
            let range = WalRange { start: piece.start, end: piece.end.min(end) };
            Part::Range { timeline: segment.timeline, range, segment: segment_bytes }
        };
        Ok(starts.map(part).collect())
    }

    /// Where the WAL in the last segment of a timeline ends: where the next timeline branched off, if its history lies beside
    /// it, else behind the last page that is this timeline's.
    fn end_of_partial(&self, segment: SegmentName) -> Result<Lsn> {
        let Some(ClusterIdentity { segment_bytes, .. }) = self.identity else { return Ok(Lsn::default()) };
        let start = start_of(segment, segment_bytes)?;
        let range = WalRange { start, end: start.plus(segment_bytes.bytes()) };
        if let Some(switch) = backlog::switch_within(&self.path, segment.timeline, range) {
            return Ok(switch);
        }
        let file = std::fs::File::open(&self.path).map_err(|error| unreadable(&self.path, &error))?;
        let pages = finished_bytes(start, std::io::BufReader::with_capacity(1 << 20, file));
        Ok(start.plus(pages.map_err(|error| unreadable(&self.path, &error))?))
    }

    /// Reads what becomes one object, with the times of the transactions that ended in it.
    pub(super) async fn read(&self, part: &Part) -> Result<(Bytes, WalContent, Option<Commits>)> {
        let (path, name, part) = (self.path.clone(), self.name, *part);
        let read = spawn_blocking(move || {
            let mut file = std::fs::File::open(&path).map_err(|error| unreadable(&path, &error))?;
            let mut plain = Vec::new();
            let (skip, bytes) = match part {
                Part::Range { range, segment, .. } => {
                    (range.start.since(range.start.floor(segment.bytes())), range.bytes())
                }
                Part::File => (0, WAL_FILE_BYTES_MAX as u64),
            };
            plain.reserve(usize::try_from(bytes).unwrap_or(0).min(1 << 24));
            file.seek(SeekFrom::Start(skip)).map_err(|error| unreadable(&path, &error))?;
            file.take(bytes).read_to_end(&mut plain).map_err(|error| unreadable(&path, &error))?;
            let (content, commits) = match part {
                Part::Range { timeline, range, segment } => {
                    if plain.len() as u64 != bytes {
                        let why = "it became shorter while it was read".into();
                        return Err(Error::File { path, why });
                    }
                    let mut scanner = CommitScanner::new(range.start);
                    scanner.feed(&plain);
                    (Some(WalContent::range(timeline, range, segment)), scanner.take_commits())
                }
                Part::File => (WalContent::file(name, &plain)?, None),
            };
            let content = content.ok_or_else(|| Error::Usage(format!("{name} is not a WAL file")))?;
            Ok((Bytes::from(plain), content, commits))
        });
        read.await.map_err(catalog::Error::Worker)?
    }

    /// Whether the same content is stored.
    pub(super) async fn is_stored(&self, repository: &Repository, cluster: &ClusterName, part: &Part) -> Result<bool> {
        let (plain, content, _) = self.read(part).await?;
        if !content.is_canonical() {
            return partial_is_stored(repository, cluster, part).await;
        }
        let system_identifier = self.identity.map(|identity| identity.system_identifier);
        let name = WalName::of(&content, None);
        Ok(repository.compare_at_once(cluster, &name, system_identifier, &plain).await?)
    }
}

/// A partial has no name of its own and cannot be compared; a genuine one of the same positions stands for it. Where longer
/// ones hold all of it, it counts as not stored, and is stored once more with a lock of its own.
async fn partial_is_stored(repository: &Repository, cluster: &ClusterName, part: &Part) -> Result<bool> {
    let Part::Range { timeline, range, segment } = part else { return Ok(false) };
    let piece = WalRange::piece(range.start, *segment);
    let links = repository.partial_links(cluster, *timeline, piece).await?;
    Ok(links.iter().any(|link| link.range == *range))
}

fn start_of(segment: SegmentName, size: SegmentSize) -> Result<Lsn> {
    let why = || format!("there is no {segment} with segments of {} bytes", size.bytes());
    segment.start(size).ok_or_else(|| format::Error::Malformed { what: "WAL file name", why: why() }.into())
}

/// What a segment says of its cluster, if it is the one that its name says.
fn identify(path: &Path, name: SegmentName) -> Result<ClusterIdentity> {
    let (header, bytes) = header_of(path)?;
    let header = header.and_then(|header| header.expect(name, bytes).map(|()| header));
    let header = header.map_err(|error| Error::File { path: path.to_owned(), why: error.to_string() })?;
    Ok(ClusterIdentity { system_identifier: header.system_identifier, segment_bytes: header.segment_bytes })
}

fn identity_of(path: &Path) -> Option<ClusterIdentity> {
    let WalFileName::Segment(name) = path.file_name()?.to_str()?.parse().ok()? else { return None };
    identify(path, name).ok()
}

/// First page header and size of a segment.
pub(in crate::commands) fn header_of(path: &Path) -> Result<(format::Result<SegmentHeader>, u64)> {
    let read = || {
        let mut file = std::fs::File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut first = Vec::with_capacity(SegmentHeader::BYTES);
        (&mut file).take(SegmentHeader::BYTES as u64).read_to_end(&mut first)?;
        Ok((SegmentHeader::read(&first), bytes))
    };
    read().map_err(|error| unreadable(path, &error))
}
