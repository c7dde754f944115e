//! Does a row's content agree with its hash, and by which rule for nulls?

use super::definition::{Definition, Form, Nulls, Shape};
use super::text::{Composer, Values};
use super::value;
use crate::postgres::rows::Cell;

/// Nulls of one row that are tried in every combination.
const MIXED_NULLS_MAX: usize = 12;
/// Combinations tried in one chain, beyond those that have fitted a row: a definition that is wrong for every row must not
/// make the check a thousand times slower.
const MIXED_TRIES_MAX: u64 = 1 << 18;
/// Combinations that have fitted a row and are tried first.
const KNOWN_MAX: usize = 16;

/// A row as it comes from the table.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    /// What names it, for people.
    pub(super) name: String,
    /// Its place: equal for rows of one moment.
    pub(super) moment: Vec<Cell>,
    /// One for every field.
    pub(super) cells: Vec<Cell>,
    /// The hash that it names as that of the row before.
    pub(super) previous: Option<String>,
    /// Its own hash.
    pub(super) hash: Option<String>,
}

/// Which nulls were left out when the row was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// There are none.
    NoNulls,
    /// None.
    Keep,
    /// All.
    Omit,
    /// Some.
    Mixed,
}

/// What a row's content says.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// It is what was hashed.
    Fits(Fit),
    /// It is not.
    Differs {
        /// Its hash by the definition.
        computed: String,
        /// The same by the other rule for nulls, if it has nulls.
        other: Option<String>,
        /// Its values, to try what would fit.
        values: Values,
    },
    /// It cannot be written as it would have to be.
    Unreadable(String),
}

/// A row whose content has been looked at and let go.
#[derive(Clone, Debug)]
pub(super) struct Examined {
    pub(super) name: String,
    pub(super) moment: Vec<Cell>,
    pub(super) previous: Option<String>,
    pub(super) hash: Option<String>,
    pub(super) content: Content,
}

/// Examines rows by one definition.
#[derive(Debug)]
pub(super) struct Examiner {
    composer: Composer,
    shape: Shape,
    nulls: Nulls,
    forms: Vec<Form>,
    /// The field that is the hash of the row before.
    previous: Option<usize>,
    known: Vec<u64>,
    tries: u64,
}

impl Examiner {
    /// `forms` has one for every field.
    pub(super) fn new(definition: &Definition, forms: Vec<Form>) -> Self {
        let previous = definition.fields.iter().position(|field| field.column == definition.previous);
        Self {
            composer: Composer::new(definition),
            shape: definition.shape.clone(),
            nulls: definition.nulls,
            forms,
            previous,
            known: Vec::new(),
            tries: 0,
        }
    }

    pub(super) fn examine(&mut self, row: Row) -> Examined {
        let content = self.content(&row);
        Examined { name: row.name, moment: row.moment, previous: row.previous, hash: row.hash, content }
    }

    /// Whether a row would fit if it named another hash as that of the row before.
    pub(super) fn fits_with(&mut self, values: &Values, previous: Option<&str>, hash: &str) -> bool {
        let Some(at) = self.previous else { return false };
        let mut values = values.clone();
        let cell = previous.map_or(Cell::Null, |text| Cell::Text(text.to_owned()));
        let Ok(value) = value::write(&cell, self.forms[at], &self.shape) else { return false };
        values[at] = value;
        self.fit(&values, hash).is_ok()
    }

    /// The hashed text of a row that does not fit, by the definition.
    pub(super) fn text(&self, values: &Values) -> String {
        self.composer.text(values, |_| self.nulls == Nulls::Omit)
    }

    fn content(&mut self, row: &Row) -> Content {
        let cells = row.cells.iter().zip(&self.forms).map(|(cell, form)| value::write(cell, *form, &self.shape));
        let values: Values = match cells.collect() {
            Ok(values) => values,
            Err(unreadable) => return Content::Unreadable(unreadable.0),
        };
        match self.fit(&values, row.hash.as_deref().unwrap_or_default()) {
            Ok(fit) => Content::Fits(fit),
            Err((computed, other)) => Content::Differs { computed, other, values },
        }
    }

    /// By which rule the values have this hash; else the hashes that they have.
    fn fit(&mut self, values: &Values, hash: &str) -> Result<Fit, (String, Option<String>)> {
        let digest = |omitted: &dyn Fn(usize) -> bool| self.composer.digest(&self.composer.text(values, omitted));
        let nulls: Vec<usize> = (0..values.len()).filter(|at| values[*at].is_none()).collect();
        if nulls.is_empty() {
            let computed = digest(&|_| false);
            return if computed == hash { Ok(Fit::NoNulls) } else { Err((computed, None)) };
        }
        // Many fields of a log are always null: what fitted the last row is the likeliest.
        let (first, first_omits) = match self.nulls {
            Nulls::Omit => (Fit::Omit, true),
            Nulls::Auto if self.known.last() == Some(&u64::MAX) => (Fit::Omit, true),
            Nulls::Keep | Nulls::Auto => (Fit::Keep, false),
        };
        let computed = digest(&|_| first_omits);
        if computed == hash {
            return Ok(first);
        }
        let other = digest(&|_| !first_omits);
        if self.nulls != Nulls::Auto {
            return Err((computed, Some(other)));
        }
        if other == hash {
            let fit = if first_omits { Fit::Keep } else { Fit::Omit };
            self.remember(if fit == Fit::Omit { u64::MAX } else { 0 });
            return Ok(fit);
        }
        if self.fits_mixed(values, &nulls, hash) { Ok(Fit::Mixed) } else { Err((computed, Some(other))) }
    }

    fn remember(&mut self, mask: u64) {
        self.known.retain(|known| *known != mask);
        if self.known.len() == KNOWN_MAX {
            self.known.remove(0);
        }
        self.known.push(mask);
    }

    /// Whether the values fit with some of the nulls left out.
    fn fits_mixed(&mut self, values: &Values, nulls: &[usize], hash: &str) -> bool {
        let composer = &self.composer;
        let fits = |mask: u64| {
            let omitted = |at: usize| at < 64 && mask >> at & 1 == 1;
            composer.digest(&composer.text(values, omitted)) == hash
        };
        let known = self.known.iter().rev().copied().filter(|mask| !matches!(*mask, 0 | u64::MAX)).find(|m| fits(*m));
        let searched = || {
            if nulls.len() > MIXED_NULLS_MAX || nulls.iter().any(|at| *at > 63) {
                return None;
            }
            let combinations = 1_u64 << nulls.len();
            if self.tries + combinations > MIXED_TRIES_MAX {
                return None;
            }
            let mask = |chosen: u64| {
                nulls
                    .iter()
                    .enumerate()
                    .filter(|(bit, _)| chosen >> bit & 1 == 1)
                    .fold(0, |mask, (_, at)| mask | 1 << at)
            };
            let found = (1..combinations - 1).map(mask).find(|mask| fits(*mask));
            Some((found, combinations))
        };
        let mut found = known;
        if found.is_none() {
            let (searched, tried) = searched().unwrap_or((None, 0));
            self.tries += if searched.is_some() { 0 } else { tried };
            found = searched;
        }
        if let Some(mask) = found {
            self.remember(mask);
        }
        found.is_some()
    }
}
