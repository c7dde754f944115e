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
