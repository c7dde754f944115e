//! `stonewal drill`: a backup is restored into a disposable PostgreSQL, checked and timed, and what came of it is signed and
//! stored under a lock.
//!
//! Everything that a drill makes lies in one directory of its own, which goes with it, whatever happens: see `workplace`.
//! The server listens on a Unix socket in there and on nothing else, and starts with settings that let nothing of the
//! restored cluster reach beyond it: see `settings`.

mod amcheck;
mod base;
mod choose;
mod dump;
pub mod guard;
mod heads;
mod judge;
mod kept;
mod leftover;
mod measure;
mod options;
mod publish;
mod record;
mod room;
mod settings;
mod sql;
mod workplace;

pub use kept::KeptServer;
pub use leftover::{Left, clean};
pub use options::{Limits, Objectives, Options, Pick, Place};
pub use record::Outcome;
pub use sql::SqlCheck;

use std::time::Duration;

use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

use self::choose::Chosen;
use self::measure::Restored;
use self::publish::Desk;
use self::record::Record;
use self::workplace::Workplace;
use super::repository::interruptible;
use super::{Class, Connected, Error, Result};
use crate::catalog::Repository;
use crate::keys::Keyring;
use crate::observe::Progress;

/// Told while it goes on, in words.
pub type Listener<'a> = &'a (dyn Fn(String) + Send + Sync);

/// Restores, checks, measures, publishes. An error means that there is nothing to tell: the options are wrong before there is a backup
/// to drill, the repository cannot be opened, or we were told to stop. Every other failure is an outcome, and evidence.
pub async fn run(
    mut options: Options,
    tell: Listener<'_>,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Outcome> {
    let (connected, repository) = interruptible(cancel, Box::pin(open(&mut options))).await?;
    let desk = interruptible(cancel, Box::pin(publish::desk(connected, &mut options, &repository))).await?;
    desk.away().into_iter().for_each(tell);
    let base = workplace::resolve(&options.place.dir)?;
    let left = leftover::clean(&base)?;
    left.told().into_iter().for_each(tell);
    let mut record = Record::begin(&repository, &options)?;
    record.read_from(options.repository.from_replica.as_deref());
    let mut workplace = None;
    let limit = options.limits.timeout;
    let job = Job { options: &options, repository: &repository, tell, progress, cancel, base: &base };
    let done = tokio::time::timeout(limit, Box::pin(job.carry_out(&mut record, &mut workplace))).await;
    let done = done.unwrap_or_else(|_| Err(Error::DrillTimeout { seconds: limit.as_secs() }));
    record.stop(&repository);
    // What it made goes before anything else can fail; kept is only what was restored.
    let keeps = options.place.keep && done.is_ok();
    match workplace::close(workplace, keeps).await {
        Ok(kept) => record.kept = kept,
        Err(error) => record.warnings.push(error.to_string()),
    }
    match done {
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        Err(error) if error.class() == Class::Usage && record.evidence.backup.is_none() => return Err(error),
        // Of a cluster that nobody ever wrote to, evidence would be the first thing; nobody could take it away.
        Err(error) if is_unknown(&repository, &desk, &options, cancel).await => return Err(error),
        Err(error) => record.fail(error),
        Ok(()) => record.judge(&options.objectives),
    }
    if options.evidence {
        tell("storing the evidence".into());
        let storing = Box::pin(record.publish(&desk, &repository, limit));
        if let Err(error) = interruptible(cancel, storing.map(Ok)).await {
            if let Some(kept) = &record.kept {
                tell(format!("kept {}: it is yours to remove", kept.display()));
            }
            return Err(error);
        }
    }
    Ok(record.into_outcome())
}

/// Whether the repository where evidence goes has no such cluster. In doubt it has, and the failed drill is told: a replica may lag,
/// and listing may fail.
async fn is_unknown(reader: &Repository, desk: &Desk, options: &Options, cancel: &CancellationToken) -> bool {
    let home: &Repository = match desk {
        Desk::At(_, Some(signer)) => signer,
        _ if options.repository.from_replica.is_some() => return false,
        _ => reader,
    };
    let looked = interruptible(cancel, async { Ok(home.clusters().await?) }).await;
    matches!(looked, Ok(all) if !all.contains(&options.cluster))
}

/// A repository that can be read.
async fn open(options: &mut Options) -> Result<(Connected, Repository)> {
    let connected = Connected::to(&options.repository).await?;
    let access = options.access.take().ok_or(crate::keys::Error::Missing { what: "keys" })?;
    let repository = connected.open(access).await?;
    if !repository.with_keyring(Keyring::can_read_data) {
        return Err(crate::keys::Error::Missing { what: "an identity that reads data" }.into());
    }
    Ok((connected, repository))
}

/// What every step needs.
struct Job<'a> {
    options: &'a Options,
    repository: &'a Repository,
    tell: Listener<'a>,
    progress: &'a Progress,
    cancel: &'a CancellationToken,
    /// The directory in which the drill makes its own.
    base: &'a std::path::Path,
}

impl Job<'_> {
    /// From the choice of a backup to the last check.
    async fn carry_out(&self, record: &mut Record, workplace: &mut Option<Workplace>) -> Result<()> {
        record.enter("plan");
        let choosing = Box::pin(choose::choose(self.repository, self.options));
        let (chosen, findings) = interruptible(self.cancel, choosing).await?;
        record.findings.extend(findings);
        record.chose(self.repository, &chosen).await?;
        let (seen, findings) = interruptible(self.cancel, heads::seen(self.repository, self.options)).await?;
        record.findings.extend(findings);
        let mut restored = match &chosen {
            Chosen::Dump(backup) => Box::pin(self.restore_dump(backup, record, workplace)).await?,
            Chosen::Base(planned) => Box::pin(self.restore_base(planned, record, workplace)).await?,
        };
        record.enter("checks");
        let checking = Box::pin(self.check(&restored, &seen, record));
        interruptible(self.cancel, checking).await?;
        record.leave();
        if let Some(place) = workplace.as_ref().filter(|_| self.options.place.keep) {
            record.kept_server = Some(restored.leave(place).await?);
        }
        Ok(())
    }

    /// The directory of this drill, once it is known that everything has room there.
    fn make_place(&self, record: &Record, needed: u64) -> Result<Workplace> {
        room::check(self.base, needed, self.tell)?;
        Workplace::make(self.base, record.id(), &self.options.program)
    }

    async fn check(&self, restored: &Restored, seen: &[heads::Seen], record: &mut Record) -> Result<()> {
        (self.tell)(format!("checking database {}", restored.database));
        let info = restored.info()?;
        let mut expected = self.options.expected.clone();
        expected.recorded.clone_from(&restored.recorded);
        expected.drill = Some(self.options.sql.len());
        heads::expect(&mut expected.chains, seen, &record.evidence, &restored.name);
        record.checked(heads::doubt(&expected.chains, seen, &record.evidence));
        let amcheck = amcheck::add(&info, expected.amcheck, record).await?;
        let session = crate::postgres::Session::connect(&info, "stonewal drill").await?;
        let report = crate::verify::restored::check(&session, &expected, self.progress).await?;
        amcheck::remove(amcheck, record).await;
        record.evidence.chains = heads::record(&report.chains, &restored.name);
        record.checked(report.checks);
        record.release(report.release.as_deref());
        drop(session);
        record.checked(sql::run(&info, &self.options.sql, self.options.limits.timeout).await?);
        Ok(())
    }
}

/// How long a server of ours may take for what needs no replay.
const PATIENCE: Duration = Duration::from_secs(crate::limits::SERVER_START_SECONDS_MAX);
