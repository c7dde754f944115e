//! `replica`.

use super::Run;
use super::audit::Notes;
use crate::cli::Exit;
use crate::cli::args::{Replica, ReplicaCopy, ReplicaVerify};
use crate::cli::failure::Result;
use crate::cli::progress::watch;
use crate::cli::resolve::{self, Purpose};
use crate::commands::replica::{copy, list, verify};
use crate::config::AuditMode;
use crate::observe::{Phase, Progress};

impl Run<'_> {
    pub(super) async fn replica(&self, what: Replica) -> Result<Exit> {
        match what {
            Replica::Copy(args) => self.replica_copy(args).await,
            Replica::Verify(args) => self.replica_verify(args).await,
            Replica::List(_) => self.replica_list().await,
        }
    }

    async fn replica_copy(&self, args: ReplicaCopy) -> Result<Exit> {
        let until = args.acknowledge_compliance.as_deref();
        let options = copy::Options {
            replica: args.name,
            bytes_per_second: args.limit.as_deref().map(resolve::bytes_per_second).transpose()?,
            acknowledged: until.map(|text| resolve::acknowledged("--acknowledge-compliance", text)).transpose()?,
            repository: resolve::repository(self.settings)?,
            access: resolve::access_if_any(self.settings, Purpose::Look)?,
            memory_bytes: self.settings.limits.memory_bytes,
            lock_max: resolve::lock_max(self.settings),
            dry_run: args.dry_run,
        };
        let notes = Notes::of("replica.copy").with("replica", &options.replica);
        let plain = options.dry_run;
        let progress = Progress::new();
        let job = async |_: &Notes| {
            let job = self.until_interrupted(Box::pin(copy::run(options, &progress)));
            let outcome = watch(self.screen, &progress, job).await?;
            Ok(self.screen.deliver(&outcome))
        };
        // A copy needs no keys; without any, there is nothing to sign a record with.
        let signed = resolve::signer(self.settings)?.is_some() || self.settings.audit.mode == AuditMode::Required;
        if plain || !signed { job(&notes).await } else { self.audited(notes, job).await }
    }

    async fn replica_verify(&self, args: ReplicaVerify) -> Result<Exit> {
        let options = verify::Options {
            replica: args.name,
            max_lag: args.max_lag.as_deref().map(|text| resolve::duration("--max-lag", text)).transpose()?,
            repository: resolve::repository(self.settings)?,
            access: resolve::access_if_any(self.settings, Purpose::Look)?,
            deep: args.deep,
            memory_bytes: self.settings.limits.memory_bytes,
        };
        let progress = Progress::new();
        progress.set_phase(Phase::Streaming);
        let job = self.until_interrupted(Box::pin(verify::run(options, &progress)));
        let outcome = watch(self.screen, &progress, job).await?;
        Ok(self.screen.deliver(&outcome))
    }

    async fn replica_list(&self) -> Result<Exit> {
        let repository = resolve::repository(self.settings)?;
        let outcome = self.until_interrupted(Box::pin(list::run(repository))).await?;
        Ok(self.screen.deliver(&outcome))
    }
}
