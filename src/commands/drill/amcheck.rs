//! amcheck belongs to the server, whatever the database has: a drill adds it to its copy, in a schema of its own, and takes
//! it away again.

use super::record::Record;
use crate::commands::Result;
use crate::observe::chain;
use crate::postgres::{ConnInfo, Session};

/// Holds nothing but amcheck.
const SCHEMA: &str = "stonewal_drill";

/// A session whose database has it because of us.
pub(super) struct Added(Session);

/// Adds it where it is wanted, not there, and installed with the server. A database that does not let us is no reason to stop.
pub(super) async fn add(info: &ConnInfo, wanted: bool, record: &mut Record) -> Result<Option<Added>> {
    if !wanted {
        return Ok(None);
    }
    let session = Session::connect(info, "stonewal drill").await?;
    match session.add_amcheck(SCHEMA).await {
        Ok(added) => Ok(added.then_some(Added(session))),
        Err(error) if session.client().is_closed() => Err(error.into()),
        Err(error) => {
            record.warnings.push(format!("amcheck could not be added to the copy: {}", chain(&error)));
            Ok(None)
        }
    }
}

/// What is kept of a drill is as it was restored.
pub(super) async fn remove(added: Option<Added>, record: &mut Record) {
    let Some(Added(session)) = added else { return };
    if let Err(error) = session.remove_amcheck(SCHEMA).await {
        record.warnings.push(format!("amcheck could not be removed from the copy: {}", chain(&error)));
    }
}
