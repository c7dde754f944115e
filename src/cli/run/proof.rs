//! `verify restore`.

use super::Run;
use super::audit::Notes;
use crate::cli::Exit;
use crate::cli::args::VerifyRestore;
use crate::cli::failure::Result;
use crate::cli::progress::watch;
use crate::cli::resolve::{self, Purpose};
use crate::commands::verify_restore::{self, Source};
use crate::observe::Progress;

impl Run<'_> {
    pub(super) async fn verify_restore(&self, args: &VerifyRestore) -> Result<Exit> {
        let settings = self.settings;
        let database = resolve::restored_database(settings, args.database.as_deref())?;
        let mut expected = resolve::expected(settings, args.explain)?;
        resolve::heads(&mut expected, &args.head)?;
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
        let notes = Notes::of("verify.restore").with("database", database.redacted());
        // Without a backup nothing of a repository is read, and there need not even be one to record it in.
        let notes = backup.as_ref().map(|source| notes.cluster(&source.cluster).chosen(&source.which));
        let backend = resolve::backend(settings);
        let options = verify_restore::Options { database, backup, backend, expected, guard };
        let progress = Progress::new();
        let job = async |notes: Option<&Notes>| {
            let checking = Box::pin(verify_restore::run(options, &progress));
            let outcome = self.until_interrupted(watch(self.screen, &progress, checking)).await?;
            if let (Some(notes), Some(backup)) = (notes, &outcome.backup) {
                notes.object("backup", backup);
            }
            Ok(self.screen.deliver(&outcome))
        };
        match notes {
            Some(notes) => self.audited(notes, async |notes| job(Some(notes)).await).await,
            None => job(None).await,
        }
    }
}
