//! The end of the chain: found by looking at no more than the newest records, and lengthened by one.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};

use crate::catalog::listing::entries_after;
use crate::catalog::{Repository, Result};
use crate::format::audit::{AuditLink, AuditObject, AuditOutcome, AuditPhase, AuditRecord};
use crate::format::names::Names;
use crate::format::wal::Base64;
use crate::format::{AuditId, ClusterName, Digest};
use crate::keys::tag;
use crate::limits::{
    AUDIT_ARRIVAL_SECONDS_MAX, AUDIT_CANDIDATES_MAX, AUDIT_LINKS_MAX, AUDIT_LISTED_MAX, AUDIT_OVERLAP_SECONDS,
    AUDIT_READS, AUDIT_RECORD_BYTES_MAX,
};
use crate::store::{Append, Entry, ListQuery, Lock, ObjectKey, Put, Read};

/// How far back the newest record is looked for, one after the other; at last, everywhere.
const SPANS: [SignedDuration; 3] =
    [SignedDuration::from_hours(1), SignedDuration::from_hours(2 * 24), SignedDuration::from_hours(40 * 24)];

/// What a record says, but for what the chain adds.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    /// What is done.
    pub deed: String,
    /// Beginning or end.
    pub phase: AuditPhase,
    /// Of an end, the record of the beginning.
    pub begun: Option<AuditId>,
    /// The cluster.
    pub cluster: Option<ClusterName>,
    /// What it is done to or with.
    pub objects: Vec<AuditObject>,
    /// The system's user.
    pub who: String,
    /// The host.
    pub host: String,
    /// Why.
    pub reason: Option<String>,
    /// Of an end, what came of it.
    pub outcome: Option<AuditOutcome>,
}

/// What is known of a record near the end of the chain.
#[derive(Debug)]
struct Node {
    at: Timestamp,
    sha256: Digest,
    locked_until: Option<Timestamp>,
    previous: Vec<AuditId>,
}

/// The end of the chain as one process knows it.
#[derive(Debug, Default)]
pub struct AuditTrail {
    nodes: BTreeMap<AuditId, Node>,
}

/// An object that may be a record.
#[derive(Debug)]
struct Candidate {
    id: AuditId,
    entry: Entry,
}

impl AuditTrail {
    /// The records that no other names, as far as the newest ones tell: what the next record names. Costs a listing or two and
    /// one read per record that was written at the same time; whatever was planted, it stays bounded and never fails.
    pub async fn heads(&mut self, repository: &Repository) -> Result<Vec<AuditLink>> {
        let store = &**repository.store();
        let own = self.nodes.values().map(|node| node.at).max();
        let overlap = SignedDuration::from_secs(AUDIT_OVERLAP_SECONDS);
        let spans: Vec<Option<Timestamp>> = match own {
            // Our own last record joined what was there before it.
            Some(at) => vec![at.checked_sub(overlap).ok()],
            None => SPANS.iter().map(|span| store.clock().now().checked_sub(*span).ok()).chain([None]).collect(),
        };
        for since in spans {
            let candidates = newest(store, repository.names(), since).await?;
            if self.read(repository, candidates).await? {
                break;
            }
        }
        Ok(self.unnamed())
    }

