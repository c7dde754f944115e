//! `stonewal cost`: what the repository occupies, what of it the plan keeps and expires, for how long locks hold it, and what
//! of it is not ours (PAINS E1, E3, E4).
//!
//! One listing of all versions passes by, page by page; what stays are counters (invariant I12), and hashes of copies of WAL, for which
//! WAL is listed once before, where there are keys. Locks are asked for only on demand, since that takes a request for each version.

use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::retention::apply::protection;
use super::{Connected, Error, Immutability, RepositoryOptions, Result};
use crate::catalog::Access;
use crate::format::ClusterName;
use crate::limits::RETENTION_IN_FLIGHT;
use crate::retention::Policy;
use crate::store::{self, Entry, ListQuery, Pages, Read as _, S3, VersionOf};
use copies::Copies;
use counts::Protection;
use plans::Plans;
use tally::{Tally, Terms};

mod copies;
mod counts;
mod places;
mod plans;
mod prices;
mod tally;
mod uploads;

pub use counts::{Amount, Share, Shares};
pub use places::{Area, Part, Place};
pub use prices::Prices;
pub use tally::{Foreign, ForeignKind};
pub use uploads::Uploads;

/// What to count.
#[derive(Debug)]
pub struct Options {
    /// Where.
    pub repository: RepositoryOptions,
    /// Keys of any kind: they say whose backups count. Without any, nothing is planned.
    pub access: Option<Access>,
    /// Whose plan; `None` = those of all clusters. What is counted is the whole repository.
    pub cluster: Option<ClusterName>,
    /// The rules.
    pub policy: Policy,
    /// Partials of WAL are locked for no longer than this when they are stored.
    pub partial_retain: SignedDuration,
    /// Ask every version for its lock and its hold.
    pub locks: bool,
    /// What storing costs.
    pub prices: Prices,
}

/// How it is known until when locks hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocksBy {
    /// Every version was asked.
    Asked,
    /// By the plan and the settings: what is kept is taken as locked for as long, what expires for `lock.retain` from its
    /// arrival on. Of the rest nothing is known.
    Projected,
    /// Nothing of this repository is locked.
    Nothing,
}

/// What there is.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Bucket and prefix.
    pub location: String,
    /// When counting began (store time).
    pub at: Timestamp,
    /// Where it lies: clusters by name, then what is of none.
    pub areas: Vec<Area>,
    /// All of it.
    pub total: Area,
    /// How it is known until when locks hold.
    pub locks: LocksBy,
    /// Whether there were keys to plan with. Otherwise all that is named like ours is left.
    pub planned: bool,
    /// What becomes of it.
    pub shares: Shares,
    /// What is not ours, or not needed by what is: the worst is paid for until a lock ends that somebody else chose.
    pub foreign: Vec<Foreign>,
    /// Later versions of WAL that were not looked at, without keys or because there are too many: copies of `reencrypt --wal` or not.
    pub unjudged: Amount,
    /// Multipart uploads that nobody completed.
    pub uploads: Uploads,
    /// Storage classes without a price, which no sum of money contains; none where there are no prices at all.
    pub unpriced: BTreeSet<String>,
}

/// Counts.
pub async fn run(options: Options) -> Result<Outcome> {
    let immutability = options.repository.immutability;
    if options.locks && immutability == Immutability::None {
        let why = "immutability is \"none\": nothing of this repository is locked, so there are no locks to ask for";
        return Err(Error::Usage(why.into()));
    }
    let connected = Connected::to(&options.repository).await?;
    let (repository, plans, copies) = match options.access {
        Some(access) => {
            let repository = connected.open(access).await?;
            let plans = Plans::of(&connected, &repository, options.cluster, &options.policy).await?;
            let copies = Box::pin(Copies::of(&repository, plans.believed())).await?;
            (Some(repository), plans, copies)
        }
        None => (None, Plans::default(), Copies::default()),
    };
    let uploads = uploads::look(&connected).await?;
    let is_retired = |key: &str| repository.as_ref().is_some_and(|repository| repository.is_retired_bundle(key));
    let retain = SignedDuration::try_from(connected.retain()).unwrap_or(SignedDuration::MAX);
    let terms = Terms {
        names: &connected.names,
        plans: &plans,
        copies: &copies,
        prices: &options.prices,
        is_retired: &is_retired,
        // Known since the store answered.
        now: connected.store.clock().now(),
        retain,
        partial_retain: options.partial_retain.min(retain),
    };
    let mut tally = Tally::new(terms);
    let query = ListQuery { prefix: connected.names.prefix().to_owned(), by_folder: false };
    let mut pages = Pages::of(&*connected.store, query);
    while let Some(page) = pages.next().await? {
        let entries = if options.locks {
            ask(&connected.store, page.entries).await?
        } else {
            page.entries.into_iter().map(|entry| (entry, None)).collect()
        };
        for (entry, protection) in entries {
            tally.take(entry, protection);
        }
    }
    let locks = match (immutability, options.locks) {
        (Immutability::None, _) => LocksBy::Nothing,
        (_, true) => LocksBy::Asked,
        (_, false) => LocksBy::Projected,
    };
    Ok(tally.told(connected.location, locks, uploads))
}

/// The versions of a page with their locks, in their order, many requests at once. Delete markers have none.
async fn ask(store: &S3, entries: Vec<Entry>) -> Result<Vec<(Entry, Option<Protection>)>> {
    let one = |entry: Entry| async move {
        if entry.delete_marker {
            return Ok((entry, None));
        }
        let at = VersionOf { key: entry.key.clone(), version: entry.version.clone() };
        let found = match protection(store, &at).await {
            Ok((lock, held)) => Protection { until: lock.map(|lock| lock.retain_until), held },
            // Gone since it was listed.
            Err(store::Error::NotFound { .. }) => Protection::default(),
            Err(error) => return Err(Error::Store(error)),
        };
        Ok((entry, Some(found)))
    };
    stream::iter(entries).map(one).buffered(RETENTION_IN_FLIGHT).try_collect().await
}
