//! Where streaming begins, and what to do when the WAL from there on is gone.

use crate::format::{Lsn, Timeline};

/// One timeline on the server's way to its present one, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The timeline.
    pub timeline: Timeline,
    /// Where the next one branches off; `None` for the present one.
    pub until: Option<Lsn>,
}

/// What is done with on one timeline: whole pieces in the bucket that are proven to be ours, and gaps that are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The timeline.
    pub timeline: Timeline,
    /// `(start, end)`, ascending, neither touching nor overlapping. A timeline of which there are only parts of its first
    /// piece has one empty range, at the start of that piece.
    pub ranges: Vec<(Lsn, Lsn)>,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// On which timeline.
    pub timeline: Timeline,
    /// From where: the start of a piece.
    pub at: Lsn,
    /// Whether WAL before it is stored, so that a gap behind it would be one.
    pub continues: bool,
}

/// Where to begin instead, because the WAL wanted is gone from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skip {
    /// Where to begin.
    pub start: Start,
    /// What is missing for ever: on the timeline of the start that failed.
    pub gap: Option<(Lsn, Lsn)>,
}

/// Decides where streaming begins.
///
/// `path` leads to the server's present timeline; `slot` is the `restart_lsn` of the slot, before which the server keeps
/// nothing for us; `flushed` is the end of the server's WAL. The rules:
///
/// - The bucket has nothing of this path: at the start of the segment of `slot`, or of `flushed` without one.
/// - Otherwise on the newest timeline of the path of which it has something, at the first hole. A process that was killed
///   leaves what it stored out of order behind a hole, and whatever is no longer on the server [`plan_skip`] records as a
///   gap, so that no hole stands in the way twice.
/// - That timeline has ended and all of it is stored: at the start of the segment in which the next one begins, which
///   the server copied to the new timeline.
/// - What came before that timeline is not all there, because someone else stored of it while nobody streamed (the
///   archiver of a new primary): at the first hole of all the timelines before of which there is something.
pub fn plan_start(
    path: &[Leg],
    stored: &[Stored],
    slot: Option<Lsn>,
    flushed: Lsn,
    segment_bytes: u64,
) -> Option<Start> {
    let mut held = path.iter().enumerate().filter(|(_, leg)| first_range(leg, stored).is_some());
    let Some((oldest, oldest_leg)) = held.next() else {
        let from = slot.unwrap_or(flushed);
        let leg = path.iter().find(|leg| leg.until.is_none_or(|until| from < until))?;
        return Some(Start { timeline: leg.timeline, at: from.floor(segment_bytes), continues: false });
    };
    let newest = held.next_back().map_or(oldest, |(index, _)| index);
    let (first, _) = first_range(oldest_leg, stored)?;
    // Where a leg begins for us: a killed process may have stored its second piece and not its first.
    let begin = |index: usize| match index {
        _ if index > oldest => path[index - 1].until.map(|until| until.floor(segment_bytes)),
        _ if oldest == newest => slot.map(|slot| slot.floor(segment_bytes)).filter(|slot| *slot < first),
        _ => None,
    };
    let hole = |index: usize| {
        let (leg, begin) = (&path[index], begin(index).unwrap_or(first));
        let ranges = stored.iter().find(|stored| stored.timeline == leg.timeline).map(|stored| &stored.ranges[..]);
        let holding = ranges.unwrap_or_default().iter().find(|(from, to)| *from <= begin && begin <= *to);
        (leg, holding.map_or(begin, |(_, to)| *to))
    };
    for index in oldest..newest {
        let (leg, at) = hole(index);
        // The segment in which a leg ends is no part of the hole: the next one has all of it.
        if at < leg.until?.floor(segment_bytes) {
            return Some(Start { timeline: leg.timeline, at, continues: true });
        }
    }
    let (leg, at) = hole(newest);
    match leg.until {
        Some(until) if at >= until => next_leg(path, newest, until, segment_bytes),
        _ => Some(Start { timeline: leg.timeline, at, continues: true }),
    }
}

/// The first range of what is stored of a leg, if anything is.
fn first_range(leg: &Leg, stored: &[Stored]) -> Option<(Lsn, Lsn)> {
    let stored = stored.iter().find(|stored| stored.timeline == leg.timeline)?;
    stored.ranges.first().copied().filter(|(start, _)| leg.until.is_none_or(|until| *start < until))
}