    /// Reads from the newest on, until everything older must have been seen by the writer of the newest. Whether any was ours.
    async fn read(&mut self, repository: &Repository, candidates: Vec<Candidate>) -> Result<bool> {
        let mut horizon = None;
        let mut rest = candidates.as_slice();
        // The newest alone is most often enough.
        let mut step = 1;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(step.min(rest.len()));
            let wanted = now.iter().filter(|one| horizon.is_none_or(|horizon| one.entry.last_modified >= horizon));
            let reads = wanted.filter(|one| !self.nodes.contains_key(&one.id)).map(|one| async move {
                let found = repository.audit_record(&one.entry, false).await?;
                Ok::<_, crate::catalog::Error>((one.id.clone(), found.ok()))
            });
            let reads: Vec<_> = reads.collect();
            let found: Vec<_> = stream::iter(reads).buffered(AUDIT_READS).try_collect().await?;
            for (id, found) in found {
                let Some(found) = found else { continue };
                self.nodes.insert(id, Node::of(&found.record, &found.body));
            }
            let newest = now.iter().find_map(|one| self.nodes.get(&one.id));
            horizon = horizon.or_else(|| Some(newest?.at - SignedDuration::from_secs(AUDIT_OVERLAP_SECONDS)));
            let reached = |horizon| later.first().is_none_or(|next| next.entry.last_modified < horizon);
            if horizon.is_some_and(reached) || self.nodes.len() >= 2 * AUDIT_LINKS_MAX {
                break;
            }
            (rest, step) = (later, AUDIT_READS);
        }
        Ok(horizon.is_some())
    }

    /// What no record names, the newest of them if they are too many.
    fn unnamed(&self) -> Vec<AuditLink> {
        let named: std::collections::BTreeSet<&AuditId> = self.nodes.values().flat_map(|node| &node.previous).collect();
        let heads = self.nodes.iter().rev().filter(|(id, _)| !named.contains(id));
        let link = |(id, node): (&AuditId, &Node)| AuditLink {
            record: id.clone(),
            sha256: node.sha256,
            locked_until: node.locked_until,
        };
        heads.take(AUDIT_LINKS_MAX).map(link).collect()
    }

    /// Writes a record that names `heads`, under a name that nobody else has.
    pub async fn append<S: Append + Read>(
        &mut self,
        store: &S,
        repository: &Repository,
        entry: AuditEntry,
        heads: Vec<AuditLink>,
        lock: Option<Lock>,
    ) -> Result<AuditId> {
        let at = store.clock().now();
        let id = AuditId::new(at, tag()?);
        let record = AuditRecord {
            format: AuditRecord::FORMAT,
            repository: repository.id(),
            record: id.clone(),
            at,
            deed: entry.deed,
            phase: entry.phase,
            begun: entry.begun,
            cluster: entry.cluster,
            objects: entry.objects,
            who: entry.who,
            host: entry.host,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            reason: entry.reason,
            outcome: entry.outcome,
            locked_until: lock.map(|lock| lock.retain_until),
            previous: heads,
            certificate: repository.with_keyring(|ring| ring.certificate().map(|bytes| Base64(bytes.to_vec()))),
        };
        let body = repository.with_keyring(|ring| -> Result<Bytes> {
            let writer = ring.writer()?;
            Ok(record.encode(writer.public(), |message| writer.sign(message))?.into())
        })?;
        let node = Node::of(&record, &body);
        store.put(Put { key: ObjectKey::new(repository.names().audit_record(&id)), body, lock }).await?;
        self.nodes.insert(id.clone(), node);
        Ok(id)
    }
}

impl Node {
    fn of(record: &AuditRecord, body: &[u8]) -> Self {
        let previous = record.previous.iter().map(|link| link.record.clone()).collect();
        Self { at: record.at, sha256: Digest::of(body), locked_until: record.locked_until, previous }
    }
}

/// What is named like a record and arrived last, the newest first. The first version of a name counts (invariant I4), and so
/// does when it arrived: nobody can choose that.
async fn newest(store: &dyn Read, names: &Names, since: Option<Timestamp>) -> Result<Vec<Candidate>> {
    let query = ListQuery { prefix: names.audit(), by_folder: false };
    let after = since.map(|since| format!("{}{}", names.audit(), AuditId::stamp(since)));
    let (mut found, mut listed) = (Vec::<Candidate>::new(), 0);
    entries_after(store, &query, after, |entry| {
        listed += 1;
        if let Some(id) = candidate(names, &entry) {
            // A listing gives the newest version of a key first.
            if found.last().is_some_and(|last| last.id == id) {
                found.pop();
            }
            found.push(Candidate { id, entry });
        }
        // One more is kept than is wanted: its older versions may follow.
        if found.len() > 2 * AUDIT_CANDIDATES_MAX {
            let passing = found.pop();
            keep_newest(&mut found);
            found.extend(passing);
        }
        if listed < AUDIT_LISTED_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
    .await?;
    keep_newest(&mut found);
    Ok(found)
}

fn candidate(names: &Names, entry: &Entry) -> Option<AuditId> {
    if entry.delete_marker || entry.bytes > AUDIT_RECORD_BYTES_MAX as u64 {
        return None;
    }
    let id = names.audit_of(entry.key.as_str())?;
    let ahead = id.time()?.duration_since(entry.last_modified);
    (ahead <= SignedDuration::from_secs(AUDIT_ARRIVAL_SECONDS_MAX)).then_some(id)
}

fn keep_newest(found: &mut Vec<Candidate>) {
    found.sort_by(|a, b| (b.entry.last_modified, &b.id).cmp(&(a.entry.last_modified, &a.id)));
    found.truncate(AUDIT_CANDIDATES_MAX);
}
