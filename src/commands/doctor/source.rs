//! The database that would be backed up.

use super::{Outcome, Status, streaming};
use crate::commands::{Error, Result};
use crate::postgres::programs::Search;
use crate::postgres::{ConnInfo, Session};

pub(super) async fn check(info: &ConnInfo, programs: &Search, slot: (&str, &str), outcome: &mut Outcome) {
    match examine(info, programs).await {
        Ok((session, server, pg_dump)) => {
            outcome.add("source", Status::Ok, server);
            outcome.add("pg_dump", Status::Ok, pg_dump);
            streaming::check(&session, slot, outcome).await;
        }
        Err(error) => outcome.fail("source", &error),
    }
}

async fn examine(info: &ConnInfo, programs: &Search) -> Result<(Session, String, String)> {
    let session = Session::connect(info, "stonewal doctor").await.map_err(Error::from)?;
    let tls = if session.is_encrypted() { "encrypted" } else { "not encrypted" };
    let server = format!("{} answers: PostgreSQL {}, {tls}", session.info().redacted(), session.major());
    let needs = format!("the server is PostgreSQL {}", session.major());
    let program = programs.find("pg_dump", session.major(), &needs).await?;
    Ok((session, server, format!("{} ({})", program.version, program.path.display())))
}
