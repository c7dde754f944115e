//! `stonewal verify --locks`: will everything that a backup stands on stay locked for as long as the plan keeps it (invariant
//! I11)? Asks every object: manifest, chunks, keys, identity bundle, certificate, and of a base that is rolled forward the WAL
//! behind it, the cluster record and the histories.
//!
//! Partials are not asked. They are locked briefly on purpose, and the last ones of a piece that rests get a whole one's lock.

use std::collections::{BTreeMap, HashMap};

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;

use super::acting::pinned;
use super::firsts::Firsts;
use super::gather;
use super::reach::Reach;
use crate::catalog::{Access, Backup, Footing, Foundation, Repository};
use crate::commands::frozen::is_unreadable;
use crate::commands::{Connected, Error, Immutability, RepositoryOptions, Result};
use crate::format::manifest::Kind;
use crate::format::{BackupId, ClusterName, Timeline};
use crate::keys::Keyring;
use crate::limits::HEADS;
use crate::retention::{self, BackupDecision, Facts, Item, Plan, Policy, Verdict};
use crate::store::{self, Entry, Read, VersionOf};
use crate::verify::Findings;
use tally::{Asked, Tally};

mod doubt;
mod tally;

/// Whose locks.
#[derive(Debug)]
pub struct Options {
    /// Where.
    pub repository: RepositoryOptions,
    /// Keys of any kind: they say whose backups count.
    pub access: Access,
    /// One cluster; `None` = all.
    pub cluster: Option<ClusterName>,
    /// The rules.
    pub policy: Policy,
}

/// What a backup needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The manifest itself.
    Manifest,
    /// A chunk.
    Chunk,
    /// A wrap of a data key.
    Wrap,
    /// The identity bundle.
    Bundle,
    /// The certificate of its writer.
    Certificate,
    /// Which PostgreSQL cluster it is of.
    ClusterRecord,
    /// The history of a timeline.
    History,
    /// WAL behind a base.
    Wal,
}

/// How the locks of a backup stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// All last for as long as they are needed.
    Good,
    /// One ends sooner, and not within `retention.margin`: the next `retention extend` is in time.
    Due,
    /// One ends within `retention.margin`, or before that of the manifest that needs it, or is missing.
    Short,
}

/// The object whose lock ends first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dependency {
    /// What it is.
    pub part: Part,
    /// Its key.
    pub key: String,
    /// When its lock ends; `None` = it has none.
    pub until: Option<Timestamp>,
    /// Until when it is needed.
    pub needed_until: Timestamp,
}

/// One backup that the plan keeps.
#[derive(Debug, Serialize)]
pub struct BackupLocks {
    /// Its id.
    pub backup: BackupId,
    /// What it is.
    pub kind: Kind,
    /// Until when the plan keeps it; what has no end in sight, without `retention.margin`.
    pub needed_until: Timestamp,
    /// How its locks stand.
    pub standing: Standing,
    /// The object it needs whose lock ends first.
    pub first: Option<Dependency>,
    /// Objects asked.
    pub asked: u64,
    /// What is too short, or gone.
    pub findings: Findings,
}

/// One cluster.
#[derive(Debug, Serialize)]
pub struct ClusterLocks {
    /// Its name.
    pub cluster: ClusterName,
    /// For this moment (store time).
    pub at: Timestamp,
    /// The backups that the plan keeps, by arrival.
    pub backups: Vec<BackupLocks>,
}

/// All clusters.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Bucket and prefix.
    pub location: String,
    /// By name.
    pub clusters: Vec<ClusterLocks>,
    /// What does not belong there.
    pub beside: Findings,
}

impl Outcome {
    /// Every backup.
    pub fn backups(&self) -> impl Iterator<Item = &BackupLocks> {
        self.clusters.iter().flat_map(|cluster| &cluster.backups)
    }
}

/// Plans, and asks for the lock of everything that is kept. What is wrong is in the outcome.
pub async fn run(options: Options) -> Result<Outcome> {
    if options.repository.immutability == Immutability::None {
        let why = "immutability is \"none\": nothing of this repository is locked, so there are no locks to verify";
        return Err(Error::Usage(why.into()));
    }
    let connected = Connected::to(&options.repository).await?;
    let repository = connected.open(options.access).await?;
    let clusters = match options.cluster {
        Some(cluster) => vec![cluster],
        None => repository.clusters().await?,
    };
    let mut beside = Findings::default();
    beside.extend(repository.findings().iter().cloned());
    let mut told = Vec::new();
    for cluster in clusters {
        let gathered = gather(&connected, &repository, &cluster).await?;
        beside.merge(gathered.findings);
        let plan = retention::plan(&gathered.facts, &options.policy, gathered.begun_at)?;
        let at = plan.at;
        let mut look = Look::at(&repository, &cluster, &gathered.facts, &plan, &options.policy);
        look.backups().await?;
        look.wal().await?;
        beside.merge(std::mem::take(&mut look.beside));
        let backups = look.tallies.into_iter().map(Tally::told).collect();
        told.push(ClusterLocks { cluster, at, backups });
    }
    Ok(Outcome { location: connected.location, clusters: told, beside })
}

