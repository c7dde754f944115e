//! `backup dump` and `restore dump`.

use std::sync::atomic::Ordering;

use super::Run;
use super::audit::Notes;
use super::bases::refuse_to_ask;
use crate::cli::Exit;
use crate::cli::args::RestoreDump;
use crate::cli::failure::{Failure, Result};
use crate::cli::report::{Recorded, ToStdout};
use crate::cli::resolve::{self, Purpose};
use crate::commands::restore_dump::{self, Confirm, DatabaseTarget, RestoreTarget};
use crate::commands::{self, Which, backup_dump};
use crate::observe::Progress;

impl Run<'_> {
    pub(super) async fn backup_dump(&self) -> Result<Exit> {
        let settings = self.settings;
        let options = backup_dump::Options {
            repository: resolve::repository(settings)?,
            access: resolve::access(settings, Purpose::Write)?,
            cluster: resolve::cluster(settings)?,
            source: resolve::connection(settings)?,
            programs: resolve::search(settings),
            dump: resolve::dump_options(&settings.dump),
            globals: resolve::globals(&settings.dump),
            encoding: resolve::encoding(settings.dump.codec, settings.dump.level),
            chunk_bytes: settings.limits.chunk_bytes,
            uploads: settings.limits.uploads,
            read_back: settings.verify.after_upload.then_some(settings.limits.downloads),
        };
        let progress = Progress::new();
        let notes = Notes::of("backup.dump").cluster(&options.cluster).with("database", options.source.redacted());
        let job = async |notes: &Notes| {
            let job = Box::pin(backup_dump::run(options, &progress, self.cancel()));
            let outcome = self.in_good_order(&progress, job).await?;
            notes.object("backup", &outcome.backup);
            notes.number("stored_bytes", outcome.stored_bytes);
            Ok(self.screen.deliver(&outcome))
        };
        self.audited(notes, job).await
    }

    pub(super) async fn restore_dump(&self, args: &RestoreDump) -> Result<Exit> {
        let settings = self.settings;
        let which = resolve::which(&args.backup)?;
        let tables = resolve::tables(&args.tables, args.data_only, args.rename.as_deref())?;
        let options = restore_dump::Options {
            target: self.target(args, &which)?,
            tables,
            which,
            repository: resolve::reading(settings)?,
            access: resolve::access(settings, Purpose::Read)?,
            cluster: resolve::cluster(settings)?,
            downloads: settings.limits.downloads,
            thaw: resolve::thaw(settings, args.thaw.thaw),
        };
        let progress = Progress::new();
        let deed = if options.tables.is_some() { "restore.table" } else { "restore.dump" };
        let notes = Notes::of(deed).cluster(&options.cluster).chosen(&options.which).thawing(options.thaw);
        let notes = args.tables.iter().fold(notes, |notes, table| notes.with("table", table));
        // What is only looked at is not recorded.
        let is_deed = options.thaw.is_some() || !args.plan;
        let notes = match &options.target {
            RestoreTarget::Plan => notes,
            RestoreTarget::Database(target) => notes.with("database", target.info.redacted()),
            RestoreTarget::File { path, .. } => notes.with("file", path.display()),
            RestoreTarget::Writer { .. } => notes.with("file", "-"),
        };
        let job = async |notes: &Notes| {
            let job = Box::pin(restore_dump::run(options, &progress, self.cancel()));
            let outcome = self.in_good_order(&progress, job).await?;
            notes.object("backup", &outcome.backup);
            notes.number("plain_bytes", outcome.plain_bytes);
            let record = notes.record();
            Ok(if args.to_stdout {
                self.screen.deliver(&Recorded { outcome: ToStdout(outcome), record })
            } else {
                self.screen.deliver(&Recorded { outcome, record })
            })
        };
        if is_deed { self.audited(notes, job).await } else { job(&notes).await }
    }

    fn target(&self, args: &RestoreDump, which: &Which) -> Result<RestoreTarget> {
        let globals = args.globals_only;
        if args.plan {
            return Ok(RestoreTarget::Plan);
        }
        if let Some(path) = &args.to_file {
            return Ok(RestoreTarget::File { path: path.clone(), globals });
        }
        if args.to_stdout {
            if self.screen.is_json() {
                let what = "--to-stdout and --json would both write to standard output";
                return Err(Failure::usage(what, "leave one of them out, or use --to-file"));
            }
            return Ok(RestoreTarget::Writer { writer: Box::new(tokio::io::stdout()), globals });
        }
        if globals {
            let what = "--globals-only does not restore into a database";
            return Err(Failure::usage(what, "use it with --to-file or --to-stdout"));
        }
        let what = match args.tables.as_slice() {
            [] => which.to_string(),
            tables => format!("{} of {which}", tables.join(", ")),
        };
        let target = self.database_target(args.to.as_deref(), args.confirm, what, !args.no_globals)?;
        let way_out = "give --confirm or CONFIRM_RESTORE=true once you have checked the target";
        refuse_to_ask(args.thaw.thaw, &target.confirm, way_out)?;
        Ok(RestoreTarget::Database(Box::new(target)))
    }

    /// The database that `what` is to be restored into.
    pub(super) fn database_target(
        &self,
        to: Option<&str>,
        confirmed: bool,
        what: String,
        globals: bool,
    ) -> Result<DatabaseTarget> {
        let info = resolve::restore_target(self.settings, to)?;
        let confirm = self.confirm(confirmed, info.dbname(), what);
        if matches!(confirm, Confirm::Missing) {
            // Said before anything is fetched or connected to: nothing found there would change it.
            return Err(commands::Error::NotConfirmed { target: info.redacted(), variable: "CONFIRM_RESTORE" }.into());
        }
        Ok(DatabaseTarget { info, programs: resolve::search(self.settings), confirm, globals })
    }

    /// By flag or variable, else by typing the name of the database, if someone is there to do that.
    fn confirm(&self, given: bool, database: &str, what: String) -> Confirm {
        if given || self.settings.restore.confirmed {
            return Confirm::Given;
        }
        if !self.screen.can_ask() {
            return Confirm::Missing;
        }
        let (screen, asking) = (self.screen.clone(), self.interrupts.asking.clone());
        let database = database.to_owned();
        Confirm::Ask(Box::new(move |target| {
            let question =
                format!("Restore {what} into {target}?\nType the name of the database ({database}) to go on: ");
            asking.store(true, Ordering::SeqCst);
            let answer = screen.ask(&question);
            asking.store(false, Ordering::SeqCst);
            answer.is_some_and(|answer| answer == database)
        }))
    }
}
