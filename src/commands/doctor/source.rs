//! The database that would be backed up.

use super::{Outcome, Status};
use crate::commands::{Error, Result};
use crate::postgres::programs::Search;
use crate::postgres::{ConnInfo, Session};

pub(super) async fn check(info: &ConnInfo, programs: &Search, outcome: &mut Outcome) {
    match examine(info, programs).await {
        Ok((server, pg_dump)) => {
            outcome.add("source", Status::Ok, server);
            outcome.add("pg_dump", Status::Ok, pg_dump);
        }
        Err(error) => outcome.fail("source", &error),
    }
}

async fn examine(info: &ConnInfo, programs: &Search) -> Result<(String, String)> {
    let session = Session::connect(info, "stonewal doctor").await.map_err(Error::from)?;
    let tls = if session.is_encrypted() { "encrypted" } else { "not encrypted" };
    let server = format!("{} answers: PostgreSQL {}, {tls}", session.info().redacted(), session.major());
    let needs = format!("the server is PostgreSQL {}", session.major());
    let program = programs.find("pg_dump", session.major(), &needs).await?;
    Ok((server, format!("{} ({})", program.version, program.path.display())))
}