/// One cluster, while it is asked.
struct Look<'a> {
    repository: &'a Repository,
    cluster: &'a ClusterName,
    facts: &'a Facts,
    plan: &'a Plan,
    /// What is needed and ends sooner than this is short.
    soon: Timestamp,
    /// What has no end in sight is needed until here today; the margin on top is the time until the next plan.
    open: Timestamp,
    tallies: Vec<Tally>,
    /// The WAL of the bases among them.
    reaches: Vec<(usize, Reach)>,
    /// What was looked for already, by what the names of its copies begin with.
    footings: HashMap<String, Vec<Footing>>,
    /// What is not of any backup.
    beside: Findings,
}

impl<'a> Look<'a> {
    fn at(
        repository: &'a Repository,
        cluster: &'a ClusterName,
        facts: &'a Facts,
        plan: &'a Plan,
        policy: &Policy,
    ) -> Self {
        let soon = plan.at.checked_add(policy.margin).unwrap_or(Timestamp::MAX);
        let open = plan.open_until.checked_sub(policy.margin).unwrap_or(plan.at);
        let (tallies, reaches, footings) = (Vec::new(), Vec::new(), HashMap::new());
        let beside = Findings::default();
        Self { repository, cluster, facts, plan, soon, open, tallies, reaches, footings, beside }
    }

    /// Until when something is needed as of today, if at all.
    fn needed(&self, verdict: &Verdict) -> Option<Timestamp> {
        let until = verdict.until()?;
        Some(if until >= self.plan.open_until { self.open } else { until })
    }

    async fn backups(&mut self) -> Result<()> {
        let plan = self.plan;
        for decision in &plan.backups {
            let Some(until) = self.needed(&decision.verdict) else { continue };
            let mut tally = Tally::of(decision, until, self.soon);
            match self.repository.look(self.cluster, &decision.backup).await?.0 {
                Some(backup) => {
                    self.objects(&backup, &mut tally).await?;
                    self.ground(&backup, &mut tally).await?;
                    self.note_reach(&backup, decision);
                }
                None => tally.gone(&self.repository.names().manifests(self.cluster, &decision.backup)),
            }
            self.tallies.push(tally);
        }
        Ok(())
    }

    /// Manifest, chunks and wraps.
    async fn objects(&self, backup: &Backup, tally: &mut Tally) -> Result<()> {
        let (store, names) = (&**self.repository.store(), self.repository.names());
        let entry = &backup.entry;
        let manifest = VersionOf { key: entry.key.clone(), version: entry.version.clone() };
        let asked = ask(store, vec![manifest]).try_collect::<Vec<_>>().await?;
        for (at, lock) in asked {
            tally.manifest(at.key.as_str(), lock);
        }
        let needed = pinned(self.repository, backup).into_iter().map(|target| target.at).collect();
        let mut asked = std::pin::pin!(ask(store, needed));
        while let Some((at, lock)) = asked.try_next().await? {
            let part = match Item::of(names, self.cluster, at.key.as_str()) {
                Item::Wrap(_) => Part::Wrap,
                _ => Part::Chunk,
            };
            tally.take(part, at.key.as_str(), lock);
        }
        Ok(())
    }

    /// Identity bundle and certificate, whose longest copy counts.
    async fn ground(&mut self, backup: &Backup, tally: &mut Tally) -> Result<()> {
        let names = self.repository.names();
        if let Some(print) = self.repository.with_keyring(Keyring::bundle) {
            let copies = names.identity_copies(print);
            let found = self.footings(&copies, Foundation::Bundle(print)).await?;
            tally.footing(Part::Bundle, &copies, &found);
        }
        let writer = backup.manifest.writer();
        if self.repository.with_keyring(|ring| ring.root() != writer) {
            let id = writer.id();
            let copies = names.writer_copies(&id);
            let found = self.footings(&copies, Foundation::Certificate(&id)).await?;
            tally.footing(Part::Certificate, &copies, &found);
        }
        Ok(())
    }

    async fn footings(&mut self, copies: &str, of: Foundation<'_>) -> Result<Vec<Footing>> {
        if !self.footings.contains_key(copies) {
            self.footings.insert(copies.to_owned(), self.repository.footings(of, None).await?);
        }
        Ok(self.footings.get(copies).cloned().unwrap_or_default())
    }

    fn note_reach(&mut self, backup: &Backup, decision: &BackupDecision) {
        let Some(base) = backup.clear().base.as_ref().filter(|_| !decision.own_end_only) else { return };
        let timelines = self.facts.wal.iter().map(|fact| (fact.timeline, fact.history.as_ref()));
        self.reaches.push((self.tallies.len(), Reach::latest(base, timelines)));
    }

