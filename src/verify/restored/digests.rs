//! Do the rows of the tables come to what the backup recorded?

use super::recorded::Found;
use super::{Check, Expected, Status, count};
use crate::format::manifest::TableDigest;
use crate::observe::Progress;
use crate::postgres::digest::DigestKey;
use crate::postgres::rows::TableName;
use crate::postgres::{Result, Session};

/// Every table by itself: what the server refuses of one says nothing of the others.
pub(super) async fn check(session: &Session, expected: &Expected, progress: &Progress) -> Result<Check> {
    const NAME: &str = "digests";
    let Some(recorded) = &expected.recorded.digests else {
        let check = Check::new(NAME, Status::Note, "no digests of a backup to compare with");
        return Ok(check.advise("name tables in dump.digests, and give the dump in --backup"));
    };
    let key = DigestKey::new(*recorded.key.as_bytes());
    let (mut wrong, mut changed, mut rows) = (Vec::new(), Vec::new(), 0);
    for record in &recorded.tables {
        let table = TableName { schema: record.schema.clone(), table: record.table.clone() };
        let list = match expected.recorded.found(session, &table).await? {
            Found::Table => &mut wrong,
            Found::View => &mut changed,
            Found::Missing => {
                wrong.push(format!("{table} is missing"));
                continue;
            }
            Found::Other(what) => {
                wrong.push(format!("{table} {what}"));
                continue;
            }
        };
        let counted = |more| progress.add_rows(more);
        let found = session.question(session.digest_rows(&table, &key, &counted)).await;
        let found = match found {
            Err(error) if session.client().is_closed() => return Err(error),
            Err(error) => {
                wrong.push(format!("{table} could not be read: {error}"));
                continue;
            }
            Ok(found) => found,
        };
        rows += found.rows;
        list.extend(differs(&table, record, found.rows, found.sum == *record.digest.as_bytes()));
    }
    let all = format!("{} with {}", count(recorded.tables.len() as u64, "table"), count(rows, "row"));
    let (status, detail) = match (wrong.len() as u64, changed.len() as u64) {
        (0, 0) => (Status::Ok, format!("{all}, each row as it was dumped")),
        (0, views) => (Status::Warn, format!("{} other rows; {all}", count(views, "materialised view"))),
        (bad, _) => (Status::Fail, format!("{} not as dumped; {all}", count(bad, "table"))),
    };
    let check = Check::new(NAME, status, detail).with(wrong.into_iter().chain(changed));
    Ok(if status == Status::Fail {
        check.advise("restore again into an empty database, and let nothing write there before it is checked")
    } else {
        check
    })
}

fn differs(table: &TableName, recorded: &TableDigest, rows: u64, same: bool) -> Option<String> {
    match (rows == recorded.rows, same) {
        (true, true) => None,
        (true, false) => Some(format!("{table} has as many rows as the backup, {rows}, and not the same ones")),
        (false, _) => Some(format!("{table} has {}, the backup has {}", count(rows, "row"), recorded.rows)),
    }
}
