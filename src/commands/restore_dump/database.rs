//! Into an empty database, in one transaction that commits only after the authenticated end of the stream.

use tokio_util::sync::CancellationToken;

use super::{Job, Outcome};
use crate::commands::backup_dump::{DUMP_STREAM, GLOBALS_STREAM};
use crate::commands::repository::interruptible;
use crate::commands::{Error, Result, facts};
use crate::format::manifest::DumpFacts;
use crate::limits::GLOBALS_BYTES_MAX;
use crate::observe::{Phase, Progress};
use crate::postgres::globals::{Existing, Restorable, filter_globals};
use crate::postgres::load::{Load, LoadReceipt, knows_restrict};
use crate::postgres::programs::{Program, Search};
use crate::postgres::target::{ensure_empty, version_warning};
use crate::postgres::{self, ConnInfo, Session};

/// Why an imported dump needs a psql that knows `\restrict`.
pub(in crate::commands) const LOCKS_IMPORTS: &str = "keeps psql from obeying commands in an imported dump";

/// Whether the operator means it.
pub enum Confirm {
    /// By flag or variable.
    Given,
    /// Ask once the target has been looked at, which is given in words; true means go on.
    Ask(Box<dyn FnOnce(&str) -> bool + Send>),
    /// There is no one to ask.
    Missing,
}

impl Confirm {
    /// Fails unless the operator means it.
    pub(in crate::commands) fn demand(self, database: &str) -> Result<()> {
        let confirmed = match self {
            Self::Given => true,
            Self::Ask(ask) => ask(database),
            Self::Missing => false,
        };
        let missing = || Error::NotConfirmed { target: database.to_owned(), variable: "CONFIRM_RESTORE" };
        confirmed.then_some(()).ok_or_else(missing)
    }
}

/// The database to restore into.
pub struct DatabaseTarget {
    /// How to connect.
    pub info: ConnInfo,
    /// Where psql is looked for.
    pub programs: Search,
    /// Whether the operator means it.
    pub confirm: Confirm,
    /// Whether roles and tablespaces that the target lacks are created.
    pub globals: bool,
}

/// What has to be known before the first byte is sent.
struct Checked {
    info: ConnInfo,
    imported: bool,
    database: String,
    program: Program,
    globals: Restorable,
    warnings: Vec<String>,
    comment_and_settings: String,
}

pub(super) async fn restore(job: &Job<'_>, target: DatabaseTarget) -> Result<Outcome> {
    let checking = async { check(job, target, &recorded(job).await?).await };
    let checked = interruptible(job.cancel, Box::pin(checking)).await?;
    job.progress.set_phase(Phase::Streaming);
    let mut load = Load::start(&checked.info, &checked.program, job.cancel).await?;
    let receipt = match send(job, &mut load, &checked).await {
        Ok(()) => commit(load, job.progress, job.cancel).await?,
        Err(error) => {
            load.abort().await;
            return Err(error);
        }
    };
    let mut outcome = job.outcome(checked.database, receipt.bytes());
    outcome.roles_created = checked.globals.roles_created;
    outcome.roles_left_alone = checked.globals.roles_left_alone;
    outcome.warnings = checked.warnings;
    Ok(outcome)
}

/// What was recorded about the dump.
pub(super) async fn recorded(job: &Job<'_>) -> Result<DumpFacts> {
    let recorded = job.repository.sealed_part(&job.backup.manifest).await?.dump;
    recorded.ok_or_else(|| Error::NoStream { backup: job.backup.clear().backup.to_string(), stream: DUMP_STREAM })
}

/// Where it goes and what loads it; a whole dump goes into an empty database. Changes nothing.
pub(super) async fn place(target: &DatabaseTarget, recorded: &DumpFacts, is_whole: bool) -> Result<(Session, Program)> {
    let session = Session::connect(&target.info, "stonewal restore check").await?;
    if is_whole {
        ensure_empty(&session).await?;
    }
    let (needs_restrict, why) = restrict(recorded);
    let program = psql(&session, &target.programs, needs_restrict, &why).await?;
    Ok((session, program))
}

/// Looks at the target; changes nothing.
async fn check(job: &Job<'_>, target: DatabaseTarget, recorded: &DumpFacts) -> Result<Checked> {
    let (session, program) = place(&target, recorded, true).await?;
    let mut warnings: Vec<String> =
        version_warning(recorded.server_version_num / 10_000, session.major()).into_iter().collect();
    warnings.extend(collation_warning(&session, recorded).await?);
    let globals = if target.globals { globals(job, &session).await? } else { Restorable::default() };
    if !globals.tablespaces.is_empty() {
        let list: Vec<_> = globals.tablespaces.iter().map(|sql| format!("  {sql};")).collect();
        let what = format!(
            "the target lacks tablespaces; create them first, with directories that exist there:\n{}",
            list.join("\n")
        );
        return Err(postgres::Error::Unsupported { what }.into());
    }
    let database = session.info().redacted();
    target.confirm.demand(&database)?;
    let comment_and_settings = comment_and_settings(&session, recorded, &globals, &mut warnings).await?;
    let imported = recorded.imported.is_some();
    Ok(Checked { info: session.info().clone(), imported, database, program, globals, warnings, comment_and_settings })
}

