//! What belongs to the chosen tables, picked out of the stream as it passes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::super::rows::TableName;
use super::super::sql::is_restrict;
use super::super::{Error, Result};
use super::scan::{Scanner, Sink};
use super::statement::{Statement, What, parse};
use super::{Rename, Selection};

mod sure;

/// What is restored of a table.
#[derive(Clone, Debug)]
pub struct Form {
    /// Definition and rows, or rows alone.
    pub definition: bool,
    /// Another name.
    pub rename: Option<Rename>,
}

/// What a statement needs of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// A table.
    Relation(TableName),
    /// A function, whatever its arguments.
    Function(TableName),
    /// A role.
    Role(String),
    /// A part that was not left out, by its name.
    Kept(String),
    /// Nothing helps; why.
    Never(String),
    /// Rows that the dump has not; why.
    Elsewhere(String),
}

/// Of the picked SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// To be passed on.
    Sql(Vec<u8>),
    /// To be passed on if the target has what it needs; else left out and told.
    Needy {
        /// The statement.
        sql: String,
        /// What is left out, in words.
        part: String,
        /// What it needs.
        needs: Vec<Need>,
    },
}

/// What was picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picked {
    /// Name in the target, and rows; `None` where the dump holds no rows of a table that could have some.
    pub tables: Vec<(TableName, Option<u64>)>,
    /// What sets their sequences. No rollback undoes it: to be passed on last, when all else is sure.
    pub sequences: String,
}

/// Lets through what belongs to the selection.
#[derive(Debug)]
pub struct Picker {
    scanner: Scanner,
    pick: Pick,
}

#[derive(Debug)]
struct Pick {
    selection: Selection,
    form: Form,
    /// Everything that gets another name, if there is one.
    known: HashSet<TableName>,
    /// Sequences of the tables' columns.
    sequences: HashMap<TableName, (TableName, String)>,
    /// Statements of a sequence that may turn out to belong to a table.
    waiting: Option<Waiting>,
    copying: bool,
    rows: BTreeMap<TableName, u64>,
    partitioned: BTreeSet<TableName>,
    /// Those of them that have a partition.
    filled: BTreeSet<TableName>,
    /// How far the sequences of columns are.
    values: Vec<(TableName, String, String)>,
    current: Option<TableName>,
    out: Vec<Piece>,
}

/// A sequence, with its statements and the roles that they name.
type Waiting = (TableName, Vec<(String, Option<String>)>);

impl Picker {
    /// For one reading of the whole dump.
    pub fn new(selection: Selection, form: Form) -> Self {
        let known = selection.tables.iter().cloned().collect();
        let pick = Pick {
            selection,
            form,
            known,
            sequences: HashMap::new(),
            waiting: None,
            copying: false,
            rows: BTreeMap::new(),
            partitioned: BTreeSet::new(),
            filled: BTreeSet::new(),
            values: Vec::new(),
            current: None,
            out: Vec::new(),
        };
        Self { scanner: Scanner::default(), pick }
    }

    /// Takes a part of the dump, cut anywhere, and gives what is to be passed on.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Piece>> {
        self.scanner.push(bytes, &mut self.pick)?;
        Ok(std::mem::take(&mut self.pick.out))
    }

    /// The dump has been read to its end.
    pub fn finish(self) -> Result<Picked> {
        if !self.scanner.is_whole() {
            let what = "the stream ends in the middle of a statement or of COPY data".into();
            return Err(Error::LoadFailed { what });
        }
        let pick = self.pick;
        // One without partitions has no rows: worth knowing.
        let is_whole = |table: &&TableName| !pick.partitioned.contains(*table) || !pick.filled.contains(*table);
        let counted = |table| (pick.target(table), pick.rows.get(table).copied());
        let tables = pick.selection.tables.iter().filter(is_whole).map(counted);
        Ok(Picked { tables: tables.collect(), sequences: pick.set_values()? })
    }
}

impl Sink for Pick {
    fn statement(&mut self, text: &[u8], whole: bool) -> Result<()> {
        let sure = std::str::from_utf8(text);
        let statement = parse(&String::from_utf8_lossy(text));
        if !self.concerns(&statement) {
            return Ok(());
        }
        if text.starts_with(b"SET client_encoding") && !text.ends_with(b"'UTF8'") {
            self.refuse_letters()?;
        }
        if let Statement::Of { table, what: What::Attach(child) } = &statement {
            self.partition(table, child)?;
        }
        match sure {
            // Of another table: names that are not UTF-8 fit none that was asked for.
            Err(_) if matches!(&statement, Statement::Sequence { .. }) => {
                self.waiting = None;
                Ok(())
            }
            Ok(text) if whole => {
                self.take(text, statement);
                Ok(())
            }
            _ => {
                let why = if whole { "is not UTF-8" } else { "is too long" };
                let what = format!("a statement of a chosen table {why}");
                Err(Error::NotPicked { what, way_out: "restore the dump whole into another database".into() })
            }
        }
    }

