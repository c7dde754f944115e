//! From what is stored to what can be restored: windows, gaps, how far WAL is durable, and the moments in between.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::bucket::{Base, Look};
use super::facts::{Blocked, Branch, Durable, Span, TimelineFacts, UnreadWal, Window};
use super::gaps::{self, Breach, Way};
use crate::catalog::plan::{self, Goal, PlanBase, Refusal, Request, Route, TimelineChoice, TimelineWal, WalState};
use crate::catalog::{self, Stretch, TimelineCoverage, believed};
use crate::commands::Result;
use crate::format::names::WalName;
use crate::format::wal::{History, WalRange, piece_bytes};
use crate::format::{Lsn, SegmentSize, Timeline};
use crate::limits::{HEADS, STATUS_COMMIT_PIECES_MAX, STATUS_IN_FLIGHT_MAX, STATUS_PROVEN_PIECES};
use crate::store::{self, Read as _};

/// What the bucket comes to.
pub(super) struct View {
    pub(super) timelines: Vec<TimelineFacts>,
    pub(super) durable: Option<Durable>,
    pub(super) window: Option<Window>,
    pub(super) blocked: Option<Blocked>,
    pub(super) unread: Option<UnreadWal>,
    /// The way from the newest base backup, as far as it is open.
    pub(super) route: Option<Route>,
}

pub(super) async fn view(look: &Look<'_>, timeline: Option<Timeline>) -> Result<View> {
    let bases: Vec<PlanBase> = look.backups.bases.iter().map(Base::planned).collect();
    let segment = look.segment().unwrap_or(SegmentSize::DEFAULT);
    let mut wal = state(look.wal.timelines.values(), segment);
    let goal = goal(&wal, &bases, timeline);
    let mut unread = None;
    if let Some(goal) = goal {
        unread = prove(look, &mut wal, goal).await?;
        settle(look, &mut wal, goal).await?;
    }
    let way = goal.map_or(Way::None(Refusal::NoBase), |goal| {
        Way::of(plan::route(&bases, &wal, &request(goal, Goal::Latest, None)))
    });
    let tell = |line: &TimelineCoverage| tell(line, &bases, &wal, &way, goal.unwrap_or(line.timeline));
    let timelines = look.wal.timelines.values().map(tell).collect();
    let durable = match goal {
        Some(goal) => durable(look, &wal, goal).await?,
        None => None,
    };
    let reached = goal.and_then(|goal| reach(&bases, &wal, &way, goal));
    let window = match &reached {
        Some((route, earliest_at)) => {
            let latest_commit_at =
                look.repository.latest_commit(look.cluster, segment, &last_stretches(route, segment)).await?;
            let (base, earliest_at) = (route.base.id.clone(), *earliest_at);
            Some(Window { base, earliest_at, latest_commit_at, end: route.end() })
        }
        None => None,
    };
    let (blocked, route) = (blocked(&way), reached.map(|(route, _)| route));
    Ok(View { timelines, durable, window, blocked, unread, route })
}

/// What plans need to know of the stored WAL. Timelines of which nothing genuine is stored do not count.
fn state<'c>(timelines: impl Iterator<Item = &'c TimelineCoverage>, segment: SegmentSize) -> WalState {
    let wal = |line: &TimelineCoverage| TimelineWal {
        windows: line.windows.iter().map(|window| (window.start, window.end)).collect(),
        ancestors: line
            .history
            .as_ref()
            .map(|history| history.ancestors.iter().map(|ancestor| (ancestor.timeline, ancestor.switch)).collect()),
    };
    let stored = timelines.filter(|line| line.end().is_some() || line.history.is_some());
    let timelines: BTreeMap<_, _> = stored.map(|line| (line.timeline, wal(line))).collect();
    WalState { segment, timelines }
}