/// Whether psql has to know `\restrict`, and why. Who wrote an imported dump is not known: psql obeys no command in it.
pub(super) fn restrict(recorded: &DumpFacts) -> (bool, String) {
    match recorded.imported {
        Some(_) => (true, LOCKS_IMPORTS.into()),
        None => (recorded.restrict, format!("pg_dump {} writes", recorded.pg_dump_version)),
    }
}

/// A psql that can load this dump into this server. It has to know `\restrict`, if so, for the reason `why`.
pub(in crate::commands) async fn psql(
    session: &Session,
    programs: &Search,
    restrict: bool,
    why: &str,
) -> Result<Program> {
    let needs = format!("the target is PostgreSQL {}", session.major());
    let program = programs.find("psql", session.major(), &needs).await?;
    if restrict && !knows_restrict(session.info(), &program).await? {
        let what = format!(
            "psql {} cannot load this dump: it does not know \\restrict, which {why}; install a psql of August 2025 or later",
            program.version
        );
        return Err(postgres::Error::Unsupported { what }.into());
    }
    Ok(program)
}

/// Statements for what the database has besides its contents, as far as this target can take them: they come last, and one
/// that fails would roll everything back.
async fn comment_and_settings(
    session: &Session,
    recorded: &DumpFacts,
    globals: &Restorable,
    warnings: &mut Vec<String>,
) -> Result<String> {
    let mut facts = facts::database_facts(&recorded.database);
    if facts.comment.is_none() && facts.settings.is_empty() {
        return Ok(String::new());
    }
    if !session.owns_database().await? {
        warnings.push(format!(
            "the comment and settings of the source database were left out: {} does not own the target",
            session.info().user()
        ));
        return Ok(String::new());
    }
    let there = Existing::of(session).await?.roles;
    let known = |role: &String| there.contains(role) || globals.roles_created.contains(role);
    let (kept, left): (Vec<_>, Vec<_>) = facts.settings.into_iter().partition(|s| s.role.as_ref().is_none_or(known));
    for role in left.iter().filter_map(|setting| setting.role.as_ref()) {
        warnings.push(format!("a setting of role {role} was left out: the target has no such role"));
    }
    facts.settings = kept;
    Ok(facts.restore_sql(session.info().dbname()))
}

/// Another encoding may not hold every character, another collation sorts differently. Indexes are built anew, so the
/// version of the collation data does not matter here.
pub(super) async fn collation_warning(session: &Session, recorded: &DumpFacts) -> Result<Option<String>> {
    let here = session.facts().await?.database;
    let then = &recorded.database;
    if !then.encoding.is_empty() && then.encoding != here.encoding {
        return Ok(Some(format!("the source is encoded in {}, the target in {}", then.encoding, here.encoding)));
    }
    // An imported dump does not tell.
    let differs = !then.collate.is_empty()
        && (then.collate != here.collate || then.ctype != here.ctype || then.icu_locale != here.icu_locale);
    Ok(differs.then(|| {
        format!(
            "the source sorts by {} / {}, the target by {} / {}",
            then.collate, then.ctype, here.collate, here.ctype
        )
    }))
}

/// The recorded globals that the target lacks.
pub(super) async fn globals(job: &Job<'_>, session: &Session) -> Result<Restorable> {
    let mut reader = match job.reader(GLOBALS_STREAM) {
        Ok(reader) => reader,
        Err(Error::NoStream { .. }) => return Ok(Restorable::default()),
        Err(error) => return Err(error),
    };
    let mut sql = Vec::new();
    while let Some(plain) = job.next(&mut reader).await? {
        sql.extend_from_slice(&plain);
        if sql.len() as u64 > GLOBALS_BYTES_MAX {
            return Err(Error::Usage(format!(
                "the globals are longer than {GLOBALS_BYTES_MAX} bytes; restore them with --to-file"
            )));
        }
    }
    let _receipt = reader.finish()?;
    let sql = String::from_utf8(sql)
        .map_err(|_| postgres::Error::Unsupported { what: "the globals are not UTF-8".into() })?;
    Ok(filter_globals(&sql, &Existing::of(session).await?)?)
}

/// Everything but the COMMIT.
async fn send(job: &Job<'_>, load: &mut Load, checked: &Checked) -> Result<()> {
    load.write(checked.globals.in_transaction.as_bytes()).await?;
    if checked.imported {
        load.lock().await?;
    }
    let mut reader = job.reader(DUMP_STREAM)?;
    while let Some(plain) = job.next(&mut reader).await? {
        load.write(&plain).await?;
    }
    let _receipt = reader.finish()?;
    // After the dump, whose session settings would hide names from these statements.
    load.write(b"\n").await?;
    load.write(checked.comment_and_settings.as_bytes()).await?;
    Ok(())
}

pub(in crate::commands) async fn commit(
    load: Load,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<LoadReceipt> {
    progress.set_phase(Phase::Finishing);
    if cancel.is_cancelled() {
        load.abort().await;
        return Err(Error::Interrupted);
    }
    Ok(load.commit().await?)
}
