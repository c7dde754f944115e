//! What a backup recorded of the rows of its tables, and what stands under the name of each after a restore.

use crate::format::manifest::{DigestFacts, DumpFacts, TableCount, ViewFact};
use crate::postgres::rows::TableName;
use crate::postgres::{Result, Session};

/// What a backup recorded; nothing where no backup is named, or where it is of a kind that records nothing.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// Row counts; `None` = it recorded none.
    pub counts: Option<Vec<TableCount>>,
    /// Digests of tables; `None` = it recorded none.
    pub digests: Option<DigestFacts>,
    /// Which of them are materialised views; `None` = it did not record that.
    pub materialised: Option<Vec<ViewFact>>,
}

impl From<DumpFacts> for Recorded {
    fn from(facts: DumpFacts) -> Self {
        Self { counts: facts.counts, digests: facts.digests, materialised: facts.materialised }
    }
}

/// What stands under a name that the backup recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A table, as in the backup: its rows must be those of the backup.
    Table,
    /// A materialised view, as in the backup: it is computed anew, perhaps from the time of day.
    View,
    /// Nothing.
    Missing,
    /// Something else than in the backup, whatever rows it has.
    Other(&'static str),
}

impl Recorded {
    /// What became of a table of `counts` or `digests`.
    pub(super) async fn found(&self, session: &Session, table: &TableName) -> Result<Found> {
        let is = |view: &ViewFact| view.schema == table.schema && view.view == table.table;
        let was_view = self.materialised.as_ref().map(|views| views.iter().any(is));
        Ok(judge(was_view, session.relation_kind(table).await?))
    }
}

/// By the kind that the backup recorded, as far as it did. A view in the place of a table can show any rows, today.
fn judge(was_view: Option<bool>, kind: Option<char>) -> Found {
    match (was_view, kind) {
        (_, None) => Found::Missing,
        (None | Some(false), Some('r')) => Found::Table,
        (None | Some(true), Some('m')) => Found::View,
        (Some(true), Some('r')) => Found::Other("is a table, in the backup a materialised view"),
        (Some(false), Some('m')) => Found::Other("is a materialised view, in the backup a table"),
        (_, Some('v')) => Found::Other("is a view"),
        (_, Some('p')) => Found::Other("is a partitioned table, which has no rows of its own"),
        (_, Some('f')) => Found::Other("is a foreign table"),
        (_, Some(_)) => Found::Other("is not a table"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_takes_the_place_of_a_table() {
        for was_view in [None, Some(false)] {
            assert_eq!(judge(was_view, Some('r')), Found::Table);
            assert_eq!(judge(was_view, None), Found::Missing);
        }
        assert_eq!(judge(Some(true), Some('m')), Found::View);
        assert_eq!(judge(None, Some('m')), Found::View, "a backup from before kinds were recorded");
        for (was_view, kind) in [(Some(false), 'm'), (Some(true), 'r')] {
            assert!(matches!(judge(was_view, Some(kind)), Found::Other(_)), "{was_view:?} {kind}");
        }
        for (was_view, kind) in
            [None, Some(false), Some(true)].into_iter().flat_map(|was| ['v', 'p', 'f'].map(|kind| (was, kind)))
        {
            assert!(matches!(judge(was_view, Some(kind)), Found::Other(_)), "{was_view:?} {kind}");
        }
    }
}
