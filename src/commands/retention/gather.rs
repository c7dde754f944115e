//! The facts that a retention plan is made from: manifests and listings, authenticated where it matters.
//!
//! A backup counts as whole when its listing shows every object that its manifest pins. A folder is abandoned only if it
//! holds nothing that is named like a manifest: what cannot be read or believed is not nothing. What the store fails to
//! tell is an error, since a plan from half of the facts would give up the other half.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;

use super::copies::{Copied, replace};
use crate::catalog::{
    Backup, Finding, FindingKind, Repository, Stretch, TimelineCoverage, believed, each_entry, merge_ranges,
};
use crate::commands::{Connected, Immutability, Result};
use crate::format::names::WalName;
use crate::format::wal::{WalRange, piece_bytes};
use crate::format::{BackupId, ClusterName, Lsn, SegmentSize};
use crate::limits::{DISCOVERIES, HEADS, STATUS_COMMIT_PIECES_MAX, WAL_WINDOWS_MAX};
use crate::retention::{BackupFact, Facts, TimelineFact, UnfinishedFact, UnreadFact, Verified};
use crate::store::{Read as _, Retain as _};
use crate::verify::{self, Findings};

/// Facts, and what else was seen on the way.
#[derive(Debug)]
pub struct Gathered {
    /// The facts.
    pub facts: Facts,
    /// When gathering began (store time): what arrived later may not be among them.
    pub begun_at: Timestamp,
    /// Partials that whole pieces have replaced.
    pub superseded: Superseded,
    /// What does not belong there.
    pub findings: Findings,
}

/// Partials that whole pieces have replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Superseded {
    /// How many versions.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a folder of backups holds.
enum Folder {
    Backup(Box<BackupFact>, Option<Copied>),
    Unfinished(UnfinishedFact),
    Unread(UnreadFact),
    Gone,
}

/// Gathers the facts of one cluster with the credentials that read.
pub async fn gather(connected: &Connected, repository: &Repository, cluster: &ClusterName) -> Result<Gathered> {
    let begun_at = connected.store.clock().now();
    let mut gathered = Gathered {
        facts: Facts {
            cluster: cluster.clone(),
            segment: None,
            backups: Vec::new(),
            unfinished: Vec::new(),
            unread: Vec::new(),
            wal: Vec::new(),
        },
        begun_at,
        superseded: Superseded::default(),
        findings: Findings::default(),
    };
    let mut copies = Vec::new();
    let ids = repository.candidates(cluster).await?;
    let looks = stream::iter(ids).map(|id| async move { look(connected, repository, cluster, id).await });
    let mut looks = std::pin::pin!(looks.buffered(DISCOVERIES));
    while let Some((folder, beside)) = looks.try_next().await? {
        gathered.findings.extend(beside);
        match folder {
            Folder::Backup(fact, copy_of) => {
                copies.extend(copy_of);
                gathered.facts.backups.push(*fact);
            }
            Folder::Unfinished(fact) => gathered.facts.unfinished.push(fact),
            Folder::Unread(fact) => gathered.facts.unread.push(fact),
            Folder::Gone => {}
        }
    }
    replace(&mut gathered.facts.backups, &copies);
    wal(repository, cluster, &mut gathered).await?;
    Ok(gathered)
}

async fn look(
    connected: &Connected,
    repository: &Repository,
    cluster: &ClusterName,
    id: BackupId,
) -> Result<(Folder, Vec<Finding>)> {
    let (backup, mut beside) = repository.look(cluster, &id).await?;
    let Some(backup) = backup else { return Ok((folder(repository, cluster, id, &beside).await?, beside)) };
    let presence = verify::presence(repository, &backup).await?;
    beside.extend(presence.details.iter().filter(|finding| !finding.kind.is_stray()).cloned());
    let held = match connected.immutability() {
        Immutability::ObjectLock { .. } => connected.store.hold_of(&backup.entry.key, &backup.entry.version).await?,
        Immutability::None => false,
    };
    let of = backup.copy_of(&repository.trusted_root()).cloned();
    let (copy, arrived_at) = (backup.clear().backup.clone(), backup.entry.last_modified);
    let copied = of.map(|of| Copied { copy, arrived_at, of });
    Ok((Folder::Backup(Box::new(fact(&backup, &presence, held)), copied), beside))
}

fn fact(backup: &Backup, presence: &Findings, held: bool) -> BackupFact {
    let clear = backup.clear();
    let missing = presence.counts.get(&FindingKind::Missing).copied().unwrap_or(0);
    let first = presence.details.iter().find(|finding| finding.kind == FindingKind::Missing);
    let verified = match missing {
        0 => Verified::Yes,
        1 => Verified::No(format!("missing: {}", first.map_or("", |finding| &finding.key))),
        more => Verified::No(format!("{more} objects missing, such as {}", first.map_or("", |finding| &finding.key))),
    };
    BackupFact {
        id: clear.backup.clone(),
        kind: clear.kind,
        arrived_at: backup.entry.last_modified,
        started_at: clear.started_at,
        verified,
        base: clear.base.clone(),
        keys: vec![clear.payload_key.id, clear.metadata_key.id],
        copy_of: None,
        replaced_by: None,
        held,
        bytes: clear.stored_bytes() + backup.entry.bytes,
    }
}

