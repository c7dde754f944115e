//! Which tables a dump has, learnt from what stands before its first rows.

use std::collections::{BTreeMap, BTreeSet};

use super::super::rows::TableName;
use super::super::{Error, Result};
use super::scan::{Scanner, Sink};
use super::statement::{Statement, What, parse};
use crate::limits::DUMP_RELATIONS_MAX;

/// Names shown that look like the one that is not there.
const NEAR_MAX: usize = 3;

/// The definitions at the beginning of a dump, as they are read.
#[derive(Debug, Default)]
pub struct Outline {
    scanner: Scanner,
    found: Found,
}

#[derive(Debug, Default)]
struct Found {
    /// Tables, with what they inherit from.
    tables: BTreeMap<TableName, Vec<TableName>>,
    /// What is no table, and what it is.
    others: BTreeMap<TableName, &'static str>,
    /// Partitions, with what they are a partition of.
    partitions: BTreeMap<TableName, TableName>,
    rows_begin: bool,
}

/// Tables to be picked, and what is to be known of them beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// With every partition of theirs.
    pub tables: BTreeSet<TableName>,
    /// What was asked for, without the partitions.
    pub named: BTreeSet<TableName>,
    /// Tables that they inherit from and that are not among them, as (heir, parent).
    pub inherited: Vec<(TableName, TableName)>,
    /// Partitions of theirs whose rows are not in the dump: foreign tables.
    pub elsewhere: BTreeSet<TableName>,
}

impl Outline {
    /// Takes a part of the dump, cut anywhere. True when no more is needed.
    pub fn push(&mut self, bytes: &[u8]) -> Result<bool> {
        self.scanner.push(bytes, &mut self.found)?;
        Ok(self.found.rows_begin)
    }

    /// The tables that are meant.
    pub fn choose(&self, wanted: &[TableName]) -> Result<Selection> {
        let named = wanted.iter().map(|wanted| self.found.one(wanted)).collect::<Result<BTreeSet<_>>>()?;
        let mut tables = named.clone();
        // As many rounds as partitions are nested.
        loop {
            let new = |child: &TableName| self.found.tables.contains_key(child) && !tables.contains(child);
            let more = self.found.partitions.iter().filter(|(child, parent)| tables.contains(*parent) && new(child));
            let more: Vec<_> = more.map(|(child, _)| child.clone()).collect();
            if more.is_empty() {
                break;
            }
            tables.extend(more);
        }
        let parents = |table: &TableName| self.found.tables.get(table).cloned().unwrap_or_default();
        let pairs = tables.iter().flat_map(|table| parents(table).into_iter().map(|parent| (table.clone(), parent)));
        let inherited = pairs.filter(|(_, parent)| !tables.contains(parent)).collect();
        let of_ours = self.found.partitions.iter().filter(|(_, parent)| tables.contains(*parent));
        let elsewhere = of_ours.filter(|(child, _)| self.found.others.contains_key(*child));
        let elsewhere = elsewhere.map(|(child, _)| child.clone()).collect();
        Ok(Selection { tables, named, inherited, elsewhere })
    }
}

impl Found {
    fn one(&self, wanted: &TableName) -> Result<TableName> {
        if self.tables.contains_key(wanted) { Ok(wanted.clone()) } else { Err(self.missing(wanted)) }
    }

    fn missing(&self, wanted: &TableName) -> Error {
        if let Some(what) = self.others.get(wanted) {
            let what = format!("{wanted} is {what}");
            return Error::NotPicked { what, way_out: "restore the dump whole into another database".into() };
        }
        let allowed = (wanted.table.len() / 3).max(2);
        let mut near: Vec<(usize, &TableName)> = Vec::new();
        for name in self.tables.keys() {
            let (word, known) = (wanted.table.to_lowercase(), name.table.to_lowercase());
            let distance = strsim::osa_distance(&word, &known);
            if distance <= allowed || known.contains(&word) {
                near.push((distance, name));
                near.sort();
                near.truncate(NEAR_MAX);
            }
        }
        let way_out = match near.as_slice() {
            [] => "`stonewal restore dump --to-stdout | grep '^CREATE TABLE'` lists what the dump has".into(),
            near => format!("did you mean {}?", list(near.iter().map(|(_, name)| *name))),
        };
        Error::NotPicked { what: format!("the dump has no table {wanted}"), way_out }
    }
}