    fn command(&mut self, line: &[u8]) {
        if is_restrict(line) && line.ends_with(b"\n") {
            self.pass(line);
        }
    }

    fn rows(&mut self, bytes: &[u8]) {
        if self.copying {
            self.pass(bytes);
            let lines = memchr::memchr_iter(b'\n', bytes).count() as u64;
            self.count(lines);
        }
    }

    fn end_of_rows(&mut self) {
        if std::mem::take(&mut self.copying) {
            // The line that ends them is none of them.
            if let Some(rows) = self.current.take().and_then(|table| self.rows.get_mut(&table)) {
                *rows -= 1;
            }
            self.pass(b"\n");
        }
    }
}

impl Pick {
    /// Whether a statement matters.
    fn concerns(&self, statement: &Statement) -> bool {
        let chosen = |table: &TableName| self.selection.tables.contains(table);
        match statement {
            Statement::Setting | Statement::Sequence { .. } | Statement::SetValue { .. } => true,
            Statement::Table { table, .. } | Statement::Part { table, .. } | Statement::OwnedBy { table, .. } => {
                chosen(table)
            }
            Statement::Copy(table) | Statement::Insert(table) => chosen(table),
            Statement::Of { table, what } => {
                chosen(table) || self.is_sequence(table) || matches!(what, What::Attach(child) if chosen(child))
            }
            Statement::OfPart(part) => self.known.contains(part),
            Statement::AttachIndex { parent, child } => self.known.contains(parent) && self.known.contains(child),
            Statement::NoTable(..) | Statement::Other => false,
        }
    }

    /// The dump is in another encoding than what we write.
    fn refuse_letters(&self) -> Result<()> {
        match &self.form.rename {
            Some(rename) if !rename.to.to_string().is_ascii() => Err(Error::NotPicked {
                what: format!("the dump is not UTF-8, and {} is not ASCII", rename.to),
                way_out: "choose a name of ASCII letters".into(),
            }),
            _ => Ok(()),
        }
    }

    fn is_sequence(&self, name: &TableName) -> bool {
        self.sequences.contains_key(name) || self.waiting.as_ref().is_some_and(|(waiting, _)| waiting == name)
    }

    fn take(&mut self, text: &str, statement: Statement) {
        match statement {
            Statement::Setting => self.emit(text, None),
            Statement::Copy(table) => self.copy(text, table),
            Statement::Insert(table) => {
                self.begin_rows(&table);
                self.current = Some(table);
                self.emit(text, None);
                self.count(1);
            }
            Statement::SetValue { sequence, behind } => {
                if let Some((table, column)) = self.sequences.get(&sequence) {
                    self.values.push((self.target(table), column.clone(), behind));
                }
            }
            Statement::OwnedBy { sequence, table, column } => self.adopt(text, &sequence, table, column),
            Statement::Sequence { sequence, role } => self.sequence(text, sequence, role),
            Statement::Of { table, what: What::Role(role) } if self.is_sequence(&table) => {
                self.sequence(text, table, Some(role));
            }
            Statement::Of { table, what: What::Identity { column, sequence } } => {
                self.known.insert(sequence.clone());
                self.sequences.insert(sequence, (table, column));
                self.define(text, None);
            }
            Statement::Of { table, what } => self.of(text, &table, what),
            Statement::Table { table, partitioned, .. } => {
                if partitioned {
                    self.partitioned.insert(table);
                }
                self.define(text, None);
            }
            Statement::Part { part, place, .. } => {
                self.known.insert(part);
                self.define(text, place);
            }
            Statement::OfPart(_) | Statement::AttachIndex { .. } => self.define(text, None),
            Statement::NoTable(..) | Statement::Other => {}
        }
    }

