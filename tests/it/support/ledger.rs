//! A ledger: what clients wrote to a server and what it told them, to be held against what a recovery brings back.
//!
//! Every client commits rows one after the other and notes, for each, the server's clock and WAL position before it
//! began and after the commit was acknowledged. The commit lies in between, so that a target outside of that range
//! decides whether the row must be there; inside it, either is right.

pub(crate) mod load;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use stonewal::format::Lsn;
use stonewal::postgres::Session;

/// A row of the table: client, sequence.
pub(crate) type Row = (i32, i64);

/// The server's clock and `pg_current_wal_insert_lsn()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) time: Timestamp,
    pub(crate) lsn: Lsn,
}

impl Moment {
    /// Now, on that server; not one in recovery.
    pub(crate) async fn now(client: &tokio_postgres::Client) -> Result<Self, tokio_postgres::Error> {
        // Rounded, since before PostgreSQL 14 the fraction is a floating point number.
        let sql =
            "SELECT round(extract(epoch FROM clock_timestamp()) * 1000000)::int8, pg_current_wal_insert_lsn()::text";
        let row = client.query_one(sql, &[]).await?;
        let time = Timestamp::from_microsecond(row.get(0)).expect("a time of this age");
        Ok(Self { time, lsn: row.get::<_, String>(1).parse().expect("an LSN") })
    }
}

/// One attempt to commit a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) row: Row,
    pub(crate) before: Moment,
    /// Whether the commit was acknowledged. If not, it may have happened or not.
    pub(crate) acknowledged: bool,
    /// After the acknowledgement; `None` also if the connection was lost right after it.
    pub(crate) after: Option<Moment>,
}

/// Where the recovery was told to end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// The end of the WAL, which nothing acknowledged lies behind.
    Latest,
    /// `recovery_target_time`, with `recovery_target_inclusive`.
    Time { at: Timestamp, inclusive: bool },
    /// `recovery_target_lsn`, inclusive or not, or what `pg_create_restore_point` returned.
    Lsn(Lsn),
}

/// What a target says about a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Present,
    Absent,
    Either,
}

impl Target {
    /// `recoveryStopsBefore` and `recoveryStopsAfter` of xlogrecovery.c. Recovery by time ends before the first commit
    /// in the WAL that is later than the target. One that is acknowledged by then was written by then, and so were
    /// those before it: none of them is later. Recovery to an LSN may apply one more record that begins there, but a
    /// commit comes after the record of its row.
    fn verdict(self, entry: &Entry) -> Verdict {
        let (before, after) = (entry.before, entry.after.filter(|_| entry.acknowledged));
        let (present, absent) = match self {
            Self::Latest => (entry.acknowledged, false),
            Self::Time { at, inclusive: true } => (after.is_some_and(|after| after.time <= at), before.time > at),
            Self::Time { at, inclusive: false } => (after.is_some_and(|after| after.time < at), before.time >= at),
            Self::Lsn(at) => (after.is_some_and(|after| after.lsn <= at), before.lsn >= at),
        };
        match (present, absent) {
            (true, _) => Verdict::Present,
            (false, true) => Verdict::Absent,
            (false, false) => Verdict::Either,
        }
    }
}

/// All attempts, in the order of each client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) entries: Vec<Entry>,
}

impl Ledger {
    /// Rows whose commit was acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.entries.iter().filter(|entry| entry.acknowledged).count()
    }

    /// The first and the last moment noted: random targets lie between them.
    pub(crate) fn range(&self) -> Option<(Moment, Moment)> {
        let first = self.entries.iter().map(|entry| entry.before).min_by_key(|moment| moment.time)?;
        let last = self.entries.iter().filter_map(|entry| entry.after).max_by_key(|moment| moment.time)?;
        Some((first, last))
    }

    /// How many rows must be there and must not be: a test whose target decides nothing proves nothing.
    pub(crate) fn decided(&self, target: Target) -> (usize, usize) {
        let count = |verdict| self.entries.iter().filter(|entry| target.verdict(entry) == verdict).count();
        (count(Verdict::Present), count(Verdict::Absent))
    }

    /// What is wrong with these rows; empty if nothing is.
    pub(crate) fn faults(&self, rows: &BTreeSet<Row>, target: Target) -> Vec<String> {
        let mut faults = Vec::new();
        let mut attempted = BTreeSet::new();
        for entry in &self.entries {
            attempted.insert(entry.row);
            match (target.verdict(entry), rows.contains(&entry.row)) {
                (Verdict::Present, false) => faults.push(format!("lost: {entry:?}")),
                (Verdict::Absent, true) => faults.push(format!("from after the target: {entry:?}")),
                _ => {}
            }
        }
        faults.extend(rows.difference(&attempted).map(|row| format!("never written: {row:?}")));
        // Whatever the target: a client's later row is never there without its earlier ones.
        let mut last: BTreeMap<i32, i64> = BTreeMap::new();
        for (client, sequence) in rows {
            last.insert(*client, *sequence);
        }
        for entry in self.entries.iter().filter(|entry| entry.acknowledged && !rows.contains(&entry.row)) {
            if let Some(later) = last.get(&entry.row.0).filter(|later| **later > entry.row.1) {
                faults.push(format!("a hole before row {later}: {entry:?}"));
            }
        }
        faults
    }

    /// Reads the table of a restored server and compares. Panics with the first faults.
    pub(crate) async fn check(&self, session: &Session, target: Target) {
        let rows = rows(session).await;
        let faults = self.faults(&rows, target);
        let shown = faults.iter().take(10).map(String::as_str).collect::<Vec<_>>().join("\n");
        assert!(
            faults.is_empty(),
            "{target:?}: {} faults, {} rows of {} acknowledged:\n{shown}",
            faults.len(),
            rows.len(),
            self.acknowledged()
        );
    }
}

