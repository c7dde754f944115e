//! Where hash chains ended when earlier drills looked. A chain does not tell whether rows were deleted from its end; what
//! was seen then, and signed, does: what is restored now must contain it, unless it is a state from before.

use jiff::{SignedDuration, Timestamp};

use super::options::Options;
use crate::catalog::{Finding, Repository};
use crate::commands::Result;
use crate::format::EvidenceId;
use crate::format::evidence::{ChainRecord, Evidence, ReachedRecord};
use crate::limits::EVIDENCE_CHAINS_MAX;
use crate::verify::chain::{ChainReport, Definition, KnownHead};
use crate::verify::restored::{Check, Status};

/// How far the cluster's clock, which dates commits, may differ from the store's, which dates drills.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// What an earlier drill saw.
pub(super) struct Seen {
    drill: EvidenceId,
    started_at: Timestamp,
    finished_at: Timestamp,
    newest_committed_at: Option<Timestamp>,
    reached: Option<ReachedRecord>,
    chains: Vec<ChainRecord>,
}

/// What genuine evidence tells, if there are chains to hold against it.
pub(super) async fn seen(repository: &Repository, options: &Options) -> Result<(Vec<Seen>, Vec<Finding>)> {
    if options.expected.chains.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let (kept, findings) = repository.evidence(&options.cluster).await?;
    let told = kept.into_iter().filter(|kept| !kept.evidence.chains.is_empty());
    Ok((told.map(|kept| Seen::of(kept.evidence)).collect(), findings))
}

impl Seen {
    fn of(evidence: Evidence) -> Self {
        let Evidence { evidence: drill, started_at, finished_at, newest_committed_at, reached, chains, .. } = evidence;
        Self { drill, started_at, finished_at, newest_committed_at, reached, chains }
    }

    /// Whether everything that it saw must be in what is restored now. In doubt not: a drill of an old state is no alarm.
    fn precedes(&self, now: &Evidence) -> bool {
        match (&self.reached, &now.reached) {
            (Some(then), Some(now)) if then.timeline == now.timeline => then.lsn <= now.lsn,
            // What it saw was committed before it ended.
            _ => {
                let apart = if now.reached.is_some() { CLOCK_TOLERANCE } else { SignedDuration::ZERO };
                let ended = self.finished_at.checked_add(apart).unwrap_or(Timestamp::MAX);
                now.newest_committed_at.is_some_and(|newest| ended <= newest)
            }
        }
    }

    fn chain(&self, definition: &Definition, database: &str) -> Option<&ChainRecord> {
        let table = definition.table.to_string();
        let is_it = |chain: &&ChainRecord| {
            chain.name == definition.name
                && chain.database == Evidence::text(database)
                && chain.table == Evidence::text(&table)
        };
        self.chains.iter().find(is_it)
    }
}

/// Names, for every chain that has none named, the newest head that must be in it. `now` tells how far the restored database
/// goes.
pub(super) fn expect(chains: &mut [Definition], seen: &[Seen], now: &Evidence, database: &str) {
    for definition in chains.iter_mut().filter(|definition| definition.head.is_none()) {
        let known = seen.iter().filter(|seen| seen.precedes(now));
        let known = known.filter_map(|seen| Some((seen, seen.chain(definition, database)?)));
        // Commits bear the time of a server whose clock may be years ahead; the drill's end is the store's.
        let committed = |seen: &Seen| seen.newest_committed_at.map(|at| at.min(seen.finished_at));
        let newest = known.max_by_key(|(seen, _)| (committed(seen), seen.started_at));
        definition.head = newest.map(|(seen, chain)| KnownHead {
            hash: chain.head.clone(),
            told: format!("that drill {} saw as the last of {} rows", seen.drill, chain.rows),
        });
    }
}

/// What to say where no head can be asked for: a dump of a standby does not tell how far that had come.
pub(super) fn doubt(chains: &[Definition], seen: &[Seen], now: &Evidence) -> Vec<Check> {
    let unknown = now.newest_committed_at.is_none() && now.reached.is_none();
    let say =
        || Check::new("heads", Status::Note, "not compared with earlier drills: how old this state is, is not known");
    (unknown && !chains.is_empty() && !seen.is_empty()).then(say).into_iter().collect()
}

/// What this drill saw, for those after it: chains that hold, and nothing of those that do not.
pub(super) fn record(reports: &[ChainReport], database: &str) -> Vec<ChainRecord> {
    let whole = reports.iter().filter(|report| report.is_whole());
    let records = whole.filter_map(|report| {
        let head = report.head.as_ref()?.hash.clone()?;
        // A text that evidence cannot hold as it is would never be found again.
        (Evidence::text(&head) == head).then(|| ChainRecord {
            name: report.name.clone(),
            database: Evidence::text(database),
            table: Evidence::text(&report.table),
            rows: report.rows,
            head,
        })
    });
    records.take(EVIDENCE_CHAINS_MAX).collect()
}

#[cfg(test)]
mod tests;