    fn of(&mut self, text: &str, table: &TableName, what: What) {
        let on = |kind: &str, name: &str| format!("{kind} {name} on {table}");
        let (part, needs) = match what {
            What::Plain | What::Identity { .. } => return self.define(text, None),
            What::ByIndex(place) => return self.define(text, Some(place)),
            What::Attach(child) if self.selection.tables.contains(table) && self.selection.tables.contains(&child) => {
                return self.define(text, None);
            }
            What::Attach(child) if self.selection.tables.contains(&child) => {
                let why = "a partition that is restored on its own stands on its own";
                (format!("{child} as a partition of {table}"), vec![Need::Never(why.into())])
            }
            What::Attach(child) => {
                (format!("{child} as a partition of {table}"), vec![Need::Elsewhere("it is a foreign table".into())])
            }
            What::ForeignKey { references, .. } if self.selection.tables.contains(&references) => {
                return self.define(text, None);
            }
            What::ForeignKey { name, references } => {
                let never = || Need::Never("a copy beside the original must not tie other tables".into());
                let need = self.form.rename.as_ref().map_or_else(|| Need::Relation(references), |_| never());
                (on("constraint", &name), vec![need])
            }
            What::Role(role) => (format!("what {table} says of role {role}"), vec![Need::Role(role)]),
            What::Trigger { name, function } => (on("trigger", &name), vec![Need::Function(function)]),
            What::Policy { name, roles } => (on("policy", &name), roles.into_iter().map(Need::Role).collect()),
            What::About(what) => {
                (format!("the word about {what} on {table}"), vec![Need::Kept(format!("{what} on {table}"))])
            }
        };
        self.define_if(text, part, needs);
    }

    /// A statement of a sequence: of ours, or of one that may become ours.
    fn sequence(&mut self, text: &str, sequence: TableName, role: Option<String>) {
        if self.sequences.contains_key(&sequence) {
            return self.define_sequence(text, &sequence, role);
        }
        match &mut self.waiting {
            Some((waiting, texts)) if *waiting == sequence => texts.push((text.to_owned(), role)),
            _ if text.starts_with("CREATE") => self.waiting = Some((sequence, vec![(text.to_owned(), role)])),
            _ => {}
        }
    }

    fn define_sequence(&mut self, text: &str, sequence: &TableName, role: Option<String>) {
        match role {
            Some(role) => {
                let part = format!("what {sequence} says of role {role}");
                self.define_if(text, part, vec![Need::Role(role)]);
            }
            None => self.define(text, None),
        }
    }

    /// The sequence belongs to one of our columns.
    fn adopt(&mut self, text: &str, sequence: &TableName, table: TableName, column: String) {
        self.known.insert(sequence.clone());
        self.sequences.insert(sequence.clone(), (table, column));
        if let Some((waiting, texts)) = self.waiting.take()
            && waiting == *sequence
        {
            for (text, role) in texts {
                self.define_sequence(&text, sequence, role);
            }
        }
        self.define(text, None);
    }

    fn copy(&mut self, text: &str, table: TableName) {
        self.begin_rows(&table);
        self.copying = true;
        self.current = Some(table);
        self.emit(text, None);
    }

    fn begin_rows(&mut self, table: &TableName) {
        if self.rows.contains_key(table) {
            return;
        }
        self.rows.insert(table.clone(), 0);
        if !self.form.definition {
            let guard = self.target(table).empty_guard();
            self.pass(format!("{guard};\n").as_bytes());
        }
    }

    fn count(&mut self, more: u64) {
        if let Some(rows) = self.current.as_ref().and_then(|table| self.rows.get_mut(table)) {
            *rows += more;
        }
    }

    fn target(&self, table: &TableName) -> TableName {
        self.form.rename.as_ref().map_or_else(|| table.clone(), |rename| rename.apply(table))
    }

    fn renamed(&self, text: &str, place: Option<usize>) -> String {
        match &self.form.rename {
            Some(rename) => rename.statement(text, &self.known, place),
            None => text.to_owned(),
        }
    }

    fn define(&mut self, text: &str, place: Option<usize>) {
        if self.form.definition {
            self.emit(text, place);
        }
    }

    fn define_if(&mut self, text: &str, part: String, needs: Vec<Need>) {
        if self.form.definition {
            let sql = format!("{};\n\n", self.renamed(text, None));
            self.out.push(Piece::Needy { sql, part, needs });
        }
    }

    fn emit(&mut self, text: &str, place: Option<usize>) {
        let sql = self.renamed(text, place);
        let end = if self.copying { ";\n" } else { ";\n\n" };
        self.pass(sql.as_bytes());
        self.pass(end.as_bytes());
    }

    fn pass(&mut self, bytes: &[u8]) {
        if let Some(Piece::Sql(sql)) = self.out.last_mut() {
            sql.extend_from_slice(bytes);
        } else {
            self.out.push(Piece::Sql(bytes.to_vec()));
        }
    }
}