/// The rows there; none where the table is not made yet.
pub(crate) async fn rows(session: &Session) -> BTreeSet<Row> {
    let client = session.client();
    let made = client.query_one("SELECT to_regclass('public.ledger') IS NOT NULL", &[]).await.unwrap();
    if !made.get::<_, bool>(0) {
        return BTreeSet::new();
    }
    let rows = client.query("SELECT client, sequence FROM public.ledger", &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(at: u64) -> Moment {
        Moment { time: Timestamp::from_microsecond(i64::try_from(at).unwrap()).unwrap(), lsn: Lsn::new(at) }
    }

    /// Row `sequence` of client 1, begun at ten times that and acknowledged five later.
    fn entry(sequence: i64, acknowledged: bool) -> Entry {
        let begun = u64::try_from(sequence).unwrap() * 10;
        let after = acknowledged.then(|| moment(begun + 5));
        Entry { row: (1, sequence), before: moment(begun), acknowledged, after }
    }

    fn found(rows: &[i64], target: Target, acknowledged: [bool; 4]) -> Vec<String> {
        let entries = (1..).zip(acknowledged).map(|(sequence, yes)| entry(sequence, yes)).collect();
        let faults = Ledger { entries }.faults(&rows.iter().map(|row| (1, *row)).collect(), target);
        faults.iter().map(|fault| fault.split(':').next().unwrap().to_owned()).collect()
    }

    const ALL: [bool; 4] = [true; 4];

    #[test]
    fn every_way_to_be_wrong_is_found() {
        let latest = Target::Latest;
        assert_eq!(found(&[1, 2, 3, 4], latest, ALL), [""; 0]);
        assert_eq!(found(&[1, 2, 3], latest, ALL), ["lost"]);
        assert_eq!(found(&[1, 2, 4], latest, ALL), ["lost", "a hole before row 4"]);
        assert_eq!(found(&[1, 2, 3, 4, 9], latest, ALL), ["never written"]);
        for rows in [&[1, 2, 3, 4][..], &[1, 2, 3], &[1, 2, 4], &[1, 2]] {
            assert_eq!(found(rows, latest, [true, true, false, rows.contains(&4)]), [""; 0], "{rows:?} is as good");
        }
        assert_eq!(found(&[2], Target::Lsn(Lsn::new(12)), ALL), ["from after the target", "a hole before row 2"]);
    }

    #[test]
    fn a_target_within_a_commit_decides_nothing_and_outside_everything() {
        let time = |at, inclusive| Target::Time { at: moment(at).time, inclusive };
        // Row 2 lies from 20 to 25.
        let cases = [
            (time(19, true), false, true),
            (time(20, true), true, true),
            (time(24, true), true, true),
            (time(25, true), true, false),
            (time(20, false), false, true),
            (time(25, false), true, true),
            (time(26, false), true, false),
            (Target::Lsn(Lsn::new(20)), false, true),
            (Target::Lsn(Lsn::new(21)), true, true),
            (Target::Lsn(Lsn::new(25)), true, false),
        ];
        for (target, with, without) in cases {
            assert_eq!(found(&[1, 2], target, ALL).is_empty(), with, "{target:?} with row 2");
            assert_eq!(found(&[1], target, ALL).is_empty(), without, "{target:?} without row 2");
        }
        // One that was not acknowledged may be missing at any target, but is not there before it was begun.
        let unsure = [true, false, true, true];
        assert_eq!(found(&[1], time(26, true), unsure), [""; 0]);
        assert_eq!(found(&[1, 2], time(26, true), unsure), [""; 0]);
        assert_eq!(found(&[1, 2], time(19, true), unsure), ["from after the target"]);
    }

    #[test]
    fn an_acknowledged_row_without_a_later_moment_counts_for_the_latest_only() {
        let mut lone = entry(2, true);
        lone.after = None;
        let ledger = Ledger { entries: vec![entry(1, true), lone] };
        let rows = BTreeSet::from([(1, 1)]);
        assert_eq!(ledger.faults(&rows, Target::Latest).len(), 1);
        assert_eq!(ledger.faults(&rows, Target::Lsn(Lsn::new(1000))).len(), 0);
        assert_eq!((ledger.acknowledged(), ledger.decided(Target::Lsn(Lsn::new(16)))), (2, (1, 1)));
        assert_eq!(ledger.range().unwrap(), (moment(10), moment(15)));
    }
}