fn list<'a>(names: impl Iterator<Item = &'a TableName>) -> String {
    names.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Sink for Found {
    fn statement(&mut self, text: &[u8], _whole: bool) -> Result<()> {
        if self.rows_begin {
            return Ok(());
        }
        match parse(&String::from_utf8_lossy(text)) {
            Statement::Table { table, inherits, .. } => {
                self.tables.insert(table, inherits);
            }
            Statement::NoTable(name, what) => {
                self.others.insert(name, what);
            }
            Statement::Of { table, what: What::Attach(child) } => {
                self.partitions.insert(child, table);
            }
            Statement::Copy(_) | Statement::Insert(_) => self.rows_begin = true,
            _ => {}
        }
        if self.tables.len() + self.others.len() > DUMP_RELATIONS_MAX {
            let what = format!("the dump has more than {DUMP_RELATIONS_MAX} tables");
            return Err(Error::NotPicked { what, way_out: "restore it whole into another database".into() });
        }
        Ok(())
    }

    fn command(&mut self, _line: &[u8]) {}

    fn rows(&mut self, _bytes: &[u8]) {}

    fn end_of_rows(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "CREATE TABLE public.audit_logs (\n a int);\nCREATE TABLE s.audit_logs (a int);\nCREATE TABLE s.p (a int) PARTITION BY RANGE (a);\n\
        CREATE TABLE s.a_1 (a int);\nALTER TABLE ONLY s.p ATTACH PARTITION s.a_1 FOR VALUES FROM (1) TO (2);\nCREATE VIEW s.v AS SELECT 1;\n\
        CREATE PROCEDURE s.pr()\n    LANGUAGE sql\n    BEGIN ATOMIC\n DELETE FROM s.a_1;\n INSERT INTO s.a_1 (a) VALUES (1);\nEND;\n\
        CREATE FOREIGN TABLE s.far (a int)\nSERVER x;\nALTER TABLE ONLY s.p ATTACH PARTITION s.far FOR VALUES FROM (2) TO (3);\n\
        CREATE TABLE s.heir (b int)\nINHERITS (s.audit_logs, public.audit_logs);\nCOPY s.a_1 (a) FROM stdin;\n1\n\\.\nCREATE TABLE s.late (a int);\n";

    fn outline() -> Outline {
        let mut outline = Outline::default();
        assert!(DUMP.as_bytes().chunks(5).any(|part| outline.push(part).unwrap()));
        outline
    }

    fn wanted(text: &str) -> TableName {
        let (schema, table) = text.split_once('.').unwrap();
        TableName { schema: schema.into(), table: table.into() }
    }

    fn refusal(text: &str) -> String {
        let error = outline().choose(&[wanted(text)]).unwrap_err();
        format!("{error}; {}", error.hint().unwrap())
    }

    #[test]
    fn partitions_come_along_and_parents_are_told() {
        let chosen = outline().choose(&[wanted("s.p"), wanted("s.heir"), wanted("s.audit_logs")]).unwrap();
        let names: Vec<_> = chosen.tables.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["s.a_1", "s.audit_logs", "s.heir", "s.p"]);
        assert_eq!(chosen.elsewhere.iter().map(ToString::to_string).collect::<Vec<_>>(), ["s.far"]);
        assert_eq!(
            chosen.inherited.iter().map(|(_, parent)| parent.to_string()).collect::<Vec<_>>(),
            ["public.audit_logs"]
        );
    }

    #[test]
    fn what_is_not_there_is_refused_with_what_is_like_it() {
        let near = "the dump has no table x.audit_log; did you mean public.audit_logs, s.audit_logs?";
        assert_eq!(refusal("x.audit_log"), near);
        assert!(refusal("s.v").starts_with("s.v is a view"));
        assert!(refusal("s.unheard_of").contains("CREATE TABLE"));
    }
}