fn next_leg(path: &[Leg], index: usize, until: Lsn, segment_bytes: u64) -> Option<Start> {
    let next = path.get(index + 1)?;
    Some(Start { timeline: next.timeline, at: until.floor(segment_bytes), continues: true })
}

/// Decides how to go on when the server no longer has the WAL from `start` on: behind the hole that begins there, as far
/// as something is stored behind it; else from where the slot holds WAL back, or from the segment being written. On a
/// timeline that has ended, all else failing, with the next one.
pub fn plan_skip(
    path: &[Leg],
    stored: &[Stored],
    start: Start,
    slot: Option<Lsn>,
    flushed: Lsn,
    segment_bytes: u64,
) -> Option<Skip> {
    let index = path.iter().position(|leg| leg.timeline == start.timeline)?;
    let until = path[index].until;
    let ranges = stored.iter().find(|stored| stored.timeline == start.timeline).map(|stored| &stored.ranges[..]);
    if let Some((_, end)) = ranges.unwrap_or_default().iter().find(|(begin, end)| *begin <= start.at && start.at < *end)
    {
        // Someone else stored it: nothing is missing here.
        let next = match until.filter(|until| *end >= until.floor(segment_bytes)) {
            Some(until) => next_leg(path, index, until, segment_bytes)?,
            None => Start { timeline: start.timeline, at: *end, continues: true },
        };
        return Some(Skip { start: next, gap: None });
    }
    let behind = ranges.unwrap_or_default().iter().find(|(begin, _)| *begin > start.at);
    let kept = slot.map(|slot| slot.floor(segment_bytes)).filter(|slot| *slot > start.at);
    let inside = |at: &Lsn| until.is_none_or(|until| *at < until);
    let on = |at| Start { timeline: start.timeline, at, continues: true };
    let (next, gap_end) = match (behind, kept) {
        (Some((begin, _)), Some(kept)) if kept < *begin && inside(&kept) => (on(kept), kept),
        (Some((begin, end)), _) if inside(end) => (on(*end), *begin),
        (None, Some(kept)) if until.is_none() => (on(kept), kept),
        _ => {
            let next = match until {
                Some(until) => next_leg(path, index, until, segment_bytes)?,
                None => on(flushed.floor(segment_bytes)),
            };
            (next, behind.map_or(next.at, |(begin, _)| next.at.min(*begin)))
        }
    };
    if next.timeline == start.timeline && next.at <= start.at {
        return None; // even the newest segment is gone: there is nowhere to go on
    }
    let gap = (start.continues && gap_end > start.at).then_some((start.at, gap_end));
    Some(Skip { start: next, gap })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: u64 = 1 << 20;
    const SEGMENT: u64 = 4 << 20;

    fn timeline(number: u32) -> Timeline {
        Timeline::new(number).unwrap()
    }

    fn path(legs: &[(u32, Option<u64>)]) -> Vec<Leg> {
        legs.iter().map(|(n, until)| Leg { timeline: timeline(*n), until: until.map(Lsn::new) }).collect()
    }

    fn stored(number: u32, pieces: &[(u64, u64)]) -> Stored {
        let ranges = pieces.iter().map(|(a, b)| (Lsn::new(a * PIECE), Lsn::new(b * PIECE))).collect();
        Stored { timeline: timeline(number), ranges }
    }

    fn start(path: &[Leg], stored: &[Stored], slot: Option<u64>, flushed: u64) -> (u32, u64, bool) {
        let start = plan_start(path, stored, slot.map(Lsn::new), Lsn::new(flushed), SEGMENT).unwrap();
        assert_eq!(start.at.get() % PIECE, 0);
        (start.timeline.get(), start.at.get() / PIECE, start.continues)
    }

    #[test]
    fn an_empty_bucket_starts_at_a_segment() {
        let one = path(&[(1, None)]);
        assert_eq!(start(&one, &[], Some(9 * PIECE + 5), 20 * PIECE), (1, 8, false));
        assert_eq!(start(&one, &[], None, 21 * PIECE + 1), (1, 20, false));
        let two = path(&[(1, Some(10 * PIECE)), (3, None)]);
        assert_eq!(start(&two, &[], Some(9 * PIECE), 30 * PIECE), (1, 8, false), "the slot is on the old timeline");
        assert_eq!(start(&two, &[], Some(10 * PIECE), 30 * PIECE), (3, 8, false));
        // What lies on timelines that this server never was on is of another branch.
        assert_eq!(start(&two, &[stored(2, &[(4, 40)])], Some(12 * PIECE), 30 * PIECE), (3, 12, false));
    }

    #[test]
    fn a_bucket_with_wal_is_continued_at_its_first_hole() {
        let one = path(&[(1, None)]);
        assert_eq!(start(&one, &[stored(1, &[(6, 9)])], Some(5 * PIECE), 20 * PIECE), (1, 4, true));
        for slot in [None, Some(8 * PIECE + 7), Some(9 * PIECE), Some(15 * PIECE)] {
            assert_eq!(start(&one, &[stored(1, &[(4, 9)])], slot, 20 * PIECE), (1, 9, true));
            assert_eq!(start(&one, &[stored(1, &[(4, 4)])], slot, 20 * PIECE), (1, 4, true), "only partials");
            assert_eq!(start(&one, &[stored(1, &[(4, 9), (10, 12)])], slot, 20 * PIECE), (1, 9, true));
        }
    }

    #[test]
    fn ended_timelines_are_finished_before_the_next_one_begins() {
        let two = path(&[(1, Some(10 * PIECE + 5)), (2, None)]);
        assert_eq!(start(&two, &[stored(1, &[(4, 9)])], Some(9 * PIECE), 20 * PIECE), (1, 9, true));
        // The tail of a piece is never whole: it is stored again, which costs one object at most.
        assert_eq!(start(&two, &[stored(1, &[(4, 10)])], Some(10 * PIECE), 20 * PIECE), (1, 10, true));
        // A branch that was lost: the server went on from before the end of what is stored.
        assert_eq!(start(&two, &[stored(1, &[(4, 12)])], Some(9 * PIECE), 20 * PIECE), (2, 8, true));
        let both = [stored(1, &[(4, 10)]), stored(2, &[(8, 13)])];
        assert_eq!(start(&two, &both, Some(12 * PIECE), 20 * PIECE), (2, 13, true));
        let begun = [stored(1, &[(4, 10)]), stored(2, &[(9, 13)])];
        assert_eq!(start(&two, &begun, Some(12 * PIECE), 20 * PIECE), (2, 8, true));
        assert_eq!(start(&two, &begun[1..], Some(12 * PIECE), 20 * PIECE), (2, 13, true), "streaming began there");
        // Two failovers inside one segment.
        let three = path(&[(1, Some(9 * PIECE)), (2, Some(10 * PIECE)), (3, None)]);
        assert_eq!(start(&three, &[stored(1, &[(4, 9)])], Some(9 * PIECE), 11 * PIECE), (2, 8, true));
        assert_eq!(start(&three, &both, Some(10 * PIECE), 11 * PIECE), (3, 8, true));
    }

    #[test]
    fn i09_holes_at_the_end_of_an_old_timeline_are_streamed_first() {
        // While nobody streamed, the archiver of the new primary stored of its timeline.
        let two = path(&[(1, Some(10 * PIECE)), (2, None)]);
        for slot in [None, Some(9 * PIECE), Some(12 * PIECE)] {
            let archived = [stored(2, &[(8, 12)]), stored(1, &[(4, 6)])];
            assert_eq!(start(&two, &archived, slot, 20 * PIECE), (1, 6, true));
            let parts = [stored(2, &[(8, 12)]), stored(1, &[(4, 4)])];
            assert_eq!(start(&two, &parts, slot, 20 * PIECE), (1, 4, true), "only partials");
            let hole = [stored(2, &[(8, 12)]), stored(1, &[(4, 6), (7, 10)])];
            assert_eq!(start(&two, &hole, slot, 20 * PIECE), (1, 6, true));
            let whole = [stored(2, &[(8, 12)]), stored(1, &[(4, 8)])];
            assert_eq!(start(&two, &whole, slot, 20 * PIECE), (2, 12, true), "the rest is on the new one, too");
        }
        // Of a timeline in between there is nothing.
        let three = path(&[(1, Some(10 * PIECE)), (2, Some(17 * PIECE)), (3, None)]);
        let archived = [stored(3, &[(16, 20)]), stored(1, &[(4, 6)])];
        assert_eq!(start(&three, &archived, None, 30 * PIECE), (1, 6, true));
        let archived = [stored(3, &[(16, 20)]), stored(1, &[(4, 10)])];
        assert_eq!(start(&three, &archived, None, 30 * PIECE), (2, 8, true));
        let short = path(&[(1, Some(10 * PIECE)), (2, Some(11 * PIECE)), (3, None)]);
        let archived = [stored(3, &[(9, 20)]), stored(1, &[(4, 10)])];
        assert_eq!(start(&short, &archived, None, 30 * PIECE), (3, 8, true), "it lies within one segment");
    }

    #[test]
    fn i09_what_is_stored_is_no_gap() {
        let begin = |number, at: u64| Start { timeline: timeline(number), at: Lsn::new(at * PIECE), continues: true };
        let two = path(&[(1, Some(10 * PIECE)), (2, None)]);
        let skip = |stored: &[Stored], from| plan_skip(&two, stored, from, None, Lsn::new(30 * PIECE), SEGMENT);
        let archived = [stored(2, &[(8, 12)]), stored(1, &[(4, 6)])];
        let gap = Some((Lsn::new(6 * PIECE), Lsn::new(8 * PIECE)));
        assert_eq!(skip(&archived, begin(1, 6)), Some(Skip { start: begin(2, 8), gap }));
        assert_eq!(skip(&archived, begin(2, 8)), Some(Skip { start: begin(2, 12), gap: None }));
        let whole = [stored(1, &[(4, 8)])];
        assert_eq!(skip(&whole, begin(1, 5)), Some(Skip { start: begin(2, 8), gap: None }));
    }

    #[test]
    fn i09_what_is_gone_is_a_gap() {
        let begin =
            |number, at: u64, continues| Start { timeline: timeline(number), at: Lsn::new(at * PIECE), continues };
        let skip = |path: &[Leg], stored: &[Stored], from, slot: Option<u64>, flushed: u64| {
            plan_skip(path, stored, from, slot.map(Lsn::new), Lsn::new(flushed), SEGMENT)
        };
        let range = |a: u64, b: u64| Some((Lsn::new(a * PIECE), Lsn::new(b * PIECE)));
        let one = path(&[(1, None)]);
        let want = Skip { start: begin(1, 12, true), gap: range(9, 12) };
        assert_eq!(skip(&one, &[], begin(1, 9, true), Some(13 * PIECE + 4), 30 * PIECE), Some(want));
        let want = Skip { start: begin(1, 28, true), gap: range(9, 28) };
        assert_eq!(skip(&one, &[], begin(1, 9, true), None, 30 * PIECE), Some(want));
        assert_eq!(skip(&one, &[], begin(1, 9, true), Some(5 * PIECE), 30 * PIECE), Some(want), "the slot was no help");
        // Of what is stored behind the hole nothing is missing.
        let holes = [stored(1, &[(4, 9), (10, 12)])];
        let want = Skip { start: begin(1, 12, true), gap: range(9, 10) };
        assert_eq!(skip(&one, &holes, begin(1, 9, true), Some(16 * PIECE), 30 * PIECE), Some(want));
        let wide = [stored(1, &[(4, 9), (20, 22)])];
        let want = Skip { start: begin(1, 16, true), gap: range(9, 16) };
        assert_eq!(skip(&one, &wide, begin(1, 9, true), Some(17 * PIECE), 30 * PIECE), Some(want));
        // Nothing was stored before, so nothing is missing.
        let want = Skip { start: begin(1, 28, true), gap: None };
        assert_eq!(skip(&one, &[], begin(1, 8, false), None, 30 * PIECE), Some(want));
        assert_eq!(skip(&one, &[], begin(1, 28, true), None, 30 * PIECE), None);
        // The end of an old timeline: the segment of the switch is on the new one, too.
        let two = path(&[(1, Some(10 * PIECE + 5)), (2, None)]);
        let want = Skip { start: begin(2, 8, true), gap: None };
        assert_eq!(skip(&two, &[], begin(1, 9, true), Some(9 * PIECE), 20 * PIECE), Some(want));
        let want = Skip { start: begin(2, 8, true), gap: range(5, 8) };
        assert_eq!(skip(&two, &[], begin(1, 5, true), Some(9 * PIECE), 20 * PIECE), Some(want));
    }
}
