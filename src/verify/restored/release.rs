//! Does the database belong to the release that is to run on it, and is it that release which runs there?

use super::{Check, Expected, Status};
use crate::postgres::{Result, Session};

/// Names of the checks.
pub(super) const RELEASE: &str = "release";
const BACKEND: &str = "backend";

/// What the backend that is attached to the database was asked.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Where.
    pub url: String,
    /// The release that it named, or why there is none.
    pub answer: Result<String, String>,
}

/// What the database answers; it is asked once.
pub(super) async fn ask(session: &Session, expected: &Expected) -> Result<Option<String>> {
    match &expected.release_query {
        Some(query) => session.ask_value(query).await,
        None => Ok(None),
    }
}

/// The database against what is approved.
pub(super) fn database(expected: &Expected, found: Option<&str>) -> Check {
    if expected.release_query.is_none() {
        let check = Check::new(RELEASE, Status::Note, "not compared: verify.release_query is not set");
        return check.advise("set it to a SELECT that tells which release the database belongs to, and give --release");
    }
    match (expected.release.as_deref(), found) {
        (Some(wanted), Some(found)) if wanted == found => Check::new(RELEASE, Status::Ok, found),
        (Some(wanted), Some(found)) => {
            Check::new(RELEASE, Status::Fail, format!("the database is of {found:?}, not of {wanted:?}"))
                .advise("attach the release that the database belongs to, or migrate the database first")
        }
        (Some(wanted), None) => {
            Check::new(RELEASE, Status::Fail, format!("the database does not tell; it should be of {wanted:?}"))
        }
        (None, Some(found)) => {
            Check::new(RELEASE, Status::Note, format!("the database is of {found:?}; nothing to compare with"))
                .advise("give --release the release that is approved")
        }
        (None, None) => Check::new(RELEASE, Status::Note, "the database does not tell"),
    }
}

/// The backend against what is approved and against what the database names. No answer is a failure: it was to be asked.
pub(super) fn backend(expected: &Expected, backend: &Backend, database: Option<&str>) -> Check {
    match &backend.answer {
        Ok(found) => compared(found, expected.release.as_deref(), database),
        Err(why) => Check::new(BACKEND, Status::Fail, format!("{} does not tell its release: {why}", backend.url))
            .advise("start the release that is approved on the restored database, or correct verify.release_url and verify.release_field"),
    }
}

fn compared(found: &str, approved: Option<&str>, database: Option<&str>) -> Check {
    let advice = "attach the release that the database belongs to";
    let wrong = |what: String| Check::new(BACKEND, Status::Fail, what).advise(advice);
    match (approved, database) {
        (Some(approved), _) if approved != found => wrong(format!("it runs {found:?}, not {approved:?}")),
        (_, Some(database)) if database != found => {
            wrong(format!("it runs {found:?}, the database is of {database:?}"))
        }
        (None, None) => Check::new(BACKEND, Status::Note, format!("it runs {found:?}; nothing to compare with"))
            .advise("give --release the release that is approved"),
        _ => Check::new(BACKEND, Status::Ok, format!("it runs {found}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_must_be_what_is_approved_and_what_the_database_is_of() {
        for (approved, database, status) in [
            (Some("a1"), None, Status::Ok),
            (None, Some("a1"), Status::Ok),
            (Some("a1"), Some("a1"), Status::Ok),
            (None, None, Status::Note),
            (Some("b2"), None, Status::Fail),
            (Some("b2"), Some("a1"), Status::Fail),
            (Some("a1"), Some("b2"), Status::Fail),
            (None, Some("b2"), Status::Fail),
        ] {
            assert_eq!(compared("a1", approved, database).status, status, "{approved:?} {database:?}");
        }
    }
}
