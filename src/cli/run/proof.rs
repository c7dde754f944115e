//! `verify restore`.

use super::Run;
use crate::cli::Exit;
use crate::cli::args::VerifyRestore;
use crate::cli::failure::Result;
use crate::cli::resolve::{self, Purpose};
use crate::commands::verify_restore::{self, Source};

impl Run<'_> {
    pub(super) async fn verify_restore(&self, args: &VerifyRestore) -> Result<Exit> {
        let settings = self.settings;
        let database = resolve::restored_database(settings, args.database.as_deref())?;
        let expected = resolve::expected(settings, args.explain)?;
        let guard = resolve::guard(settings, args.allow_production)?;
        let backup = match args.backup.as_deref() {
            None => None,
            Some(which) => Some(Source {
                which: resolve::which(which)?,
                repository: resolve::reading(settings)?,
                access: resolve::access(settings, Purpose::Look)?,
                cluster: resolve::cluster(settings)?,
            }),
        };
        let options = verify_restore::Options { database, backup, expected, guard };
        let outcome = self.until_interrupted(Box::pin(verify_restore::run(options))).await?;
        Ok(self.screen.deliver(&outcome))
    }
}
