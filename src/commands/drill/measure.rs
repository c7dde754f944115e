//! What a restore ends in: a server that runs, and what is known of it.

use super::settings::SESSION_OPTIONS;
use crate::commands::Result;
use crate::format::manifest::{DigestFacts, TableCount};
use crate::postgres::ConnInfo;
use crate::postgres::server::Server;

/// A restored database in a server that runs.
pub(super) struct Restored {
    pub(super) server: Server,
    pub(super) database: String,
    /// Its name in the source.
    pub(super) name: String,
    /// Rows that the backup recorded.
    pub(super) counts: Option<Vec<TableCount>>,
    /// Digests of tables that it recorded.
    pub(super) digests: Option<DigestFacts>,
}

impl Restored {
    /// How the checks connect.
    pub(super) fn info(&self) -> Result<ConnInfo> {
        Ok(self.server.socket_conninfo(&self.database)?.with_param("options", SESSION_OPTIONS)?)
    }
}
