//! `init`, `doctor`.

use super::Run;
use super::audit::Notes;
use crate::cli::Exit;
use crate::cli::args::{Doctor, Init};
use crate::cli::failure::{Failure, Result};
use crate::cli::report::Initialised;
use crate::cli::resolve::{self, Purpose};
use crate::commands::{Immutability, doctor, init};
use crate::config::AuditMode;

impl Run<'_> {
    pub(super) async fn init(&self, args: Init) -> Result<Exit> {
        let repository = resolve::repository(self.settings)?;
        let passphrase = self.settings.keys.require_passphrase()?;
        let kept = || Ok::<_, Failure>(resolve::policy(self.settings)?.keeps_at_least());
        let options = init::Options {
            lifecycle: args.lifecycle.then(kept).transpose()?,
            repository,
            passphrase: passphrase.clone(),
            recipients: resolve::recipients(self.settings)?,
            recovery_file: args.recovery_file,
        };
        let outcome = self.until_interrupted(Box::pin(init::run(options))).await?;
        let notes = outcome.created_repository.then(|| Notes::of("init").with("repository", outcome.repository));
        let exit = self.screen.deliver(&Initialised::new(outcome, &passphrase));
        match notes {
            Some(notes) => self.audited_afterwards(notes, exit).await,
            None => Ok(exit),
        }
    }

    pub(super) async fn doctor(&self, args: &Doctor) -> Result<Exit> {
        let named = resolve::names_source(self.settings);
        let options = doctor::Options {
            repository: resolve::repository(self.settings)?,
            access: resolve::access_if_any(self.settings, Purpose::Look)?,
            source: named.then(|| resolve::connection(self.settings)).transpose()?,
            programs: resolve::search(self.settings),
            slot: self.settings.stream.slot.clone(),
            kept: resolve::policy(self.settings)?.keeps_at_least(),
            application_name: self.settings.stream.application_name.clone(),
            probe: !args.no_probe,
        };
        let locks = options.probe && matches!(options.repository.immutability, Immutability::ObjectLock { .. });
        let notes = Notes::of("doctor");
        let job = async |notes: &Notes| {
            let outcome = self.until_interrupted(Box::pin(doctor::run(options))).await?;
            notes.number("canaries", outcome.canaries);
            Ok(self.screen.deliver(&outcome))
        };
        // Whether these credentials may store anything to try is not known beforehand.
        if locks && self.settings.audit.mode == AuditMode::Required {
            return self.audited(notes, job).await;
        }
        let exit = job(&notes).await?;
        if notes.counts("canaries") > 0 { self.audited_afterwards(notes, exit).await } else { Ok(exit) }
    }
}
