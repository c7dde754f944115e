//! `retention` and `hold`.

use super::Run;
use super::audit::Notes;
use crate::cli::Exit;
use crate::cli::args::{HoldAdd, HoldList, HoldRemove, RetentionApply, RetentionExtend, RetentionPlan};
use crate::cli::failure::Result;
use crate::cli::resolve::{self, Purpose};
use crate::commands::retention::{Scope, apply, extend, hold, plan};

impl Run<'_> {
    pub(super) async fn retention_plan(&self, args: &RetentionPlan) -> Result<Exit> {
        let options = plan::Options {
            repository: resolve::repository(self.settings)?,
            access: resolve::access(self.settings, Purpose::Look)?,
            cluster: resolve::cluster_or_all(self.settings, args.all_clusters)?,
            policy: resolve::policy(self.settings)?,
            at: args.at.as_deref().map(|text| resolve::moment("--at", text)).transpose()?,
        };
        let outcome = self.until_interrupted(Box::pin(plan::run(options))).await?;
        Ok(self.screen.deliver(&outcome))
    }

    pub(super) async fn retention_extend(&self, args: &RetentionExtend) -> Result<Exit> {
        let day = args.acknowledge_compliance.as_deref();
        let options = extend::Options {
            scope: self.scope()?,
            acknowledged: day.map(|text| resolve::day("--acknowledge-compliance", text)).transpose()?,
            dry_run: args.dry_run,
            price_per_gib_month: self.settings.retention.price_per_gib_month,
        };
        let notes = Notes::of("retention.extend").cluster(&options.scope.cluster);
        let job = async |notes: &Notes| {
            let outcome = self.until_interrupted(Box::pin(extend::run(options))).await?;
            notes.number("locks_lengthened", outcome.extended);
            notes.number("bytes", outcome.extended_bytes);
            Ok(self.screen.deliver(&outcome))
        };
        if args.dry_run { job(&notes).await } else { self.audited(notes, job).await }
    }

    pub(super) async fn retention_apply(&self, args: &RetentionApply) -> Result<Exit> {
        let options = apply::Options { scope: self.scope()?, delete: args.delete };
        let notes = Notes::of("retention.apply").cluster(&options.scope.cluster);
        let job = async |notes: &Notes| {
            let outcome = self.until_interrupted(Box::pin(apply::run(options))).await?;
            outcome.backups.iter().filter(|one| one.gone).for_each(|one| notes.object("backup", &one.backup));
            notes.number("versions_deleted", outcome.removed.versions);
            notes.number("markers_deleted", outcome.removed.markers);
            notes.number("bytes", outcome.removed.bytes);
            Ok(self.screen.deliver(&outcome))
        };
        if args.delete { self.audited(notes, job).await } else { job(&notes).await }
    }

    pub(super) async fn hold_add(&self, args: &HoldAdd) -> Result<Exit> {
        let wal_until = resolve::wal_until(&args.wal_until)?;
        self.hold(&args.backup, true, wal_until).await
    }

    pub(super) async fn hold_remove(&self, args: &HoldRemove) -> Result<Exit> {
        self.hold(&args.backup, false, hold::WalUntil::Latest).await
    }

    pub(super) async fn hold_list(&self, _: &HoldList) -> Result<Exit> {
        let outcome = self.until_interrupted(Box::pin(hold::list(self.scope()?))).await?;
        Ok(self.screen.deliver(&outcome))
    }

    async fn hold(&self, backup: &str, on: bool, wal_until: hold::WalUntil) -> Result<Exit> {
        let backup = resolve::backup(backup)?;
        let options = hold::Options { scope: self.scope()?, backup, on, wal_until };
        let notes = Notes::of(if on { "hold.add" } else { "hold.remove" }).cluster(&options.scope.cluster);
        let notes = notes.with("backup", &options.backup);
        let job = async |notes: &Notes| {
            let outcome = self.until_interrupted(Box::pin(hold::run(options))).await?;
            notes.number("holds_changed", outcome.changed);
            Ok(self.screen.deliver(&outcome))
        };
        self.audited(notes, job).await
    }

    fn scope(&self) -> Result<Scope> {
        let repository = resolve::repository(self.settings)?;
        Ok(Scope {
            acting: resolve::acting(self.settings, &repository),
            repository,
            access: resolve::access(self.settings, Purpose::Look)?,
            cluster: resolve::cluster(self.settings)?,
            policy: resolve::policy(self.settings)?,
        })
    }
}
