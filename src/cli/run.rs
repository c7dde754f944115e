//! From arguments to an exit code.

use std::ffi::OsString;
use std::pin::pin;
use std::time::Duration;

use clap::Parser as _;
use clap::error::ErrorKind;
use tokio_util::sync::CancellationToken;

use super::Exit;
use super::args::{
    Backup, Cli, Command, Drill, DrillWhat, Hold, Import, ImportWhat, Report, ReportWhat, Restore, Retention, Store,
    Verify, VerifyWhat, Wal,
};
use super::failure::{Failure, Result};
use super::flags::flags;
use super::progress::watch;
use super::screen::Screen;
use super::signals::Interrupts;
use crate::commands;
use crate::config::{self, Environment, Settings};
use crate::limits::INTERRUPT_GRACE_SECONDS;
use crate::observe::{self, LogFormat, LogOptions, Phase, Progress};

mod audit;
mod audit_log;
mod bases;
mod cost;
mod databases;
mod drill;
mod imports;
mod keys;
mod looks;
mod proof;
mod replica;
mod report;
mod retention;
mod servers;
mod setup;
mod stream;
mod wal;

/// How long an interrupted job may take to end by itself.
const INTERRUPT_GRACE: Duration = Duration::from_secs(INTERRUPT_GRACE_SECONDS);

/// Runs one command line, program name first, and prints what came of it.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if !wal::is_fetch(&arguments) {
        return run_any(&arguments);
    }
    // Whatever goes wrong with a fetch, a bug included, must not look like absence (invariant I10).
    wal::fetch_exit(&std::panic::catch_unwind(|| run_any(&arguments)))
}

fn run_any(arguments: &[OsString]) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return explain(&error, arguments.iter().any(|argument| argument == "--json")),
    };
    let screen = Screen::new(cli.global.json, cli.global.quiet);
    let interrupts = Interrupts::default();
    match prepare(&cli, &screen).and_then(|settings| execute(cli, &settings, &screen, &interrupts)) {
        Ok(exit) => exit,
        Err(failure) => {
            // The terminal sends SIGINT to pg_dump and psql too; that one of them died of it first is no other failure.
            let exit = if interrupts.cancel.is_cancelled() { Exit::Interrupted } else { failure.exit() };
            screen.fail(&failure, exit);
            exit
        }
    }
}

/// Help, version, or what is wrong with the arguments.
fn explain(error: &clap::Error, json: bool) -> Exit {
    let _ = error.print();
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Exit::Done;
    }
    let text = error.render().to_string();
    let first = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "a command is missing",
        _ => text.lines().next().unwrap_or_default().trim_start_matches("error: ").trim_end_matches(':'),
    };
    let hint = Some("`stonewal COMMAND --help` explains every argument".into());
    // A restore_command with a typing error must not look like absence either.
    let exit = if wal::is_mistyped(error.kind(), &text) { Exit::StopRecovery } else { Exit::Usage };
    Screen::new(json, true).fail_document(first.to_owned(), hint, exit);
    exit
}

/// Settings and logging.
fn prepare(cli: &Cli, screen: &Screen) -> Result<Settings> {
    refuse_passwords(&cli.command)?;
    let flags = flags(&cli.global, &cli.command);
    let environment = Environment::capture()?;
    let settings = match cli.command {
        // Neither needs to be told anything, and both must work on any host.
        Command::Demo(_) => config::isolated(&flags, environment)?,
        Command::Drill(ref drill) if matches!(**drill, Drill { what: Some(DrillWhat::Guard(_)), .. }) => {
            config::isolated(&flags, environment)?
        }
        _ => config::load(&flags, environment)?,
    };
    let format = match settings.log.format {
        config::LogFormat::Human => LogFormat::Human,
        config::LogFormat::Json => LogFormat::Json,
    };
    let options = LogOptions { format, filter: settings.log.filter.clone(), verbosity: cli.global.verbose };
    observe::init(&options, screen.log_writer())?;
    Ok(settings)
}

/// No secret may stand in the arguments (invariant I13).
fn refuse_passwords(command: &Command) -> Result<()> {
    const SOURCE: &str = "set DATABASE_URL or PGPASSWORD, or write the password into ~/.pgpass";
    const SERVER: &str = "set REPLICATION_DATABASE_URL or PGPASSWORD, or write the password into ~/.pgpass";
    const TARGET: &str = "set RESTORE_DATABASE_URL or PGPASSWORD, or write the password into ~/.pgpass";
    let (flag, url, instead) = match command {
        Command::Backup(Backup::Dump(args)) => ("--from", args.from.as_deref(), SOURCE),
        Command::Backup(Backup::Base(args)) => ("--from", args.from.as_deref(), SOURCE),
        Command::Doctor(args) => ("--from", args.from.as_deref(), SOURCE),
        Command::Status(args) => ("--from", args.from.as_deref(), SOURCE),
        Command::Wal(Wal::Stream(args)) => ("--from", args.from.as_deref(), SERVER),
        Command::Restore(Restore::Dump(args)) => ("--to", args.to.as_deref(), TARGET),
        Command::Import(args) => ("--to", args.to.as_deref(), TARGET),
        Command::Verify(Verify { what: Some(VerifyWhat::Restore(args)), .. }) => {
            ("--database", args.database.as_deref(), TARGET)
        }
        _ => return Ok(()),
    };
    super::resolve::refuse_password(flag, url, instead)
}

