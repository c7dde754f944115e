//! `list`, `show`, `verify`, `status`.

use super::Run;
use super::audit::Notes;
use crate::cli::Exit;
use crate::cli::args::{List, Show, Status, Verify};
use crate::cli::failure::{Failure, Result};
use crate::cli::progress::watch;
use crate::cli::resolve::{self, Purpose};
use crate::commands::parts::Level;
use crate::commands::retention::locks;
use crate::commands::{list, show, status, verify};
use crate::observe::{Phase, Progress};

impl Run<'_> {
    pub(super) async fn list(&self, args: &List) -> Result<Exit> {
        let options = list::Options {
            repository: resolve::reading(self.settings)?,
            access: resolve::access(self.settings, Purpose::Look)?,
            cluster: resolve::cluster_or_all(self.settings, args.all_clusters)?,
        };
        let outcome = self.until_interrupted(Box::pin(list::run(options))).await?;
        Ok(self.screen.deliver(&outcome))
    }

    pub(super) async fn show(&self, args: &Show) -> Result<Exit> {
        let options = show::Options {
            which: resolve::which(&args.backup)?,
            repository: resolve::reading(self.settings)?,
            access: resolve::access(self.settings, Purpose::Look)?,
            cluster: resolve::cluster(self.settings)?,
        };
        let outcome = self.until_interrupted(Box::pin(show::run(options))).await?;
        Ok(self.screen.deliver(&outcome))
    }

    pub(super) async fn verify(&self, args: &Verify) -> Result<Exit> {
        if args.locks {
            return self.verify_locks(args).await;
        }
        let level = resolve::level(&args.level)?;
        let sample = args.sample.as_deref().map(resolve::sample).transpose()?;
        if level == Level::List && sample.is_some() {
            return Err(Failure::usage(
                "--sample: level list reads no data",
                "give --level checksum or --level decrypt",
            ));
        }
        let which = args.backup.as_deref().map(resolve::which).transpose()?;
        let purpose = if level == Level::Decrypt { Purpose::Read } else { Purpose::Look };
        let cluster = match which {
            Some(_) => Some(resolve::cluster(self.settings)?),
            None => resolve::cluster_or_all(self.settings, args.all_clusters)?,
        };
        let options = verify::Options {
            which,
            cluster,
            level,
            sample,
            seed: args.seed,
            repository: resolve::reading(self.settings)?,
            access: resolve::access(self.settings, purpose)?,
            downloads: self.settings.limits.downloads,
        };
        let progress = Progress::new();
        progress.set_phase(Phase::Streaming);
        let mut notes = Notes::of("verify");
        if let Some(cluster) = &options.cluster {
            notes = notes.cluster(cluster);
        }
        let job = async |notes: &Notes| {
            let job = self.until_interrupted(Box::pin(verify::run(options, &progress)));
            let outcome = watch(self.screen, &progress, job).await?;
            outcome.backups.iter().for_each(|verified| notes.object("backup", &verified.backup));
            notes.number("damaged", outcome.backups.iter().filter(|verified| !verified.whole).count() as u64);
            Ok(self.screen.deliver(&outcome))
        };
        // The lowest level reads no data.
        if level == Level::List { job(&notes).await } else { self.audited(notes, job).await }
    }

    async fn verify_locks(&self, args: &Verify) -> Result<Exit> {
        let options = locks::Options {
            repository: resolve::repository(self.settings)?,
            access: resolve::access(self.settings, Purpose::Look)?,
            cluster: resolve::cluster_or_all(self.settings, args.all_clusters)?,
            policy: resolve::policy(self.settings)?,
        };
        let outcome = self.until_interrupted(Box::pin(locks::run(options))).await?;
        Ok(self.screen.deliver(&outcome))
    }

    pub(super) async fn status(&self, args: &Status) -> Result<Exit> {
        let settings = self.settings;
        let asks = !args.offline && resolve::names_replication(settings);
        let limits = settings.status;
        let options = status::Options {
            repository: resolve::repository(settings)?,
            access: resolve::access(settings, Purpose::Look)?,
            cluster: resolve::cluster(settings)?,
            server: if asks { Some(resolve::replication(settings)?) } else { None },
            slot: settings.stream.slot.clone(),
            application_name: settings.stream.application_name.clone(),
            thresholds: status::Thresholds {
                max_lag: limits.max_lag,
                max_base_age: limits.max_base_age,
                min_lock: limits.min_lock,
            },
        };
        let outcome = self.until_interrupted(Box::pin(status::run(options))).await?;
        Ok(self.screen.deliver(&outcome))
    }
}
