//! From timeline to timeline.

use super::WalCatalog;
use crate::catalog::{Error, Result};
use crate::format::wal::{HistoryEntry, WalRange};
use crate::format::{ClusterName, Lsn, Timeline};

/// One timeline on the way to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The timeline.
    pub timeline: Timeline,
    /// Where it is left for the next one; `None` for the last.
    pub switch: Option<Lsn>,
}

/// WAL that follows without a hole, as far as it lies on one timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The timeline.
    pub timeline: Timeline,
    /// The positions.
    pub range: WalRange,
}

impl WalCatalog {
    /// The way to `timeline`, oldest first, as histories tell it. An error if `timeline` is not here, or is not a first one and
    /// its history is missing.
    pub fn path_to(&self, cluster: &ClusterName, timeline: Timeline) -> Result<Vec<Leg>> {
        if !self.timelines.contains_key(&timeline) {
            return Err(Error::NoTimeline { cluster: cluster.clone(), timeline });
        }
        let mut path = vec![Leg { timeline, switch: None }];
        let mut youngest = timeline;
        while let Some(history) = self.timelines.get(&youngest).and_then(|coverage| coverage.history.as_ref()) {
            let older = history.ancestors.iter().rev();
            let legs =
                older.map(|HistoryEntry { timeline, switch }| Leg { timeline: *timeline, switch: Some(*switch) });
            let before = path.len();
            path.extend(legs);
            // A header names the youngest ancestors; the oldest of them may have a history of its own.
            let Some(oldest) = path.last().filter(|_| path.len() > before) else { break };
            youngest = oldest.timeline;
        }
        let oldest = path.last().map_or(timeline, |leg| leg.timeline);
        if path.len() == 1 && oldest.get() > 1 && self.timelines.len() > 1 {
            return Err(Error::NoHistory { cluster: cluster.clone(), timeline });
        }
        path.reverse();
        Ok(path)
    }

    /// What follows on `path` from position `from` of `timeline` without a hole. Empty if `from` itself is not there.
    pub fn stretch(&self, path: &[Leg], timeline: Timeline, from: Lsn) -> Vec<Stretch> {
        let mut stretches: Vec<Stretch> = Vec::new();
        let mut at = from;
        let legs = path.iter().skip_while(|leg| leg.timeline != timeline);
        for leg in legs {
            let window = self.timelines.get(&leg.timeline).and_then(|coverage| coverage.window(at));
            if let Some(window) = window {
                let end = leg.switch.map_or(window.end, |switch| window.end.min(switch));
                if end > at {
                    stretches.push(Stretch { timeline: leg.timeline, range: WalRange { start: at, end } });
                    at = end;
                }
            }
            // The next timeline begins with a copy of the piece in which this one was left, so what is missing here at the
            // very end may be there.
            if window.is_none() && leg.switch.is_none_or(|switch| switch < at) {
                break;
            }
        }
        stretches
    }

    /// Where WAL ends that follows without a hole from position `from` of `timeline`.
    pub fn contiguous_end(&self, path: &[Leg], timeline: Timeline, from: Lsn) -> Option<Lsn> {
        self.stretch(path, timeline, from).last().map(|stretch| stretch.range.end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::catalog::coverage::TimelineCoverage;
    use crate::format::wal::History;

    fn timeline(number: u32) -> Timeline {
        Timeline::new(number).unwrap()
    }

    fn range(start: u64, end: u64) -> WalRange {
        WalRange { start: Lsn::new(start), end: Lsn::new(end) }
    }

    /// Number, windows, ancestors with their switches.
    type Told<'a> = (u32, &'a [(u64, u64)], &'a [(u32, u64)]);

    fn catalog(timelines: &[Told<'_>]) -> WalCatalog {
        let coverage = |(number, windows, ancestors): &Told<'_>| {
            let mut coverage = TimelineCoverage::new(timeline(*number));
            coverage.windows = windows.iter().map(|(start, end)| range(*start, *end)).collect();
            let entry =
                |(number, switch): &(u32, u64)| HistoryEntry { timeline: timeline(*number), switch: Lsn::new(*switch) };
            let ancestors: Vec<_> = ancestors.iter().map(entry).collect();
            coverage.history = (!ancestors.is_empty()).then_some(History { timeline: timeline(*number), ancestors });
            (timeline(*number), coverage)
        };
        WalCatalog { timelines: timelines.iter().map(coverage).collect::<BTreeMap<_, _>>(), ..WalCatalog::default() }
    }

    #[test]
    fn ways_lead_over_every_ancestor() {
        let cluster = "main".parse().unwrap();
        let all = catalog(&[(1, &[(0, 50)], &[]), (2, &[(40, 90)], &[(1, 45)]), (4, &[(80, 99)], &[(2, 85)])]);
        let path = all.path_to(&cluster, timeline(4)).unwrap();
        let told: Vec<_> = path.iter().map(|leg| (leg.timeline.get(), leg.switch.map(Lsn::get))).collect();
        assert_eq!(told, [(1, Some(45)), (2, Some(85)), (4, None)]);
        assert!(matches!(all.path_to(&cluster, timeline(3)), Err(Error::NoTimeline { .. })));
        let lost = catalog(&[(1, &[(0, 50)], &[]), (2, &[(40, 90)], &[])]);
        assert!(matches!(lost.path_to(&cluster, timeline(2)), Err(Error::NoHistory { .. })));
    }

    #[test]
    fn a_stretch_ends_at_a_hole() {
        let cluster = "main".parse().unwrap();
        let all = catalog(&[(1, &[(0, 42), (44, 60)], &[]), (2, &[(40, 90), (95, 99)], &[(1, 45)])]);
        let (one, two) = (all.path_to(&cluster, timeline(1)).unwrap(), all.path_to(&cluster, timeline(2)).unwrap());
        let told = |path: &[Leg], number: u32, from: u64| {
            let stretches = all.stretch(path, timeline(number), Lsn::new(from));
            let tell = |s: &Stretch| (s.timeline.get(), s.range.start.get(), s.range.end.get());
            stretches.iter().map(tell).collect::<Vec<_>>()
        };
        assert_eq!(told(&one, 1, 10), [(1, 10, 42)]);
        assert_eq!(told(&one, 1, 50), [(1, 50, 60)], "beyond the switch, on the lost branch");
        assert_eq!(told(&one, 1, 43), []);
        // What timeline 1 lost at its end is in the copy with which timeline 2 begins.
        assert_eq!(told(&two, 1, 10), [(1, 10, 42), (2, 42, 90)]);
        assert_eq!(told(&two, 2, 96), [(2, 96, 99)]);
        assert_eq!(all.contiguous_end(&two, timeline(1), Lsn::new(10)), Some(Lsn::new(90)));
        assert_eq!(all.contiguous_end(&two, timeline(2), Lsn::new(92)), None);
    }
}
