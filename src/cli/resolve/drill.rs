//! What a drill takes.

use std::path::{Path, PathBuf};

use super::super::args::Drill;
use super::super::failure::{Failure, Result};
use super::access::{Purpose, access_if_any};
use super::recovery;
use crate::commands;
use crate::commands::drill::{Pick, SqlCheck};
use crate::commands::parts::{Access, EvidenceId, Goal, Kind};
use crate::commands::schedule::Scheduler;
use crate::config::Settings;

/// A query is no program.
const SQL_BYTES_MAX: u64 = 1 << 20;

/// `latest`, `random` or an id.
pub(in crate::cli) fn pick(text: &str) -> Result<Pick> {
    let way_out = "give latest, random, or an id as `stonewal list` shows it";
    match text {
        "latest" => Ok(Pick::Latest),
        "random" => Ok(Pick::Random),
        id => {
            id.parse().map(Pick::Id).map_err(|_| Failure::usage(format!("{id:?} is not the id of a backup"), way_out))
        }
    }
}

/// `dump` or `base`.
pub(in crate::cli) fn kind(text: &str) -> Result<Kind> {
    recovery::choice("--kind", text, &[("dump", Kind::Dump), ("base", Kind::Base)])
}

/// `systemd` or `cron`.
pub(in crate::cli) fn scheduler(text: &str) -> Result<Scheduler> {
    recovery::choice("--schedule", text, &[("systemd", Scheduler::Systemd), ("cron", Scheduler::Cron)])
}

/// `latest`, or an id.
pub(in crate::cli) fn evidence_id(text: &str) -> Result<Option<EvidenceId>> {
    if text == "latest" {
        return Ok(None);
    }
    let way_out = "give latest, or an id as `stonewal drill list` shows it";
    text.parse().map(Some).map_err(|_| Failure::usage(format!("{text:?} is not the id of a drill"), way_out))
}

/// Where a recovery ends.
pub(in crate::cli) fn drill_goal(args: &Drill) -> Result<Goal> {
    recovery::goal(args.target_time.as_deref(), args.target_lsn.as_deref()).map(|goal| goal.unwrap_or(Goal::Latest))
}

/// Keys that sign, if they are others than those that read, or elsewhere: a writer file, or the passphrase beside a recovery file
/// or a replica.
pub(in crate::cli) fn evidence_signer(settings: &Settings) -> Result<Option<Access>> {
    let keys = &settings.keys;
    let apart = keys.identity_file.is_some() || settings.from_replica.is_some();
    if keys.writer_file.is_none() && !(apart && keys.passphrase()?.is_some()) {
        return Ok(None);
    }
    access_if_any(settings, Purpose::Write)
}

/// The files of the configuration or the command line.
pub(in crate::cli) fn sql_checks(files: &[PathBuf]) -> Result<Vec<SqlCheck>> {
    files.iter().map(|file| sql_check(file)).collect()
}

fn sql_check(path: &Path) -> Result<SqlCheck> {
    let refused = |why: String| commands::Error::File { path: path.to_owned(), why };
    let bytes = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?.len();
    if bytes > SQL_BYTES_MAX {
        return Err(refused(format!("a query has at most {SQL_BYTES_MAX} bytes")).into());
    }
    let sql = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(SqlCheck { name, sql })
}

/// The arguments again, for a unit that runs the same drill.
pub(in crate::cli) fn drill_words(args: &Drill) -> Vec<String> {
    let mut words = vec!["drill".to_owned()];
    let mut value = |flag: &str, given: Option<&String>| {
        words.extend(given.into_iter().flat_map(|given| [flag.to_owned(), given.clone()]));
    };
    value("--backup", Some(&args.backup).filter(|backup| *backup != "latest"));
    value("--kind", args.kind.as_ref());
    value("--dir", args.dir.as_ref());
    value("--database", args.database.as_ref());
    args.sql.iter().for_each(|file| value("--sql", Some(file)));
    value("--rto", args.rto.as_ref());
    value("--rpo", args.rpo.as_ref());
    value("--timeout", args.timeout.as_ref());
    value("--release", args.release.as_ref());
    if args.no_evidence {
        words.push("--no-evidence".into());
    }
    words
}