/// The timeline to recover to: the server's, if anything of it is stored; else the newest one that is.
fn goal(wal: &WalState, bases: &[PlanBase], server: Option<Timeline>) -> Option<Timeline> {
    let stored = wal.timelines.keys().copied().chain(bases.iter().map(|base| base.range.timeline));
    server.filter(|server| stored.clone().any(|timeline| timeline == *server)).or_else(|| stored.max())
}

fn request(timeline: Timeline, goal: Goal, base: Option<&PlanBase>) -> Request {
    let base = base.map(|base| base.id.clone());
    Request { goal, inclusive: true, timeline: TimelineChoice::Number(timeline), base }
}

/// Takes out of the end of the WAL what bears the name of a piece and is none. Elsewhere names are taken at their word; how far WAL is
/// durable must not rest on something planted where a piece is still on its way, or was lost. Gives the first that cannot be read: that
/// it is none is not known, so it is told and no hole.
async fn prove(look: &Look<'_>, wal: &mut WalState, timeline: Timeline) -> Result<Option<UnreadWal>> {
    let (Some(line), Some(segment)) = (wal.timelines.get_mut(&timeline), look.segment()) else { return Ok(None) };
    let last = look.wal.timelines.get(&timeline).and_then(|coverage| coverage.pieces.last());
    let Some(WalRange { start: first, end }) = last.copied() else { return Ok(None) };
    let bytes = piece_bytes(segment);
    // The last one of all is proved already.
    let pieces = (2..=STATUS_PROVEN_PIECES).filter_map(|number| {
        let start = Lsn::new(end.get().checked_sub(number * bytes)?);
        (start >= first).then(|| WalRange { start, end: start.plus(bytes) })
    });
    let proofs = stream::iter(pieces).map(|piece| async move {
        let name = WalName::Piece { timeline, range: piece, tag: None };
        let proof = Proof::of(look.repository.wal_head_of(look.cluster, &name).await)?;
        Ok::<_, crate::commands::Error>((piece, proof))
    });
    let proofs: Vec<(WalRange, Proof)> = proofs.buffered(HEADS).try_collect().await?;
    let mut unread = None;
    for (piece, proof) in proofs {
        match proof {
            Proof::Genuine => {}
            Proof::Unread { why, hint } => {
                let span = Span { start: piece.start, end: piece.end };
                unread = Some(UnreadWal { timeline, span, why, hint });
            }
            Proof::None => {
                let chain = look.repository.partial_chain(look.cluster, timeline, piece).await?;
                let reach = chain.iter().map(|link| link.range.end).max().unwrap_or(piece.start);
                cut(&mut line.windows, reach, piece.end);
            }
        }
    }
    Ok(unread)
}

/// What the header of a piece proves.
#[derive(Debug, PartialEq, Eq)]
enum Proof {
    Genuine,
    /// Nothing under this name is ours.
    None,
    /// Something there may be, and the store does not hand it out.
    Unread {
        why: String,
        hint: Option<String>,
    },
}

impl Proof {
    fn of<T>(read: catalog::Result<Option<T>>) -> Result<Self> {
        use store::Error::{Denied, Frozen, Unheard};
        if let Err(catalog::Error::Store(error @ (Denied { .. } | Frozen { .. } | Unheard { .. }))) = &read {
            return Ok(Self::Unread { why: error.to_string(), hint: error.hint() });
        }
        Ok(if believed(read)?.flatten().is_some() { Self::Genuine } else { Self::None })
    }
}

/// Takes `from..to` out of the window that holds it.
fn cut(windows: &mut Vec<(Lsn, Lsn)>, from: Lsn, to: Lsn) {
    let holding = windows.iter().position(|(start, end)| *start <= from && to <= *end && from < to);
    if let Some(at) = holding {
        let (start, end) = windows[at];
        windows.splice(at..=at, [(start, from), (to, end)].into_iter().filter(|(start, end)| start < end));
    }
}

