//! Which head counts.

use super::*;
use crate::format::{Lsn, Timeline};
use crate::postgres::rows::TableName;
use crate::verify::chain::{Algorithm, Encoding, Head, Nulls, Shape};

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
}

fn reached(timeline: u32, lsn: u64) -> ReachedRecord {
    ReachedRecord { lsn: Lsn::new(lsn), timeline: Timeline::new(timeline).unwrap() }
}

/// A drill that began then and took a minute, of a state ten minutes older.
fn seen(minute: i64, reached: Option<ReachedRecord>) -> Seen {
    let chain = |name: &str| ChainRecord {
        name: name.into(),
        database: "books".into(),
        table: "public.log".into(),
        rows: 7,
        head: format!("head of {minute}"),
    };
    Seen {
        drill: format!("{}-0000d000", at(minute).strftime("%Y%m%dT%H%M%SZ")).parse().unwrap(),
        started_at: at(minute),
        finished_at: at(minute + 1),
        newest_committed_at: Some(at(minute - 10)),
        reached,
        chains: vec![chain("other"), chain("log")],
    }
}

/// What is restored now: committed so far; a base, if it reached a position.
fn now(newest: Option<i64>, reached: Option<&ReachedRecord>) -> Evidence {
    let newest = newest.map(at);
    serde_json::from_value(serde_json::json!({
        "format": 1, "repository": "00000000000000000000000000000001", "cluster": "main", "kind": "drill",
        "evidence": "20270115T070000Z-0000d000", "stonewal": "0.1.0", "host": "drill1",
        "started_at": "2027-01-15T07:00:00Z", "finished_at": "2027-01-15T07:00:00Z",
        "request": {"choice": "latest", "time": null, "lsn": null}, "backup": null, "server_version": null,
        "reached": reached, "recovery_signal": null, "phases": [], "rto_milliseconds": null,
        "newest_committed_at": newest, "requested_at": null, "rpo_milliseconds": null,
        "objectives": {"rto_milliseconds": null, "rpo_milliseconds": null}, "bytes": 1, "wal_bytes": 0,
        "checks": [], "release": null, "result": "passed", "error": null
    }))
    .unwrap()
}

fn definition() -> Definition {
    Definition {
        name: "log".into(),
        table: TableName { schema: "public".into(), table: "log".into() },
        fields: Vec::new(),
        order: vec!["id".into()],
        previous: "previous".into(),
        hash: "hash".into(),
        genesis: None,
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Hex,
        shape: Shape::Json,
        nulls: Nulls::Keep,
        head: None,
    }
}

fn expected(seen: &[Seen], now: &Evidence, database: &str) -> Option<String> {
    let mut chains = [definition()];
    expect(&mut chains, seen, now, database);
    let [definition] = chains;
    definition.head.map(|head| head.hash)
}

#[test]
fn the_newest_head_of_a_state_before_this_one_counts() {
    let all = [seen(100, None), seen(300, None), seen(200, None)];
    let head = |newest| expected(&all, &now(newest, None), "books");
    assert_eq!(head(Some(400)).as_deref(), Some("head of 300"));
    assert_eq!(head(Some(301)).as_deref(), Some("head of 300"), "all that a drill saw was committed before it ended");
    assert_eq!(head(Some(300)).as_deref(), Some("head of 200"), "in doubt it is not held against what may be older");
    assert_eq!(head(Some(100)), None, "older than everything that was seen");
    assert_eq!(head(None), None, "nobody knows how old it is");
    assert_eq!(expected(&all, &now(Some(400), None), "archive"), None, "another database's chain is another chain");
}

#[test]
fn bases_are_compared_by_position_and_others_with_some_room_for_clocks() {
    let all = [seen(100, Some(reached(1, 1000))), seen(200, Some(reached(1, 2000))), seen(250, None)];
    // The clock of the cluster is no argument where positions are known.
    let head = |newest, place: ReachedRecord| expected(&all, &now(newest, Some(&place)), "books");
    assert_eq!(head(Some(0), reached(1, 2000)).as_deref(), Some("head of 200"));
    assert_eq!(head(Some(0), reached(1, 1999)).as_deref(), Some("head of 100"));
    assert_eq!(head(Some(999), reached(1, 999)).as_deref(), Some("head of 250"), "of a dump, by time");
    assert_eq!(head(Some(254), reached(1, 1500)).as_deref(), Some("head of 100"));
    // On another timeline, by time and not at once.
    assert_eq!(head(Some(205), reached(2, 9000)).as_deref(), Some("head of 100"));
    assert_eq!(head(Some(206), reached(2, 9000)).as_deref(), Some("head of 200"));
}

#[test]
fn what_is_named_counts_instead_of_what_was_seen() {
    let named = KnownHead { hash: "named".into(), told: String::new() };
    let mut chains = [Definition { head: Some(named.clone()), ..definition() }];
    expect(&mut chains, &[seen(100, None)], &now(Some(400), None), "books");
    assert_eq!(chains[0].head, Some(named));
}

/// An alarm stays one until somebody answers it: a chain that lost its end is no witness for the next drill.
#[test]
fn only_a_chain_that_held_is_a_witness() {
    let head = Some(Head { row: "id=7".into(), hash: Some("ab".into()) });
    let whole = ChainReport { name: "log".into(), table: "public.log".into(), rows: 7, head, ..ChainReport::default() };
    let records = record(std::slice::from_ref(&whole), "books");
    assert_eq!(records.iter().map(|one| (one.rows, one.head.as_str())).collect::<Vec<_>>(), [(7, "ab")]);
    let lost = Some(KnownHead { hash: "cd".into(), told: String::new() });
    let cut = ChainReport { lost_head: lost, ..whole.clone() };
    let empty = ChainReport { head: None, ..whole.clone() };
    let odd = Some(Head { row: "id=7".into(), hash: Some("a\nb".into()) });
    let odd = ChainReport { head: odd, ..whole };
    assert!(record(&[cut, empty, odd], "books").is_empty());
}
