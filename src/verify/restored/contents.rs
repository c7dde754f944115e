//! Was anything that is in the database held against anything? Sound is an empty database too.

use super::{Check, Expected, Status, count};
use crate::postgres::{Result, Session};

const NAME: &str = "contents";

/// What to name for the next time.
const ADVICE: &str =
    "name the dump (--backup ID, latest), or what must be there: verify.tables, verify.chain.NAME, in drills drill.sql";

/// Says something only where there is something to say.
pub(super) async fn check(session: &Session, expected: &Expected) -> Result<Option<Check>> {
    if compares(expected) {
        return Ok(None);
    }
    Ok(judge(expected, session.count_tables().await?))
}

/// Whether any check looks at what is in the tables.
fn compares(expected: &Expected) -> bool {
    let recorded = &expected.recorded;
    !expected.tables.is_empty()
        || !expected.chains.is_empty()
        || expected.drill.is_some_and(|questions| questions > 0)
        || recorded.counts.as_ref().is_some_and(|counts| !counts.is_empty())
        || recorded.digests.as_ref().is_some_and(|digests| !digests.tables.is_empty())
}

/// Of a database with so many tables, of which nothing is compared.
fn judge(expected: &Expected, tables: u64) -> Option<Check> {
    let as_recorded = expected.recorded.counts.is_some();
    // A drill proves a backup, and a cluster may be empty; what is to be promoted is not.
    let empty = if expected.drill.is_some() { Status::Warn } else { Status::Fail };
    let check = match tables {
        0 if as_recorded => return None,
        0 => Check::new(NAME, empty, "the database has no table, and no backup is named that had none"),
        _ => Check::new(
            NAME,
            Status::Warn,
            format!("nothing of its contents was compared, in {}", count(tables, "table")),
        ),
    };
    Some(check.advise(ADVICE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::manifest::TableCount;
    use crate::postgres::rows::TableName;

    fn recorded(counts: Option<Vec<TableCount>>) -> Expected {
        let mut expected = Expected::default();
        expected.recorded.counts = counts;
        expected
    }

    #[test]
    fn what_was_not_looked_at_is_not_called_good() {
        let status = |expected: &Expected, tables| judge(expected, tables).map(|check| check.status);
        let nothing = recorded(None);
        assert!(!compares(&nothing));
        assert_eq!((status(&nothing, 0), status(&nothing, 3)), (Some(Status::Fail), Some(Status::Warn)));
        let drill = Expected { drill: Some(0), ..Expected::default() };
        assert!(!compares(&drill));
        assert_eq!((status(&drill, 0), status(&drill, 3)), (Some(Status::Warn), Some(Status::Warn)));
        // The backup was of an empty database: that is what came back, unless there is more than it had.
        let empty = recorded(Some(Vec::new()));
        assert!(!compares(&empty));
        assert_eq!((status(&empty, 0), status(&empty, 3)), (None, Some(Status::Warn)));
    }

    #[test]
    fn anything_that_is_held_against_the_rows_counts() {
        let count = TableCount { schema: "public".into(), table: "t".into(), rows: 0 };
        let required = (TableName { schema: "public".into(), table: "t".into() }, None);
        for expected in [
            recorded(Some(vec![count])),
            Expected { tables: vec![required], ..Expected::default() },
            Expected { drill: Some(1), ..Expected::default() },
        ] {
            assert!(compares(&expected), "{expected:?}");
        }
    }
}
