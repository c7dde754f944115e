//! Which WAL belongs to a base: how far behind it, and on which timelines.

use jiff::Timestamp;

use crate::catalog::plan::{Goal, Refusal, Request, TimelineChoice};
use crate::catalog::{Backup, Repository};
use crate::commands::{Error, Result, restore_base};
use crate::format::manifest::BaseRange;
use crate::format::wal::{History, WalRange};
use crate::format::{BackupId, ClusterName, Lsn, Timeline};

const END: Lsn = Lsn::new(u64::MAX);

/// How far behind a base its WAL is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalUntil {
    /// Up to the end of the next base on its timeline, or of the WAL there is.
    NextBase,
    /// All that is stored by now, on timelines that branch off it too.
    Latest,
    /// What a recovery to this moment, by the server's clock, takes.
    Time(Timestamp),
    /// What the base itself needs to be consistent.
    None,
}

/// WAL that belongs to a base.
#[derive(Debug, Default)]
pub(super) struct Reach(Vec<(Timeline, WalRange)>);

impl Reach {
    /// That of `backup`, which may be a dump; then there is none.
    pub(super) async fn of(
        repository: &Repository,
        cluster: &ClusterName,
        backup: &Backup,
        until: WalUntil,
    ) -> Result<Self> {
        let Some(base) = &backup.clear().base else { return Ok(Self::default()) };
        let end = match until {
            WalUntil::None => base.stop,
            WalUntil::NextBase => next_base(repository, cluster, base).await?.unwrap_or(END),
            WalUntil::Latest => {
                let catalog = repository.wal(cluster).await?;
                let timelines = catalog.timelines.values().map(|line| (line.timeline, line.history.as_ref()));
                return Ok(Self::latest(base, timelines));
            }
            WalUntil::Time(time) => return Self::to_moment(repository, cluster, &backup.clear().backup, time).await,
        };
        Ok(Self(vec![(base.timeline, WalRange { start: base.start, end: end.max(base.stop) })]))
    }

    /// All behind the base, on its timeline and on those among `timelines` that branched off behind its start.
    pub(super) fn latest<'h>(
        base: &BaseRange,
        timelines: impl Iterator<Item = (Timeline, Option<&'h History>)>,
    ) -> Self {
        let all = WalRange { start: Lsn::new(0), end: END };
        let later = timelines.filter(|(_, history)| descends(*history, base)).map(|(timeline, _)| (timeline, all));
        Self(std::iter::once((base.timeline, WalRange { start: base.start, end: END })).chain(later).collect())
    }

    /// What `restore base` would replay from this base to a moment. One that cannot be reached is refused: holding what does
    /// not lead there would be a false comfort.
    async fn to_moment(
        repository: &Repository,
        cluster: &ClusterName,
        base: &BackupId,
        time: Timestamp,
    ) -> Result<Self> {
        let along = |timeline| Request { goal: Goal::Time(time), inclusive: true, timeline, base: Some(base.clone()) };
        let wal = match restore_base::wal_of(repository, cluster, &along(TimelineChoice::Latest)).await {
            // The newest timeline may have nothing to do with this base.
            Err(Error::Unreachable(Refusal::NotOnPath { .. })) => {
                restore_base::wal_of(repository, cluster, &along(TimelineChoice::Current)).await?
            }
            wal => wal?,
        };
        Ok(Self(wal.iter().map(|leg| (leg.timeline, WalRange { start: leg.start, end: leg.end })).collect()))
    }

    /// Whether WAL at these positions belongs to the base.
    pub(super) fn holds(&self, timeline: Timeline, range: WalRange) -> bool {
        self.0.iter().any(|(of, needed)| *of == timeline && needed.start < range.end && range.start < needed.end)
    }

    /// Whether any WAL of a timeline does.
    pub(super) fn touches(&self, timeline: Timeline) -> bool {
        self.0.iter().any(|(of, _)| *of == timeline)
    }
}

/// Whether a timeline branched off behind the base's start.
fn descends(history: Option<&History>, base: &BaseRange) -> bool {
    let ancestors = history.iter().flat_map(|history| &history.ancestors);
    ancestors.into_iter().any(|entry| entry.timeline == base.timeline && entry.switch >= base.start)
}

/// The end of the base that follows on the same timeline.
async fn next_base(repository: &Repository, cluster: &ClusterName, base: &BaseRange) -> Result<Option<Lsn>> {
    let mut next: Option<(Lsn, Lsn)> = None;
    let take = |other: Backup| {
        let follows = other.clear().base.as_ref().filter(|b| b.timeline == base.timeline && b.start > base.start);
        if let Some(found) = follows {
            next = Some(next.map_or((found.start, found.stop), |known| known.min((found.start, found.stop))));
        }
    };
    repository.each_backup(cluster, take).await?;
    Ok(next.map(|(_, stop)| stop))
}
