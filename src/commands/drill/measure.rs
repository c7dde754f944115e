//! What a restore ends in: a server that runs, and what is known of it.

use super::settings::SESSION_OPTIONS;
use crate::commands::Result;
use crate::postgres::ConnInfo;
use crate::postgres::server::Server;
use crate::verify::restored::Recorded;

/// A restored database in a server that runs.
pub(super) struct Restored {
    pub(super) server: Server,
    pub(super) database: String,
    /// Its name in the source.
    pub(super) name: String,
    /// What the backup recorded of its rows.
    pub(super) recorded: Recorded,
}

impl Restored {
    /// How the checks connect.
    pub(super) fn info(&self) -> Result<ConnInfo> {
        Ok(self.server.socket_conninfo(&self.database)?.with_param("options", SESSION_OPTIONS)?)
    }
}
