//! Failures as a record may tell them.

use crate::commands::Error;
use crate::observe::chain;

/// Why a command failed. What a database or one of its programs said is left out: rows and passwords may stand in it, and a
/// record is neither sealed nor removable.
pub fn recordable(error: &Error) -> String {
    match error {
        Error::Postgres(_) => "PostgreSQL or one of its programs failed; what it said is not recorded".into(),
        Error::NotReady { .. } => "the server is not set up for it; what it lacks is not recorded".into(),
        Error::Usage(_) | Error::Format(_) | Error::Demo(_) => "the arguments or the configuration are wrong".into(),
        error => chain(error),
    }
}
