//! Are the tables there, with all their rows?

use super::recorded::Found;
use super::{Check, Expected, Status, count};
use crate::postgres::rows::TableName;
use crate::postgres::{Result, Session};

pub(super) async fn tables(session: &Session, expected: &Expected) -> Result<Check> {
    const NAME: &str = "tables";
    if expected.tables.is_empty() {
        let check = Check::new(NAME, Status::Note, "no table is required");
        return Ok(check.advise("name the tables that must be there in verify.tables"));
    }
    let mut missing = Vec::new();
    for (table, _) in &expected.tables {
        if session.relation_kind(table).await?.is_none() {
            missing.push(format!("{table} is missing"));
        }
    }
    let all = count(expected.tables.len() as u64, "required table");
    Ok(match missing.len() {
        0 => Check::new(NAME, Status::Ok, format!("{all}, all there")),
        gone => Check::new(NAME, Status::Fail, format!("{gone} of {all} missing")).with(missing),
    })
}

/// Recorded counts where there are any, minimum counts for the other required tables.
pub(super) async fn rows(session: &Session, expected: &Expected) -> Result<Check> {
    let (mut wrong, mut changed, mut compared, mut at_least) = (Vec::new(), Vec::new(), 0, 0);
    for record in expected.recorded.counts.iter().flatten() {
        let table = TableName { schema: record.schema.clone(), table: record.table.clone() };
        compared += 1;
        let list = match expected.recorded.found(session, &table).await? {
            Found::Table => &mut wrong,
            Found::View => &mut changed,
            Found::Missing => {
                wrong.push(format!("{table} is missing, the backup has {}", count(record.rows, "row")));
                continue;
            }
            Found::Other(what) => {
                wrong.push(format!("{table} {what}"));
                continue;
            }
        };
        let rows = session.count_rows(&table, true).await?;
        if rows != record.rows {
            list.push(format!("{table} has {}, the backup has {}", count(rows, "row"), record.rows));
        }
    }
    for (table, minimum) in &expected.tables {
        let is_recorded =
            |known: &crate::format::manifest::TableCount| known.schema == table.schema && known.table == table.table;
        let recorded = expected.recorded.counts.iter().flatten().any(is_recorded);
        let Some(minimum) = minimum.filter(|minimum| !recorded && *minimum > 0) else { continue };
        if session.relation_kind(table).await?.is_none() {
            continue; // said by the check before
        }
        at_least += 1;
        let rows = session.count_rows(table, false).await?;
        if rows < minimum {
            wrong.push(format!("{table} has {}, at least {minimum} should be there", count(rows, "row")));
        }
    }
    let mut parts = Vec::new();
    match &expected.recorded.counts {
        Some(_) => parts.push(format!("{} compared with the backup", count(compared, "table"))),
        None => parts.push("no counts of a backup to compare with".to_owned()),
    }
    if at_least > 0 {
        parts.push(format!("{} held against a minimum", count(at_least, "table")));
    }
    let bad = wrong.len() as u64;
    let (status, verdict) = match (bad, changed.is_empty(), expected.recorded.counts.is_some() || at_least > 0) {
        (0, true, true) => (Status::Ok, "all as it should be".to_owned()),
        (0, true, false) => (Status::Note, "nothing was counted".to_owned()),
        (0, false, _) => (Status::Warn, format!("{} other rows", count(changed.len() as u64, "materialised view"))),
        _ => (Status::Fail, format!("{} wrong", count(bad, "table"))),
    };
    let check = Check::new("rows", status, format!("{verdict}; {}", parts.join(", ")));
    Ok(check.with(wrong.into_iter().chain(changed)))
}
