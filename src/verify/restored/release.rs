//! Does the database belong to the release that is to run on it?

use super::{Check, Expected, Status};
use crate::postgres::{Result, Session};

pub(super) async fn check(session: &Session, expected: &Expected) -> Result<Check> {
    const NAME: &str = "release";
    let Some(query) = &expected.release_query else {
        let check = Check::new(NAME, Status::Note, "not compared: verify.release_query is not set");
        return Ok(
            check.advise("set it to a SELECT that tells which release the database belongs to, and give --release")
        );
    };
    let found = session.ask_value(query).await?;
    Ok(match (&expected.release, found) {
        (Some(wanted), Some(found)) if *wanted == found => Check::new(NAME, Status::Ok, found),
        (Some(wanted), Some(found)) => {
            Check::new(NAME, Status::Fail, format!("the database is of {found:?}, not of {wanted:?}"))
                .advise("attach the release that the database belongs to, or migrate the database first")
        }
        (Some(wanted), None) => {
            Check::new(NAME, Status::Fail, format!("the database does not tell; it should be of {wanted:?}"))
        }
        (None, Some(found)) => {
            Check::new(NAME, Status::Note, format!("the database is of {found:?}; nothing to compare with"))
                .advise("give --release the release that is approved")
        }
        (None, None) => Check::new(NAME, Status::Note, "the database does not tell"),
    })
}