/// The command on a runtime of its own: as many workers as processors, since compression and encryption run on them.
fn execute(cli: Cli, settings: &Settings, screen: &Screen, interrupts: &Interrupts) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Failure::System { what: "threads cannot be started", source })?;
    let exit = runtime.block_on(async {
        let listening = interrupts.listen(screen);
        let _listening = listening.map_err(|source| Failure::System { what: "signals cannot be received", source })?;
        Run { settings, screen, interrupts }.command(cli.command).await
    });
    // A thread that waits for the network or the disk must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(200));
    exit
}

/// What every command needs.
struct Run<'a> {
    settings: &'a Settings,
    screen: &'a Screen,
    interrupts: &'a Interrupts,
}

impl Run<'_> {
    async fn command(&self, command: Command) -> Result<Exit> {
        match command {
            Command::Init(args) => self.init(args).await,
            Command::Doctor(args) => self.doctor(&args).await,
            Command::Backup(Backup::Dump(_)) => self.backup_dump().await,
            Command::Wal(Wal::Stream(args)) => self.wal_stream(&args).await,
            Command::Backup(Backup::Base(args)) => self.backup_base(args).await,
            Command::Restore(Restore::Dump(args)) => self.restore_dump(&args).await,
            Command::Wal(Wal::Push(args)) => self.wal_push(args).await,
            Command::Wal(Wal::Fetch(args)) => self.wal_fetch(args).await,
            Command::Wal(Wal::Verify(args)) => self.wal_verify(&args).await,
            Command::Restore(Restore::Base(args)) => self.restore_base(*args).await,
            Command::Import(Import { what: Some(ImportWhat::Base(args)), .. }) => self.import_base(args).await,
            Command::Import(args) => self.import(&args).await,
            Command::List(args) => self.list(&args).await,
            Command::Show(args) => self.show(&args).await,
            Command::Verify(Verify { what: Some(VerifyWhat::Restore(args)), .. }) => self.verify_restore(&args).await,
            Command::Verify(args) => self.verify(&args).await,
            Command::Drill(args) => self.drill(*args).await,
            Command::Status(args) => self.status(&args).await,
            Command::Report(Report { what: Some(ReportWhat::Dr(args)), .. }) => self.report_dr(args).await,
            Command::Report(args) => self.report(args).await,
            Command::Checklist(args) => self.checklist(&args).await,
            Command::Retention(Retention::Plan(args)) => self.retention_plan(&args).await,
            Command::Retention(Retention::Extend(args)) => self.retention_extend(&args).await,
            Command::Retention(Retention::Apply(args)) => self.retention_apply(&args).await,
            Command::Hold(Hold::Add(args)) => self.hold_add(&args).await,
            Command::Hold(Hold::Remove(args)) => self.hold_remove(&args).await,
            Command::Hold(Hold::List(args)) => self.hold_list(&args).await,
            Command::Cost(args) => self.cost(&args).await,
            Command::Audit(args) => self.audit(args).await,
            Command::Replica(args) => self.replica(args).await,
            Command::Keys(args) => self.keys(args).await,
            Command::Reencrypt(args) => self.reencrypt(args).await,
            Command::Store(Store::Serve(args)) => self.serve(args).await,
            Command::Demo(_) => self.demo().await,
        }
    }

    fn cancel(&self) -> &CancellationToken {
        &self.interrupts.cancel
    }

    /// Runs a job that sees by itself when it is interrupted and ends in good order. One that does not manage to, because
    /// a server does not answer, is given up; but not while its last step is under way: it must be known whether that
    /// was taken.
    async fn in_good_order<T>(&self, progress: &Progress, job: impl Future<Output = commands::Result<T>>) -> Result<T> {
        let mut job = pin!(watch(self.screen, progress, job));
        tokio::select! {
            biased;
            done = &mut job => return Ok(done?),
            () = self.cancel().cancelled() => {}
        }
        match tokio::time::timeout(INTERRUPT_GRACE, &mut job).await {
            Ok(done) => Ok(done?),
            Err(_) if progress.read().phase == Phase::Finishing => Ok(job.await?),
            Err(_) => Err(commands::Error::Interrupted.into()),
        }
    }

    /// Runs a command that may be dropped at any moment: it holds nothing that needs an orderly end.
    async fn until_interrupted<T>(&self, job: impl Future<Output = commands::Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.cancel().cancelled() => Err(commands::Error::Interrupted.into()),
            done = job => Ok(done?),
        }
    }
}
