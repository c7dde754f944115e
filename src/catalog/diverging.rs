//! Two timelines that both live: a rehearsal that archived under its source's name becomes "the latest timeline", while the
//! source goes on writing the older one.

use jiff::Timestamp;
use serde::Serialize;

use super::WalCatalog;
use crate::format::wal::History;
use crate::format::{Lsn, Timeline};

/// One timeline with WAL.
#[derive(Clone, Copy, Debug)]
pub struct Branch<'a> {
    /// Which one.
    pub timeline: Timeline,
    /// How it came to be, if that is stored.
    pub history: Option<&'a History>,
    /// Where its WAL ends.
    pub end: Lsn,
    /// When its newest WAL was sealed (store time).
    pub newest_at: Timestamp,
}

/// The timeline called latest is not the one with the newest WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Diverging {
    /// The one with the highest number, which "latest" means.
    pub latest: Timeline,
    /// When its newest WAL was sealed (store time).
    pub latest_at: Timestamp,
    /// The one that went on.
    pub other: Timeline,
    /// When its newest WAL was sealed (store time).
    pub other_at: Timestamp,
    /// Where they parted.
    pub fork: Lsn,
}

impl Diverging {
    /// Looks for one that went on behind the point where the latest timeline left it, and has newer WAL. After a failover the
    /// old primary leaves some WAL behind that point too, and falls silent.
    pub fn among<'a>(branches: impl IntoIterator<Item = Branch<'a>>) -> Option<Self> {
        let branches: Vec<Branch<'_>> = branches.into_iter().collect();
        let latest = branches.iter().max_by_key(|branch| branch.timeline)?;
        let others = branches.iter().filter(|other| other.timeline < latest.timeline);
        let newer = others.filter(|other| other.newest_at > latest.newest_at);
        let parted = newer.filter_map(|other| Some((other, fork(other, latest).filter(|fork| other.end > *fork)?)));
        let (other, fork) = parted.max_by_key(|(other, _)| other.newest_at)?;
        let (latest_at, other_at) = (latest.newest_at, other.newest_at);
        Some(Self { latest: latest.timeline, latest_at, other: other.timeline, other_at, fork })
    }

    /// What to do.
    pub fn hint(&self) -> String {
        format!(
            "if timeline {} is a rehearsal that was allowed to store its WAL here, recover with --target-timeline {}; restore rehearsals with --no-archive, or give them another cluster name",
            self.latest, self.other
        )
    }
}

impl std::fmt::Display for Diverging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { latest, latest_at, other, other_at, fork } = self;
        write!(
            f,
            "timelines {other} and {latest} parted at {fork}, and timeline {other} has the newer WAL (of {}, timeline {latest} of {}): \"latest\" means timeline {latest}",
            seconds(*other_at),
            seconds(*latest_at)
        )
    }
}

fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// Where two timelines parted, as far as the stored histories tell.
fn fork(older: &Branch<'_>, latest: &Branch<'_>) -> Option<Lsn> {
    let ancestors = &latest.history?.ancestors;
    if let Some(entry) = ancestors.iter().find(|entry| entry.timeline == older.timeline) {
        return Some(entry.switch);
    }
    let own = &older.history?.ancestors;
    let common = |timeline| own.iter().find(|entry| entry.timeline == timeline);
    ancestors.iter().rev().find_map(|entry| Some(entry.switch.min(common(entry.timeline)?.switch)))
}

impl WalCatalog {
    /// Whether the latest timeline is not the one that lives.
    pub fn diverging(&self) -> Option<Diverging> {
        Diverging::among(self.timelines.values().filter_map(|line| {
            let (end, newest_at) = (line.end()?, line.newest_at?);
            Some(Branch { timeline: line.timeline, history: line.history.as_ref(), end, newest_at })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::wal::HistoryEntry;

    fn timeline(number: u32) -> Timeline {
        Timeline::new(number).unwrap()
    }

    fn history(number: u32, ancestors: &[(u32, u64)]) -> History {
        let entry = |(of, switch): &(u32, u64)| HistoryEntry { timeline: timeline(*of), switch: Lsn::new(*switch) };
        History { timeline: timeline(number), ancestors: ancestors.iter().map(entry).collect() }
    }

    #[test]
    fn a_timeline_that_goes_on_behind_the_fork_is_told() {
        let (second, third) = (history(2, &[(1, 100)]), history(3, &[(1, 150)]));
        let branch = |number, history, end, second| Branch {
            timeline: timeline(number),
            history,
            end: Lsn::new(end),
            newest_at: Timestamp::from_second(second).unwrap(),
        };
        let found = |branches: &[Branch<'_>]| {
            Diverging::among(branches.iter().copied()).map(|d| (d.latest.get(), d.other.get(), d.fork.get()))
        };
        let rehearsal = branch(2, Some(&second), 130, 50);
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[branch(1, None, 500, 60)]), None);
        assert_eq!(found(&[branch(1, None, 500, 60), rehearsal]), Some((2, 1, 100)));
        assert_eq!(found(&[branch(1, None, 500, 50), rehearsal]), None, "the old primary fell silent");
        assert_eq!(found(&[branch(1, None, 100, 60), rehearsal]), None, "nothing behind the fork");
        assert_eq!(
            found(&[branch(1, None, 500, 60), branch(2, None, 130, 50)]),
            None,
            "nobody knows where they parted"
        );
        let sister = branch(3, Some(&third), 170, 55);
        assert_eq!(found(&[branch(2, Some(&second), 900, 60), sister]), Some((3, 2, 100)), "both left the first one");
        let three = [branch(1, None, 500, 70), branch(2, Some(&second), 900, 60), sister];
        assert_eq!(found(&three), Some((3, 1, 150)), "the one that lives");
    }

    #[test]
    fn both_timelines_and_the_cure_are_named() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let told = Diverging {
            latest: timeline(2),
            latest_at: at(50),
            other: timeline(1),
            other_at: at(60),
            fork: Lsn::new(0x100_0000),
        };
        let text = "timelines 1 and 2 parted at 0/1000000, and timeline 1 has the newer WAL (of 1970-01-01T00:01:00Z, timeline 2 of 1970-01-01T00:00:50Z): \"latest\" means timeline 2";
        assert_eq!(told.to_string(), text);
        assert!(told.hint().contains("--target-timeline 1") && told.hint().contains("--no-archive"));
    }
}
