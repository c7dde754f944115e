//! Rows of one moment: which of them came first is not in the order, only in the links.

use std::collections::{HashMap, HashSet};

use super::examine::Examined;
use crate::limits::CHAIN_TIES_MAX;

/// More rows of one moment than are held. Put in order in parts, rows of one part would be missing in the other, and each
/// would be told as a break.
#[derive(Debug)]
pub(super) struct TooMany;

/// Holds back rows until a later moment begins.
#[derive(Debug, Default)]
pub(super) struct Ties {
    held: Vec<Examined>,
}

impl Ties {
    /// Takes the next row; gives back rows of one moment that are complete.
    pub(super) fn push(&mut self, row: Examined) -> Result<Option<Vec<Examined>>, TooMany> {
        let same = self.held.first().is_none_or(|first| first.moment == row.moment);
        if same && self.held.len() >= CHAIN_TIES_MAX {
            return Err(TooMany);
        }
        let done = (!same).then(|| std::mem::take(&mut self.held));
        self.held.push(row);
        Ok(done)
    }

    /// What is left at the end.
    pub(super) fn finish(self) -> Vec<Examined> {
        self.held
    }
}

/// Puts rows of one moment into the order of their links, beginning behind `last`. Where a link leads nowhere, the next row
/// is one that no other row of the moment comes before, so that one missing row is one break.
pub(super) fn arrange(rows: Vec<Examined>, last: Option<&str>) -> Vec<Examined> {
    if rows.len() < 2 {
        return rows;
    }
    let mut by_previous: HashMap<Option<String>, Vec<usize>> = HashMap::new();
    for (at, row) in rows.iter().enumerate().rev() {
        by_previous.entry(row.previous.clone()).or_default().push(at);
    }
    let hashes: HashSet<&String> = rows.iter().filter_map(|row| row.hash.as_ref()).collect();
    let begins = |row: &Examined| row.previous.as_ref().is_none_or(|previous| !hashes.contains(previous));
    let (first, others): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|at| begins(&rows[*at]));
    let mut unlinked = first.into_iter().chain(others);
    let mut rows: Vec<Option<Examined>> = rows.into_iter().map(Some).collect();
    let mut arranged = Vec::with_capacity(rows.len());
    let mut follow = last.map(str::to_owned);
    while arranged.len() < rows.len() {
        let linked = by_previous.get_mut(&follow).and_then(Vec::pop);
        let at = match linked {
            Some(at) if rows[at].is_some() => at,
            Some(_) => continue,
            None => match unlinked.find(|at| rows[*at].is_some()) {
                Some(at) => at,
                None => break,
            },
        };
        let Some(row) = rows[at].take() else { break };
        follow.clone_from(&row.hash);
        arranged.push(row);
    }
    arranged
}
