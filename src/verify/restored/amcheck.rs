//! Indexes and tables from inside.

use super::{Check, Status, count};
use crate::postgres::inspect::Amcheck;
use crate::postgres::{self, Session};

pub(super) async fn check(session: &Session, wanted: bool) -> Result<Check, postgres::Error> {
    const NAME: &str = "amcheck";
    if !wanted {
        return Ok(Check::new(NAME, Status::Note, "not run: verify.amcheck is \"off\""));
    }
    Ok(match session.amcheck().await {
        Err(error) if session.client().is_closed() => return Err(error),
        Err(error) => Check::not_done(NAME, &error, error.hint()),
        Ok(Amcheck::Absent { available: true }) => {
            Check::new(NAME, Status::Note, "not run: it is not in this database").advise("CREATE EXTENSION amcheck")
        }
        Ok(Amcheck::Absent { available: false }) => {
            Check::new(NAME, Status::Note, "not run: the server does not have it")
                .advise("install the server's contrib package")
        }
        Ok(Amcheck::Denied) => Check::new(NAME, Status::Note, "not run: this role may not")
            .advise("run as a superuser, or GRANT EXECUTE on its functions"),
        Ok(Amcheck::Ran { indexes, tables, damage }) if damage.is_empty() => {
            let what = format!("{} and {} are sound", count(indexes, "index"), count(tables, "table"));
            Check::new(NAME, Status::Ok, what)
        }
        Ok(Amcheck::Ran { damage, .. }) => {
            let details = damage.iter().map(|damage| format!("{}: {}", damage.relation, damage.what));
            let detail = format!("{} found", count(damage.len() as u64, "damage"));
            let check = Check::new(NAME, Status::Fail, detail).with(details);
            check.advise("an index: REINDEX INDEX …; a table: restore from an earlier backup")
        }
    })
}
