//! What a table must not come without, and what must wait until all else is sure.

use super::super::super::rows::TableName;
use super::super::super::{Error, Result};
use super::Pick;

impl Pick {
    /// Every partition was known before the first rows. Otherwise its rows would be missing without a word.
    pub(super) fn partition(&mut self, table: &TableName, child: &TableName) -> Result<()> {
        let chosen = |name: &TableName| self.selection.tables.contains(name);
        if chosen(table) && !chosen(child) && !self.selection.elsewhere.contains(child) {
            let what = format!("{child}, a partition of {table}, is defined where the dump should hold rows");
            return Err(Error::NotPicked { what, way_out: "restore the dump whole into another database".into() });
        }
        if chosen(table) && chosen(child) {
            self.filled.insert(table.clone());
        }
        Ok(())
    }

    /// A sequence that is there already, and may be in use, is never set back.
    pub(super) fn set_values(&self) -> Result<String> {
        let mut sql = String::new();
        for (table, column, behind) in &self.values {
            let Some((value, called)) = value_in(behind) else {
                let what = format!("how far the sequence of {table}, {column} is cannot be read");
                return Err(Error::NotPicked { what, way_out: "restore the dump whole into another database".into() });
            };
            let statement = if self.form.definition {
                table.set_value(column, value, called)
            } else {
                table.advance(column, value, called)
            };
            sql.push_str(&statement);
            sql.push_str(";\n");
        }
        Ok(sql)
    }
}

/// What stands behind the name in a call of `setval`, such as `, 42, true)`.
fn value_in(behind: &str) -> Option<(i64, bool)> {
    let inner = behind.trim().strip_prefix(',')?.strip_suffix(')')?;
    let (value, called) = inner.split_once(',')?;
    Some((value.trim().parse().ok()?, called.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::{Form, Picker, Piece};
    use super::*;
    use crate::postgres::tables::{Outline, Rename};

    fn name(table: &str) -> TableName {
        TableName { schema: "s".into(), table: table.into() }
    }

    fn picker(dump: &str, known: &str, definition: bool, to: Option<&str>) -> Picker {
        let mut outline = Outline::default();
        outline.push(dump.as_bytes()).unwrap();
        let rename = to.map(|to| Rename { from: name(known), to: name(to) });
        Picker::new(outline.choose(&[name(known)]).unwrap(), Form { definition, rename })
    }

    const SERIAL: &str = "CREATE TABLE s.t (id int);\nCREATE SEQUENCE s.q;\nALTER SEQUENCE s.q OWNED BY s.t.id;\nCOPY s.t (id) FROM stdin;\n1\n\\.\n\
        SELECT pg_catalog.setval('s.q', 42, true);\nCREATE INDEX i ON s.t USING btree (id);\n";

    #[test]
    fn i05_sequences_are_set_when_all_has_been_read() {
        for (definition, want) in [(true, "'id'), 42, true)"), (false, "v > live")] {
            let mut picker = picker(SERIAL, "t", definition, None);
            let pieces = picker.push(SERIAL.as_bytes()).unwrap();
            let sent =
                |piece: &Piece| matches!(piece, Piece::Sql(sql) if String::from_utf8_lossy(sql).contains("setval"));
            assert!(!pieces.is_empty() && !pieces.iter().any(sent), "{pieces:?}");
            let last = picker.finish().unwrap().sequences;
            assert!(last.contains("setval") && last.contains(want), "{last}");
        }
        let odd = SERIAL.replace("42, true", "a + 1, true");
        let mut picker = picker(&odd, "t", false, None);
        picker.push(odd.as_bytes()).unwrap();
        assert!(picker.finish().is_err(), "no number");
    }

    /// Its rows would be missing.
    #[test]
    fn a_partition_that_was_not_foreseen_is_refused() {
        let before = "CREATE TABLE s.p (a int) PARTITION BY RANGE (a);\nCOPY s.other (a) FROM stdin;\n\\.\n";
        let late = "CREATE TABLE s.c (a int);\nALTER TABLE ONLY s.p ATTACH PARTITION s.c FOR VALUES FROM (1) TO (2);\n";
        let mut picker = picker(before, "p", true, None);
        let error = picker.push(format!("{before}{late}").as_bytes()).unwrap_err();
        assert!(error.to_string().contains("s.c, a partition of s.p"), "{error}");
    }

    #[test]
    fn a_name_that_the_encoding_of_the_dump_may_lack_is_refused() {
        for (encoding, to, fits) in [("LATIN1", "größe", false), ("LATIN1", "size", true), ("UTF8", "größe", true)]
        {
            let dump = format!("SET client_encoding = '{encoding}';\n{SERIAL}");
            let mut picker = picker(&dump, "t", true, Some(to));
            assert_eq!(picker.push(dump.as_bytes()).is_ok(), fits, "{encoding} {to}");
        }
    }
}
