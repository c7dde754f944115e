//! `backup base` and `restore base`.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::Run;
use super::audit::Notes;
use crate::cli::Exit;
use crate::cli::args::{BackupBase, RestoreBase};
use crate::cli::failure::{Failure, Result};
use crate::cli::report::Recorded;
use crate::cli::resolve::{self, Purpose};
use crate::commands::restore_base::{self, Target};
use crate::commands::restore_dump::Confirm;
use crate::commands::{self, backup_base};
use crate::config;
use crate::observe::Progress;

impl Run<'_> {
    pub(super) async fn backup_base(&self, args: BackupBase) -> Result<Exit> {
        let settings = self.settings;
        let options = backup_base::Options {
            fast_checkpoint: resolve::fast_checkpoint(&args.checkpoint)?,
            max_rate_kib: args.max_rate.as_deref().map(resolve::rate).transpose()?,
            repository: resolve::repository(settings)?,
            access: resolve::access(settings, Purpose::Write)?,
            cluster: resolve::cluster(settings)?,
            source: resolve::replication(settings)?,
            label: args.label,
            verify_checksums: !args.no_verify_checksums,
            encoding: resolve::encoding(settings.dump.codec, settings.dump.level),
            chunk_bytes: settings.limits.chunk_bytes,
            uploads: settings.limits.uploads,
            read_back: settings.verify.after_upload.then_some(settings.limits.downloads),
        };
        let progress = Progress::new();
        let notes = Notes::of("backup.base").cluster(&options.cluster).with("server", options.source.redacted());
        let job = async |notes: &Notes| {
            let job = Box::pin(backup_base::run(options, &progress, self.cancel()));
            let outcome = self.in_good_order(&progress, job).await?;
            notes.object("backup", &outcome.backup);
            notes.number("stored_bytes", outcome.stored_bytes);
            Ok(self.screen.deliver(&outcome))
        };
        self.audited(notes, job).await
    }

    pub(super) async fn restore_base(&self, args: RestoreBase) -> Result<Exit> {
        let settings = self.settings;
        if !args.tables.is_empty() {
            return Err(Failure::usage(
                "--table: a base backup is whole files of a whole cluster, and gives back no single table",
                "docs/RUNBOOK.md, \"One table back from a base backup\": `stonewal drill --kind base --target-time TIME --keep`, then pg_dump from what it leaves; of a dump, `stonewal restore dump --table`",
            ));
        }
        let options = restore_base::Options {
            request: resolve::recovery(&args)?,
            wal: resolve::wal_source(&args.wal)?,
            action: resolve::action(&args.action)?,
            archives: !args.no_archive,
            room_at: args.dir.clone().or_else(|| settings.restore.dir.clone()).filter(|_| args.plan),
            thaw: resolve::thaw(settings, args.thaw.thaw),
            target: if args.plan { None } else { Some(self.base_target(args)?) },
            repository: resolve::reading(settings)?,
            access: resolve::access(settings, Purpose::Read)?,
            cluster: resolve::cluster(settings)?,
            downloads: settings.limits.downloads,
        };
        let progress = Progress::new();
        let thaw = options.thaw;
        let notes = Notes::of("restore.base").cluster(&options.cluster).thawing(thaw);
        let dir = options.target.as_ref().map(|target| target.dir.display().to_string());
        let job = async |notes: &Notes| {
            let job = Box::pin(restore_base::run(options, &progress, self.cancel()));
            let outcome = self.in_good_order(&progress, job).await?;
            notes.object("backup", &outcome.plan.backup);
            if let Some(restored) = &outcome.restored {
                notes.number("bytes", restored.bytes);
            }
            Ok(self.screen.deliver(&Recorded { outcome, record: notes.record() }))
        };
        match dir {
            Some(dir) => self.audited(notes.with("directory", dir), job).await,
            None if thaw.is_some() => self.audited(notes, job).await,
            // Only a plan: it reads what is known of backups, and none of them.
            None => job(&notes).await,
        }
    }

    fn base_target(&self, args: RestoreBase) -> Result<Target> {
        let settings = self.settings;
        let missing = config::Error::Missing {
            what: "restore directory",
            ways: "give --dir DIR or RESTORE_DIR; --plan needs none",
        };
        let dir = args.dir.or_else(|| settings.restore.dir.clone()).ok_or(missing)?;
        let confirm = self.confirm_dir(args.confirm, &dir);
        refuse_to_ask(
            args.thaw.thaw,
            &confirm,
            "give --confirm or CONFIRM_PITR=true once you have checked the target",
        )?;
        if matches!(confirm, Confirm::Missing) {
            let target = dir.display().to_string();
            return Err(commands::Error::NotConfirmed { target, variable: "CONFIRM_PITR" }.into());
        }
        let program = std::env::current_exe();
        let program = program.map_err(|source| Failure::System { what: "our own program cannot be found", source })?;
        Ok(Target {
            tablespaces: args.tablespaces.iter().map(|text| resolve::mapping(text)).collect::<Result<_>>()?,
            delta: args.delta,
            aws: resolve::aws_variables(settings),
            programs: resolve::search(settings),
            dir,
            confirm,
            program,
        })
    }

    /// By flag or variable, else by typing the name of the directory, if someone is there to do that.
    fn confirm_dir(&self, given: bool, dir: &std::path::Path) -> Confirm {
        if given || self.settings.restore.confirmed_pitr {
            return Confirm::Given;
        }
        if !self.screen.can_ask() {
            return Confirm::Missing;
        }
        let (screen, asking) = (self.screen.clone(), self.interrupts.asking.clone());
        let name = dir.file_name().map_or_else(|| PathBuf::from(dir), PathBuf::from).display().to_string();
        Confirm::Ask(Box::new(move |target| {
            let question = format!("Restore into {target}?\nType the name of the directory ({name}) to go on: ");
            asking.store(true, Ordering::SeqCst);
            let answer = screen.ask(&question);
            asking.store(false, Ordering::SeqCst);
            answer.is_some_and(|answer| answer == name)
        }))
    }
}

/// Who waits for hours is not there to be asked afterwards.
pub(super) fn refuse_to_ask(thaws: bool, confirm: &Confirm, way_out: &'static str) -> Result<()> {
    if thaws && matches!(confirm, Confirm::Ask(_)) {
        return Err(Failure::usage("--thaw may wait for hours, and would ask for confirmation only then", way_out));
    }
    Ok(())
}