/// Forgets WAL behind a hole if it came a moment ago: pieces are stored side by side, and the missing one is on its way. It
/// is not durable yet, and no gap either.
async fn settle(look: &Look<'_>, wal: &mut WalState, timeline: Timeline) -> Result<()> {
    let Some(line) = wal.timelines.get_mut(&timeline) else { return Ok(()) };
    let recorded = look.wal.timelines.get(&timeline).map(|line| &line.gaps[..]).unwrap_or_default();
    for _ in 0..STATUS_IN_FLIGHT_MAX {
        let [.., (_, before), (from, _)] = line.windows[..] else { break };
        // What is recorded as lost is not on its way.
        if recorded.iter().any(|gap| gap.start <= before && from <= gap.end) {
            break;
        }
        let written = written(look, timeline, from).await?;
        let now = look.store.clock().now();
        if written.is_none_or(|written| super::lag::age(written, now) > look.settle) {
            break;
        }
        line.windows.pop();
    }
    Ok(())
}

/// When the WAL at `at` was sealed: the first byte of a piece or a partial; by authenticated headers.
async fn written(look: &Look<'_>, timeline: Timeline, at: Lsn) -> Result<Option<Timestamp>> {
    let Some(segment) = look.segment() else { return Ok(None) };
    let piece = WalRange::piece(at, segment);
    if let Some(head) = look.head(timeline, piece).await? {
        return Ok(Some(head));
    }
    let links = look.repository.partial_links(look.cluster, timeline, piece).await?;
    let holding = links.iter().filter(|link| link.range.start <= at && at < link.range.end);
    Ok(holding.map(|link| link.head.header().written_at).max())
}

/// How far WAL of `timeline` is durable. A base backup brings its own WAL along.
async fn durable(look: &Look<'_>, wal: &WalState, timeline: Timeline) -> Result<Option<Durable>> {
    let stored = wal.timelines.get(&timeline).and_then(|line| line.windows.last()).map(|(_, end)| *end);
    let bases = look.backups.bases.iter().filter(|base| base.range.timeline == timeline);
    let base = bases.max_by_key(|base| base.range.stop);
    let of_base = |base: &Base| Durable { timeline, lsn: base.range.stop, arrived_at: base.facts.arrived_at };
    let Some(lsn) = stored else { return Ok(base.map(of_base)) };
    if let Some(base) = base.filter(|base| base.range.stop > lsn) {
        return Ok(Some(of_base(base)));
    }
    let coverage = look.wal.timelines.get(&timeline);
    let sealed = written(look, timeline, Lsn::new(lsn.get().saturating_sub(1))).await?;
    let arrived_at = sealed.or_else(|| coverage.and_then(|coverage| coverage.newest_at));
    Ok(arrived_at.map(|arrived_at| Durable { timeline, lsn, arrived_at }))
}

/// The way from the newest base backup as far as it is open, and the earliest moment from which it is open to there.
fn reach(bases: &[PlanBase], wal: &WalState, way: &Way, timeline: Timeline) -> Option<(Route, Timestamp)> {
    let (goal, timeline) = match way {
        Way::Open { .. } => (Goal::Latest, timeline),
        Way::Broken(Breach { from, timeline, .. }) => (Goal::Lsn(Lsn::new(from.get() - 1)), *timeline),
        Way::None(_) => return None,
    };
    let from = |base: Option<&PlanBase>| plan::route(bases, wal, &request(timeline, goal.clone(), base)).ok();
    let route = from(None)?;
    let mut older: Vec<&PlanBase> =
        bases.iter().filter(|base| base.range.ended_at <= route.base.range.ended_at).collect();
    older.sort_by_key(|base| base.range.ended_at);
    let same_end = |base: &&PlanBase| from(Some(base)).is_some_and(|other| other.end() == route.end());
    let earliest = older.into_iter().find(same_end).map_or(route.base.range.ended_at, |base| base.range.ended_at);
    Some((route, earliest))
}

fn blocked(way: &Way) -> Option<Blocked> {
    match way {
        Way::None(refusal) if *refusal != Refusal::NoBase => {
            Some(Blocked { why: refusal.to_string(), hint: refusal.hint() })
        }
        _ => None,
    }
}

