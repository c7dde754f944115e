//! Chains made up in memory.

use super::definition::{Algorithm, Definition, Encoding, Field, Form, KnownHead, Nulls, Shape};
use super::examine::{Examiner, Row};
use super::links::Links;
use super::report::{BreakKind, ChainReport};
use super::text::Composer;
use super::ties::{Ties, arrange};
use super::value;
use crate::limits::CHAIN_TIES_MAX;
use crate::postgres::rows::{Cell, TableName};

fn definition(nulls: Nulls) -> Definition {
    let field = |name: &str| Field { name: name.into(), column: name.into(), form: None };
    Definition {
        name: "log".into(),
        table: TableName { schema: "public".into(), table: "log".into() },
        fields: ["what", "who", "why", "previousHash"].map(field).into(),
        order: vec!["at".into()],
        previous: "previousHash".into(),
        hash: "hash".into(),
        genesis: None,
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Hex,
        shape: Shape::Json,
        nulls,
        head: None,
    }
}

const FORMS: [Form; 4] = [Form::Text; 4];

/// Gives a row the hash of its content, with these nulls left out.
fn seal(row: &mut Row, definition: &Definition, omitted: impl Fn(usize) -> bool) {
    row.cells[3] = row.previous.clone().map_or(Cell::Null, Cell::Text);
    let values = row.cells.iter().zip(FORMS).map(|(cell, form)| value::write(cell, form, &definition.shape).unwrap());
    let composer = Composer::new(definition);
    row.hash = Some(composer.digest(&composer.text(&values.collect(), omitted)));
}

/// `count` rows, each a second after the other; some have nulls.
fn chain(count: usize, definition: &Definition, omit: impl Fn(usize, usize) -> bool) -> Vec<Row> {
    let mut previous = definition.genesis.clone();
    let mut rows = Vec::new();
    for number in 0..count {
        let text = |text: String| Cell::Text(text);
        let who = if number % 2 == 0 { Cell::Null } else { text(format!("user {number}")) };
        let mut row = Row {
            name: format!("id={number}"),
            moment: vec![text(format!("{number:05}"))],
            cells: vec![text(format!("deed {number}")), who, Cell::Null, Cell::Null],
            previous: previous.clone(),
            hash: None,
        };
        seal(&mut row, definition, |field| omit(number, field));
        previous.clone_from(&row.hash);
        rows.push(row);
    }
    rows
}

fn follow(rows: &[Row], definition: &Definition) -> ChainReport {
    let mut examiner = Examiner::new(definition, FORMS.into());
    let (mut ties, mut links) = (Ties::default(), Links::new(definition, true));
    let take = |links: &mut Links, rows, examiner: &mut Examiner| {
        for row in arrange(rows, links.expected()) {
            links.follow(row, examiner);
        }
    };
    for row in rows {
        if let Some(rows) = ties.push(examiner.examine(row.clone())).expect("not too many") {
            take(&mut links, rows, &mut examiner);
        }
    }
    take(&mut links, ties.finish(), &mut examiner);
    links.finish()
}

/// Kind, position and name of every break.
fn breaks(report: &ChainReport) -> Vec<(BreakKind, u64, &str)> {
    report.breaks.iter().map(|found| (found.kind, found.position, found.row.as_str())).collect()
}

#[test]
fn a_whole_chain_is_whole_under_the_rule_it_was_written_by() {
    for (nulls, omits) in [(Nulls::Keep, false), (Nulls::Omit, true), (Nulls::Auto, false), (Nulls::Auto, true)] {
        let definition = definition(nulls);
        let report = follow(&chain(100, &definition, |_, _| omits), &definition);
        assert!(report.is_whole(), "{nulls:?} {omits}: {:?}", report.breaks);
        let (of_rule, of_other) =
            if omits { (report.rules.omit, report.rules.keep) } else { (report.rules.keep, report.rules.omit) };
        assert_eq!((report.rows, of_rule, of_other), (100, 100, 0));
    }
    let keep = definition(Nulls::Keep);
    let report = follow(&chain(10, &keep, |_, _| true), &keep);
    assert_eq!(report.counts[&BreakKind::Content], 10);
    assert!(report.breaks[0].detail.contains("other rule"), "{:?}", report.breaks[0]);
    assert!(report.breaks[0].text.as_ref().unwrap().contains("\"who\":null") && report.breaks[1].text.is_none());
}

#[test]
fn auto_tells_the_rules_apart_row_by_row() {
    let definition = definition(Nulls::Auto);
    // Thirds: written, left out, and the first row's null hash written while the rest is left out.
    let report = follow(&chain(99, &definition, |row, field| row % 3 == 1 || row % 3 == 2 && field == 2), &definition);
    assert!(report.is_whole(), "{:?}", report.breaks);
    // Odd rows have one null only, which leaves nothing to mix.
    assert_eq!((report.rules.keep, report.rules.omit, report.rules.mixed), (33, 49, 17));
    let mut rows = chain(9, &definition, |_, _| true);
    rows[4].cells[0] = Cell::Text("another deed".into());
    assert_eq!(breaks(&follow(&rows, &definition)), [(BreakKind::Content, 5, "id=4")]);
}

