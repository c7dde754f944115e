//! When stored WAL came in. A listing tells of every object when it arrived; the ends of each run of WAL are enough for a
//! picture. Which runs there are was established elsewhere, by what is genuine: planted names move no end.

use jiff::Timestamp;

use super::facts::{Line, Missing, Period, Run};
use crate::catalog::{Repository, each_entry};
use crate::commands::Result;
use crate::commands::status::TimelineFacts;
use crate::format::ClusterName;
use crate::format::names::WalName;
use crate::format::wal::WalRange;

/// When the first and the last object of a run arrived.
type Ends = (Option<Timestamp>, Option<Timestamp>);

/// One timeline with its times.
pub(super) async fn line(repository: &Repository, cluster: &ClusterName, facts: &TimelineFacts) -> Result<Line> {
    let windows: Vec<WalRange> =
        facts.windows.iter().map(|window| WalRange { start: window.start, end: window.end }).collect();
    let mut ends: Vec<Ends> = vec![(None, None); windows.len()];
    let names = repository.names();
    each_entry(&**repository.store(), &names.wal_timeline(cluster, facts.timeline), |entry| {
        let name = names.wal_of(cluster, entry.key.as_str());
        if let Some(WalName::Piece { range, .. } | WalName::Partial { range, .. }) = name
            && !entry.delete_marker
        {
            note(&windows, &mut ends, range, entry.last_modified);
        }
    })
    .await?;
    let runs = windows.iter().zip(ends).map(|(window, ends)| run(*window, ends)).collect();
    Ok(with_missing(facts, runs, repository.store().clock().now()))
}

/// Of several objects with the same end, the oldest counts: it was durable then.
fn note(windows: &[WalRange], ends: &mut [Ends], range: WalRange, at: Timestamp) {
    let number = windows.partition_point(|window| window.end <= range.start);
    let (Some(window), Some((first, last))) = (windows.get(number), ends.get_mut(number)) else { return };
    let oldest = |known: Option<Timestamp>| Some(known.map_or(at, |known| known.min(at)));
    if range.start <= window.start && window.start < range.end {
        *first = oldest(*first);
    }
    if window.end <= range.end {
        *last = oldest(*last);
    }
}

fn run(window: WalRange, (first, last): Ends) -> Run {
    // A run may have been filled up from its end: pieces are pushed side by side.
    let arrived = first.zip(last).map(|(first, last)| Period { from: first.min(last), to: first.max(last) });
    Run { start: window.start, end: window.end, arrived }
}

fn with_missing(facts: &TimelineFacts, runs: Vec<Run>, now: Timestamp) -> Line {
    let missing = facts.gaps.iter().map(|gap| {
        let before = runs.iter().rev().find(|run| run.end <= gap.span.start).and_then(|run| run.arrived);
        let behind = runs.iter().find(|run| gap.span.end <= run.start);
        let to = behind.map_or(Some(now), |run| run.arrived.map(|arrived| arrived.from));
        let from = before.map(|arrived| arrived.to);
        let around = from.or(to).zip(to.or(from)).map(|(from, to)| Period { from: from.min(to), to: to.max(from) });
        let (start, end) = (gap.span.start, gap.span.end);
        Missing { start, end, around, recorded: gap.recorded, matters: gap.matters }
    });
    let missing = missing.collect();
    Line { timeline: facts.timeline, parent: facts.parent, runs, missing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::status::{Gap, Span};
    use crate::format::{Lsn, Timeline};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn range(start: u64, end: u64) -> WalRange {
        WalRange { start: Lsn::new(start), end: Lsn::new(end) }
    }

    #[test]
    fn the_ends_of_a_run_tell_its_times_and_later_copies_do_not_count() {
        let windows = [range(10, 30), range(40, 50)];
        let mut ends = vec![(None, None); 2];
        for (start, end, second) in [(10, 20, 1), (20, 30, 5), (20, 30, 900), (0, 10, 0), (40, 50, 8), (60, 70, 99)] {
            note(&windows, &mut ends, range(start, end), at(second));
        }
        assert_eq!(ends, [(Some(at(1)), Some(at(5))), (Some(at(8)), Some(at(8)))]);
        // A partial that begins before the window, and one that ends inside.
        let mut ends = vec![(None, None)];
        note(&[range(12, 30)], &mut ends, range(10, 14), at(3));
        assert_eq!(ends, [(Some(at(3)), None)]);
    }

    #[test]
    fn missing_wal_lies_between_what_came_before_and_behind() {
        let facts = TimelineFacts {
            timeline: Timeline::new(1).unwrap(),
            parent: None,
            windows: Vec::new(),
            gaps: [(0, 10), (30, 40), (50, 60)]
                .map(|(start, end)| Gap {
                    span: Span { start: Lsn::new(start), end: Lsn::new(end) },
                    recorded: true,
                    matters: false,
                })
                .to_vec(),
            arrived_at: None,
            bases: 0,
        };
        let runs = vec![run(range(10, 30), (Some(at(1)), Some(at(5)))), run(range(40, 50), (Some(at(8)), Some(at(9))))];
        let line = with_missing(&facts, runs, at(100));
        let around: Vec<_> = line.missing.iter().map(|missing| missing.around.unwrap()).collect();
        let period = |from, to| Period { from: at(from), to: at(to) };
        assert_eq!(around, [period(1, 1), period(5, 8), period(9, 100)]);
    }
}