    /// The WAL behind the bases, and what it stands on.
    async fn wal(&mut self) -> Result<()> {
        if self.reaches.is_empty() {
            return Ok(());
        }
        let prefix = self.repository.names().wal_timelines(self.cluster);
        let store = &**self.repository.store();
        let (mut firsts, mut latest) = (Firsts::genuine(self.repository, &prefix), BTreeMap::new());
        while let Some(entries) = firsts.next().await? {
            let pieces: HashMap<VersionOf, Entry> = entries.into_iter().filter_map(|entry| self.kept(entry)).collect();
            let needed = pieces.keys().cloned().collect();
            let mut asked = std::pin::pin!(ask(store, needed));
            while let Some((at, lock)) = asked.try_next().await? {
                let Some(entry) = pieces.get(&at) else { continue };
                if let Some((timeline, until)) = self.piece(entry, lock, &pieces).await? {
                    latest
                        .entry(timeline)
                        .and_modify(|known: &mut Timestamp| *known = until.max(*known))
                        .or_insert(until);
                }
            }
        }
        for (timeline, until) in latest {
            self.ground_of_wal(timeline, until).await?;
        }
        Ok(())
    }

    /// A whole piece that the plan keeps.
    fn kept(&self, entry: Entry) -> Option<(VersionOf, Entry)> {
        let item = Item::of(self.repository.names(), self.cluster, entry.key.as_str());
        matches!(item, Item::Piece { .. }).then_some(())?;
        self.plan.verdict(&item).until()?;
        Some((VersionOf { key: entry.key.clone(), version: entry.version.clone() }, entry))
    }

    /// Tells the bases of one piece. Gives back its timeline, and until when it is needed, if it is WAL of theirs.
    async fn piece(
        &mut self,
        entry: &Entry,
        lock: Asked,
        others: &HashMap<VersionOf, Entry>,
    ) -> Result<Option<(Timeline, Timestamp)>> {
        let key = entry.key.as_str();
        let item = Item::of(self.repository.names(), self.cluster, key);
        let (Item::Piece { timeline, range }, Some(until)) = (&item, self.needed(&self.plan.verdict(&item))) else {
            return Ok(None);
        };
        let needing = self.reaches.iter().filter(|(_, reach)| reach.holds(*timeline, *range)).map(|(index, _)| *index);
        let needing: Vec<usize> = needing.collect();
        if needing.is_empty() {
            return Ok(None);
        }
        // Whoever may write may plant a name and lock it for a minute. What is frozen cannot be read, and may be ours.
        let is_short = lock.is_short(until.min(self.soon));
        if is_short && !self.repository.authenticates(self.cluster, entry).await? {
            if !is_unreadable(&**self.repository.store(), entry).await? {
                self.planted(entry).await?;
                return Ok(None);
            }
            if self.seems_planted(entry, others).await? {
                self.doubted(entry, lock, until);
                return Ok(None);
            }
        }
        for index in needing {
            self.tallies[index].needed(Part::Wal, key, lock, until);
        }
        Ok(Some((*timeline, until)))
    }

    /// The cluster record and the history of a timeline, needed for as long as its WAL.
    async fn ground_of_wal(&mut self, timeline: Timeline, until: Timestamp) -> Result<()> {
        let cluster = self.cluster;
        let mut needed = vec![(Part::ClusterRecord, Foundation::Record(cluster))];
        // The first timeline came from nowhere.
        needed.extend((timeline.get() > 1).then_some((Part::History, Foundation::History(cluster, timeline))));
        for (part, foundation) in needed {
            let found = self.repository.footings(foundation, None).await?;
            let best = Footing::best(&found, None);
            for (index, _) in self.reaches.iter().filter(|(_, reach)| reach.touches(timeline)) {
                match best {
                    Some(Footing { key, lock }) => {
                        self.tallies[*index].needed(part, key.as_str(), Asked::Is(*lock), until);
                    }
                    None if part == Part::ClusterRecord => {
                        self.tallies[*index].gone(&self.repository.names().cluster_record(cluster));
                    }
                    // A timeline may have no history: that of a restore that was never archived.
                    None => {}
                }
            }
        }
        Ok(())
    }
}

/// The locks of versions, many requests at once.
fn ask(store: &dyn Read, versions: Vec<VersionOf>) -> impl Stream<Item = Result<(VersionOf, Asked)>> {
    let one = move |at: VersionOf| async move {
        match store.head(&at.key, &at.version).await {
            Ok(head) => Ok((at, Asked::Is(head.lock))),
            Err(store::Error::NotFound { .. }) => Ok((at, Asked::Gone)),
            Err(error) => Err(Error::Store(error)),
        }
    };
    stream::iter(versions).map(one).buffer_unordered(HEADS)
}