#[test]
fn a_break_is_named_after_what_was_done() {
    let definition = definition(Nulls::Omit);
    let rows = chain(20, &definition, |_, _| true);
    let altered = |change: &dyn Fn(&mut Vec<Row>)| {
        let mut rows = rows.clone();
        change(&mut rows);
        follow(&rows, &definition)
    };
    let report = altered(&|rows| rows[7].cells[1] = Cell::Text("somebody else".into()));
    assert_eq!(breaks(&report), [(BreakKind::Content, 8, "id=7")]);
    assert_ne!(report.breaks[0].stored, report.breaks[0].computed);
    let report = altered(&|rows| rows[7].hash = Some("00".repeat(32)));
    assert_eq!(breaks(&report), [(BreakKind::Hash, 8, "id=7")]);
    assert_eq!(report.breaks[0].computed, rows[7].hash);
    let report = altered(&|rows| {
        rows[7].previous = Some("11".repeat(32));
        rows[7].cells[3] = Cell::Text("11".repeat(32));
    });
    assert_eq!(breaks(&report), [(BreakKind::Previous, 8, "id=7")]);
    assert_eq!(report.breaks[0].expected_previous, rows[6].hash);
    let report = altered(&|rows| drop(rows.remove(7)));
    assert_eq!(breaks(&report), [(BreakKind::Missing, 8, "id=8")]);
    let report = altered(&|rows| drop(rows.drain(..3)));
    assert_eq!(breaks(&report), [(BreakKind::Missing, 1, "id=3")]);
    let report = altered(&|rows| {
        rows[7].cells[0] = Cell::Text("another deed".into());
        seal(&mut rows[7], &definition, |_| true);
    });
    assert_eq!(breaks(&report), [(BreakKind::Missing, 9, "id=8")]);
    let report = altered(&|rows| rows.swap(7, 9));
    assert_eq!(breaks(&report).iter().map(|found| found.1).collect::<Vec<_>>(), [8, 9, 10, 11]);
    let report = altered(&|rows| rows[7].hash = None);
    assert_eq!(breaks(&report), [(BreakKind::Unhashed, 8, "id=7")]);
    // What a chain alone cannot tell: its end has no witness but its head.
    let report = altered(&|rows| rows.truncate(15));
    assert!(report.is_whole() && report.head.unwrap().hash == rows[14].hash);
}

/// Whoever knows the head of before sees that rows are gone, however whole the rest is; rows behind it do not matter.
#[test]
fn a_known_head_tells_that_the_end_was_cut_off() {
    let mut definition = definition(Nulls::Omit);
    let rows = chain(20, &definition, |_, _| true);
    let known = KnownHead { hash: rows[14].hash.clone().unwrap(), told: "that a test saw".into() };
    definition.head = Some(known.clone());
    for whole in [20, 15] {
        assert!(follow(&rows[..whole], &definition).is_whole(), "{whole} rows");
    }
    for cut in [14, 1, 0] {
        let report = follow(&rows[..cut], &definition);
        assert!(!report.is_whole() && report.breaks.is_empty(), "{cut} rows: {report:?}");
        assert_eq!(report.lost_head.as_ref(), Some(&known));
    }
}

/// In parts they would be told as broken although they are not; held without end, they would fill the memory.
#[test]
fn i12_too_many_rows_of_one_moment_are_refused_instead_of_told_as_broken() {
    let definition = definition(Nulls::Keep);
    let mut rows = chain(3, &definition, |_, _| false);
    rows[2].moment = vec![Cell::Text("later".into())];
    let mut examiner = Examiner::new(&definition, FORMS.into());
    let mut ties = Ties::default();
    for _ in 0..CHAIN_TIES_MAX {
        assert!(ties.push(examiner.examine(rows[0].clone())).unwrap().is_none());
    }
    assert!(ties.push(examiner.examine(rows[0].clone())).is_err());
    assert_eq!(ties.push(examiner.examine(rows[2].clone())).unwrap().unwrap().len(), CHAIN_TIES_MAX);
}

#[test]
fn rows_of_one_moment_follow_their_links() {
    let definition = definition(Nulls::Keep);
    let mut rows = chain(40, &definition, |_, _| false);
    for row in &mut rows[..30] {
        row.moment = vec![Cell::Text("00000".into())];
    }
    rows[..30].reverse();
    let report = follow(&rows, &definition);
    assert!(report.is_whole(), "{:?}", report.breaks);
    // A missing one is still found, and the rest goes on from there.
    rows.remove(12);
    let report = follow(&rows, &definition);
    assert_eq!(report.counts.len(), 1, "{:?}", report.counts);
    assert_eq!(report.counts[&BreakKind::Missing], 1, "{:?}", breaks(&report));
}

#[test]
fn joined_texts_and_other_digests() {
    let mut definition = definition(Nulls::Keep);
    definition.shape = Shape::Joined { separator: "|".into(), null: "-".into() };
    definition.genesis = Some("GENESIS".into());
    definition.algorithm = Algorithm::Sha512;
    definition.encoding = Encoding::Base64;
    let rows = chain(5, &definition, |_, _| false);
    assert!(follow(&rows, &definition).is_whole());
    let composer = Composer::new(&definition);
    let values = vec![Some("a\"".to_owned()), None, Some("b".into()), Some("GENESIS".into())];
    assert_eq!(composer.text(&values, |_| false), "a\"|-|b|GENESIS");
    assert_eq!(composer.text(&values, |_| true), "a\"|b|GENESIS");
    assert_eq!(rows[0].hash.as_ref().unwrap().len(), 88);
    definition.genesis = None;
    assert_eq!(breaks(&follow(&rows, &definition)), [(BreakKind::Missing, 1, "id=0")]);
}