/// A folder in which no manifest was believed.
async fn folder(repository: &Repository, cluster: &ClusterName, id: BackupId, beside: &[Finding]) -> Result<Folder> {
    let names = repository.names();
    let manifests = names.manifests(cluster, &id);
    let (mut newest, mut marked, mut bytes, mut doubtful) = (None, None, 0, None);
    each_entry(&**repository.store(), &names.backup(cluster, &id), |entry| {
        if entry.delete_marker {
            marked = marked.max(Some(entry.last_modified));
            return;
        }
        newest = newest.max(Some(entry.last_modified));
        bytes += entry.bytes;
        if entry.key.as_str().starts_with(&manifests) && doubtful.is_none() {
            doubtful = Some(entry.key.to_string());
        }
    })
    .await?;
    if let Some(key) = doubtful {
        let told = beside.iter().find(|finding| finding.key.starts_with(&manifests));
        let why = told.map_or(format!("{key} is not believed"), ToString::to_string);
        return Ok(Folder::Unread(UnreadFact { id, why }));
    }
    // Markers over nothing: as old as they are. Markers over something make it no younger.
    Ok(match newest.or(marked) {
        Some(newest_at) => Folder::Unfinished(UnfinishedFact { id, newest_at, bytes }),
        None => Folder::Gone,
    })
}

async fn wal(repository: &Repository, cluster: &ClusterName, gathered: &mut Gathered) -> Result<()> {
    let catalog = repository.wal(cluster).await?;
    gathered.facts.segment = catalog.segment();
    gathered.findings.extend(catalog.findings);
    for coverage in catalog.timelines.into_values() {
        let (mut proven, mut last_commit) = (Vec::new(), None);
        if let Some(segment) = gathered.facts.segment {
            let end = last_stretch(&coverage, segment);
            last_commit = repository.latest_commit(cluster, segment, &end).await?;
            let superseded = superseded(repository, cluster, segment, &coverage, &mut proven).await?;
            gathered.superseded.objects += superseded.objects;
            gathered.superseded.bytes += superseded.bytes;
        }
        let TimelineCoverage { timeline, history, windows, newest_at, .. } = coverage;
        gathered.facts.wal.push(TimelineFact { timeline, history, windows, proven, newest_at, last_commit });
    }
    Ok(())
}

/// The end of the WAL, in which the last commit is looked for.
fn last_stretch(coverage: &TimelineCoverage, segment: SegmentSize) -> Vec<Stretch> {
    let most = STATUS_COMMIT_PIECES_MAX * piece_bytes(segment);
    let cut = |window: &WalRange| {
        let start = window.start.max(Lsn::new(window.end.get().saturating_sub(most)));
        Stretch { timeline: coverage.timeline, range: WalRange { start, end: window.end } }
    };
    coverage.windows.last().map(cut).into_iter().collect()
}

/// Finds the partials below whole pieces, and which of these pieces are genuine: in the middle of its WAL a listing is
/// taken at its word, and a planted name must not cost the partials that are the only ones to hold what lies there.
async fn superseded(
    repository: &Repository,
    cluster: &ClusterName,
    segment: SegmentSize,
    coverage: &TimelineCoverage,
    proven: &mut Vec<WalRange>,
) -> Result<Superseded> {
    let (names, timeline) = (repository.names(), coverage.timeline);
    let mut below: BTreeMap<WalRange, Superseded> = BTreeMap::new();
    each_entry(&**repository.store(), &names.wal_partials(cluster, timeline), |entry| {
        let Some(WalName::Partial { range, .. }) = names.wal_of(cluster, entry.key.as_str()) else { return };
        let piece = WalRange::piece(range.start, segment);
        let listed = coverage.pieces.iter().any(|whole| whole.start <= piece.start && piece.end <= whole.end);
        if entry.delete_marker || range.end > piece.end || !listed {
            return;
        }
        if below.len() < WAL_WINDOWS_MAX || below.contains_key(&piece) {
            let superseded = below.entry(piece).or_default();
            superseded.objects += 1;
            superseded.bytes += entry.bytes;
        }
    })
    .await?;
    let heads = stream::iter(below).map(|(piece, superseded)| async move {
        let name = WalName::Piece { timeline, range: piece, tag: None };
        // What is not believed supersedes nothing.
        let head = believed(repository.wal_head_of(cluster, &name).await)?.flatten();
        Ok::<_, crate::catalog::Error>(head.map(|_| (piece, superseded)))
    });
    let mut heads = std::pin::pin!(heads.buffered(HEADS));
    let mut sum = Superseded::default();
    while let Some(found) = heads.try_next().await? {
        let Some((piece, superseded)) = found else { continue };
        merge_ranges(proven, piece);
        sum.objects += superseded.objects;
        sum.bytes += superseded.bytes;
    }
    Ok(sum)
}
