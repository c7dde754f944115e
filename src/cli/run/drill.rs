//! `drill`.

use std::path::Path;

use super::Run;
use super::audit::Notes;
use crate::cli::Exit;
use crate::cli::args::{Drill, DrillShow, DrillWhat};
use crate::cli::failure::{Failure, Result};
use crate::cli::resolve::{self, Purpose};
use crate::commands::drill::{self, Limits, Objectives, Options, Place};
use crate::commands::{Error, evidence, schedule};
use crate::observe::Progress;

impl Run<'_> {
    pub(super) async fn drill(&self, args: Drill) -> Result<Exit> {
        match &args.what {
            Some(DrillWhat::List(_)) => return self.drill_list().await,
            Some(DrillWhat::Show(show)) => return self.drill_show(show).await,
            Some(DrillWhat::Guard(guard)) => return guarded(&guard.dir).await,
            None => {}
        }
        if let Some(what) = args.schedule.as_deref() {
            return self.drill_schedule(what, &args);
        }
        if args.clean {
            let left = drill::clean(&self.settings.drill.dir)?;
            return Ok(self.screen.deliver(&left));
        }
        let options = self.drill_options(&args)?;
        let progress = Progress::new();
        let tell = |line: String| self.screen.remark(&line);
        let notes = Notes::of("drill").cluster(&options.cluster);
        let job = async |notes: &Notes| {
            let job = Box::pin(drill::run(options, &tell, &progress, self.cancel()));
            let outcome = self.in_good_order(&progress, job).await?;
            if let Some(backup) = &outcome.evidence.backup {
                notes.object("backup", &backup.id);
            }
            if outcome.stored.is_some() {
                notes.object("evidence", &outcome.evidence.evidence);
            }
            notes.number("bytes", outcome.evidence.bytes);
            Ok(self.screen.deliver(&outcome))
        };
        self.audited(notes, job).await
    }

    fn drill_options(&self, args: &Drill) -> Result<Options> {
        let (settings, drill) = (self.settings, &self.settings.drill);
        let program = std::env::current_exe();
        let program = program.map_err(|source| Failure::System { what: "our own program cannot be found", source })?;
        Ok(Options {
            pick: resolve::pick(&args.backup)?,
            kind: args.kind.as_deref().map(resolve::kind).transpose()?,
            goal: resolve::drill_goal(args)?,
            sql: resolve::sql_checks(&drill.sql)?,
            expected: resolve::expected(settings, false)?,
            repository: resolve::reading(settings)?,
            access: Some(resolve::access(settings, Purpose::Read)?),
            signer: if args.no_evidence { None } else { resolve::evidence_signer(settings)? },
            evidence: !args.no_evidence,
            cluster: resolve::cluster(settings)?,
            place: Place { dir: drill.dir.clone(), keep: args.keep },
            user: drill.user.clone(),
            database: drill.database.clone(),
            objectives: Objectives { rto: drill.rto, rpo: drill.rpo },
            limits: Limits {
                timeout: drill.timeout,
                shared_buffers: drill.shared_buffers,
                parallel: drill.parallel,
                nice: drill.nice,
                preload: drill.preload.clone(),
                downloads: settings.limits.downloads,
            },
            program,
            aws: resolve::aws_variables(settings),
            programs: resolve::search(settings),
        })
    }

    fn evidence_options(&self) -> Result<evidence::Options> {
        Ok(evidence::Options {
            repository: resolve::reading(self.settings)?,
            access: resolve::access(self.settings, Purpose::Look)?,
            cluster: resolve::cluster(self.settings)?,
        })
    }

    async fn drill_list(&self) -> Result<Exit> {
        let job = Box::pin(evidence::list(self.evidence_options()?));
        let history = self.until_interrupted(job).await?;
        Ok(self.screen.deliver(&history))
    }

    async fn drill_show(&self, args: &DrillShow) -> Result<Exit> {
        let id = resolve::evidence_id(&args.drill)?;
        let job = Box::pin(evidence::show(self.evidence_options()?, id));
        let shown = self.until_interrupted(job).await?;
        Ok(self.screen.deliver(&shown))
    }

    /// Without a word about keys: the units read them from where the operator puts them.
    fn drill_schedule(&self, what: &str, args: &Drill) -> Result<Exit> {
        let kind = resolve::scheduler(what)?;
        let program = std::env::current_exe();
        let program = program.map_err(|source| Failure::System { what: "our own program cannot be found", source })?;
        let mut words = resolve::drill_words(args);
        words.extend(self.settings.from_replica.iter().flat_map(|name| ["--from-replica".to_owned(), name.clone()]));
        let units = schedule::drill(kind, &program, &self.settings.cluster, &words).map_err(Error::Usage)?;
        Ok(self.screen.deliver(&units))
    }
}

/// Blocks until the drill has ended; signals do not end it, since they are meant for the drill.
async fn guarded(dir: &Path) -> Result<Exit> {
    let dir = dir.to_owned();
    let done = tokio::task::spawn_blocking(move || drill::guard::run(&dir)).await;
    match done {
        Ok(done) => done.map(|()| Exit::Done).map_err(Into::into),
        Err(_) => Ok(Exit::Failed),
    }
}
