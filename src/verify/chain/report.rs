//! What came of a check of a chain.

use std::collections::BTreeMap;

use serde::Serialize;

use super::definition::KnownHead;
use crate::limits::CHAIN_BREAKS_MAX;

/// A chain that was followed to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ChainReport {
    /// The operator's name for it.
    pub name: String,
    /// `schema.table`.
    pub table: String,
    /// Rows looked at.
    pub rows: u64,
    /// The last row: whoever noted it elsewhere sees whether rows were cut off the end.
    pub head: Option<Head>,
    /// The row that must still be in it and is not.
    pub lost_head: Option<KnownHead>,
    /// Rows by the rule for nulls that they follow.
    pub rules: Rules,
    /// The first breaks, in the order of rows.
    pub breaks: Vec<Break>,
    /// How many of each kind.
    pub counts: BTreeMap<BreakKind, u64>,
}

/// The last row of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Head {
    /// What names it.
    pub row: String,
    /// Its hash.
    pub hash: Option<String>,
}

/// Rows that agree with their hash, by what became of their nulls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rules {
    /// They have none.
    pub no_nulls: u64,
    /// All were written.
    pub keep: u64,
    /// All were left out.
    pub omit: u64,
    /// Some were left out.
    pub mixed: u64,
}

/// A place where the chain does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Break {
    /// What does not hold.
    pub kind: BreakKind,
    /// The row's place in the order, from 1.
    pub position: u64,
    /// What names it: its primary key.
    pub row: String,
    /// The hash that the row has.
    pub stored: Option<String>,
    /// The hash that its content has.
    pub computed: Option<String>,
    /// The hash that it names as that of the row before.
    pub previous: Option<String>,
    /// The hash of the row before.
    pub expected_previous: Option<String>,
    /// In words.
    pub detail: String,
    /// The text that was hashed, for the first break and if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BreakKind {
    /// The content is not what was hashed.
    Content,
    /// The content is what the next row was chained to; the hash is not.
    Hash,
    /// The row has no hash.
    Unhashed,
    /// The hash of the row before was changed.
    Previous,
    /// The row before is missing, or was put in place of another.
    Missing,
    /// The row before stands elsewhere in the order.
    Order,
    /// A value cannot be written as the definition has it.
    Unreadable,
}

impl std::fmt::Display for BreakKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Content => "content altered",
            Self::Hash => "hash altered",
            Self::Unhashed => "no hash",
            Self::Previous => "previous hash altered",
            Self::Missing => "row missing",
            Self::Order => "out of order",
            Self::Unreadable => "unreadable",
        })
    }
}

impl ChainReport {
    /// Whether the chain holds.
    pub fn is_whole(&self) -> bool {
        self.counts.is_empty() && self.lost_head.is_none()
    }

    /// How many breaks there are.
    pub fn breaks_total(&self) -> u64 {
        self.counts.values().sum()
    }

    pub(super) fn add(&mut self, found: Break) {
        *self.counts.entry(found.kind).or_default() += 1;
        if self.breaks.len() < CHAIN_BREAKS_MAX {
            self.breaks.push(found);
        }
    }
}