/// The end of the way, in which the last commit is looked for: not all of it, since one transaction can fill days of WAL.
fn last_stretches(route: &Route, segment: SegmentSize) -> Vec<Stretch> {
    let most = STATUS_COMMIT_PIECES_MAX * piece_bytes(segment);
    let from = Lsn::new(route.end().get().saturating_sub(most)).max(route.base.range.stop);
    let cut = |leg: &plan::Leg| {
        let range = WalRange { start: leg.start.max(from), end: leg.end };
        (range.start < range.end).then_some(Stretch { timeline: leg.timeline, range })
    };
    route.legs.iter().filter_map(cut).collect()
}

fn tell(line: &TimelineCoverage, bases: &[PlanBase], wal: &WalState, way: &Way, goal: Timeline) -> TimelineFacts {
    let recorded: Vec<Span> = line.gaps.iter().map(|gap| Span { start: gap.start, end: gap.end }).collect();
    let parent = line.history.as_ref().and_then(History::parent);
    TimelineFacts {
        timeline: line.timeline,
        parent: parent.map(|parent| Branch { timeline: parent.timeline, at: parent.switch }),
        windows: line.windows.iter().map(|window| Span { start: window.start, end: window.end }).collect(),
        gaps: gaps::of_timeline(line.timeline, &recorded, wal, way, goal),
        arrived_at: line.newest_at,
        bases: bases.iter().filter(|base| base.range.timeline == line.timeline).count() as u64,
    }
}

impl Look<'_> {
    /// When a whole piece was sealed, if there is a genuine one.
    async fn head(&self, timeline: Timeline, piece: WalRange) -> Result<Option<Timestamp>> {
        let name = WalName::Piece { timeline, range: piece, tag: None };
        let head = believed(self.repository.wal_head_of(self.cluster, &name).await)?.flatten();
        Ok(head.map(|head| head.header().written_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A piece in an archive tier is no hole: nobody knows whether it is ours.
    #[test]
    fn what_cannot_be_read_is_not_missing() {
        let proof = |error| Proof::of::<()>(Err(catalog::Error::Store(error)));
        let (target, code) = ("prod/x".to_owned(), "InvalidObjectState".to_owned());
        let frozen = store::Error::Frozen { target: target.clone(), code: code.clone() };
        let denied = store::Error::Denied { action: "s3:GetObjectVersion", target: target.clone(), code: code.clone() };
        for error in [frozen, denied] {
            let why = error.to_string();
            let found = proof(error).unwrap();
            assert!(matches!(&found, Proof::Unread { why: told, hint: Some(_) } if *told == why), "{found:?}");
        }
        let gone = store::Error::NotFound { key: store::ObjectKey::new("prod/x"), version: None };
        assert_eq!(proof(gone).unwrap(), Proof::None);
        assert_eq!(Proof::of::<()>(Ok(None)).unwrap(), Proof::None);
        assert_eq!(Proof::of(Ok(Some(()))).unwrap(), Proof::Genuine);
        assert!(proof(store::Error::Busy { action: "s3:GetObject", target, code }).is_err());
    }

    #[test]
    fn a_hole_divides_a_window() {
        let after = |from: u64, to: u64| {
            let window = |start, end| (Lsn::new(start), Lsn::new(end));
            let mut windows = vec![window(0, 10), window(20, 50)];
            cut(&mut windows, Lsn::new(from), Lsn::new(to));
            windows.into_iter().map(|(start, end)| (start.get(), end.get())).collect::<Vec<_>>()
        };
        assert_eq!(after(30, 40), [(0, 10), (20, 30), (40, 50)]);
        assert_eq!(after(20, 40), [(0, 10), (40, 50)]);
        assert_eq!(after(40, 50), [(0, 10), (20, 40)]);
        for nothing in [(40, 40), (45, 30), (5, 25), (60, 70)] {
            assert_eq!(after(nothing.0, nothing.1), [(0, 10), (20, 50)], "{nothing:?}");
        }
    }
}
