//! Evidence in the bucket: written once under a lock, believed by its signature and under its own name only.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::SignedDuration;

use super::listing::{Oldest, first_version};
use super::{Error, Finding, FindingKind, Repository, Result};
use crate::format::evidence::Evidence;
use crate::format::{self, ClusterName, EvidenceId};
use crate::limits::{DISCOVERIES, EVIDENCE_BYTES_MAX, EVIDENCE_KEPT_MAX, FINDINGS_MAX};
use crate::store::{Append, Entry, Lock, ObjectKey, Put};

/// How far the times of one store may differ: `Date` of an answer, arrival of an object.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// Evidence that was found and authenticated.
#[derive(Clone, Debug)]
pub struct KeptEvidence {
    /// What it says.
    pub evidence: Evidence,
    /// Its object.
    pub entry: Entry,
}

/// Stores evidence under its own name; returns its key. The caller sees to it that it names this repository and a fresh id.
pub async fn publish_evidence(
    store: &dyn Append,
    repository: &Repository,
    evidence: &Evidence,
    lock: Option<Lock>,
) -> Result<ObjectKey> {
    let body = repository.with_keyring(|ring| -> Result<Vec<u8>> {
        let writer = ring.writer()?;
        Ok(evidence.encode(writer.public(), |message| writer.sign(message))?)
    })?;
    let key = ObjectKey::new(repository.names().evidence(&evidence.cluster, &evidence.evidence));
    store.put(Put { key: key.clone(), body: body.into(), lock }).await?;
    Ok(key)
}

impl Repository {
    /// The evidence about a cluster, newest first, at most [`EVIDENCE_KEPT_MAX`] pieces of it. What is not genuine is a
    /// finding. Of every name the first version counts (invariant I4).
    pub async fn evidence(&self, cluster: &ClusterName) -> Result<(Vec<KeptEvidence>, Vec<Finding>)> {
        let (mut kept, mut findings) = (Vec::new(), Vec::new());
        let mut oldest = Oldest::new(&*self.store, self.names.all_evidence(cluster));
        while let Some((entries, beside)) = oldest.next().await? {
            findings.extend(beside);
            let reading = |entry| async move { self.read_evidence(cluster, entry).await };
            let mut read = stream::iter(entries).map(reading).buffered(DISCOVERIES);
            while let Some(read) = read.try_next().await? {
                match read {
                    Ok(evidence) => kept.push(evidence),
                    Err(finding) if findings.len() < FINDINGS_MAX => findings.push(finding),
                    Err(_) => {}
                }
                if kept.len() > 2 * EVIDENCE_KEPT_MAX {
                    keep_newest(&mut kept);
                }
            }
        }
        keep_newest(&mut kept);
        Ok((kept, findings))
    }

    /// One piece of evidence; `None` if there is no genuine one of this name.
    pub async fn evidence_of(
        &self,
        cluster: &ClusterName,
        id: &EvidenceId,
    ) -> Result<(Option<KeptEvidence>, Vec<Finding>)> {
        let (first, mut findings) = first_version(&*self.store, &self.names.evidence(cluster, id)).await?;
        let Some(entry) = first else { return Ok((None, findings)) };
        match self.read_evidence(cluster, entry).await? {
            Ok(kept) => Ok((Some(kept), findings)),
            Err(finding) => {
                findings.push(finding);
                Ok((None, findings))
            }
        }
    }

    /// What lies there, or what is wrong with it. An error means that the store cannot be asked.
    async fn read_evidence(&self, cluster: &ClusterName, entry: Entry) -> Result<Result<KeptEvidence, Finding>> {
        let finding = |kind, why: String| Finding::new(kind, entry.key.as_str(), Some(entry.version.as_str()), why);
        match self.genuine_evidence(cluster, &entry).await {
            Ok(evidence) => Ok(Ok(KeptEvidence { evidence, entry })),
            Err(Error::Store(error)) if !error.is_about_the_object() => Err(error.into()),
            Err(Error::Store(error)) => Ok(Err(finding(FindingKind::Opaque, error.to_string()))),
            Err(error) => Ok(Err(finding(FindingKind::ForgedEvidence, error.to_string()))),
        }
    }

    async fn genuine_evidence(&self, cluster: &ClusterName, entry: &Entry) -> Result<Evidence> {
        let malformed = |why: String| Err(format::Error::Malformed { what: "evidence", why }.into());
        if entry.bytes > EVIDENCE_BYTES_MAX {
            let (claimed, max) = (entry.bytes, EVIDENCE_BYTES_MAX);
            return Err(format::Error::Absurd { what: "evidence", claimed, max }.into());
        }
        let bytes = self.store.get(&entry.key, &entry.version, 0..entry.bytes).await?;
        let evidence = self.decode_signed(|| None, |trusted| Evidence::decode(&bytes, trusted)).await?;
        let named = self.names.evidence(&evidence.cluster, &evidence.evidence);
        if evidence.repository != self.id() || evidence.cluster != *cluster || named != entry.key.as_str() {
            return malformed(format!("it is a copy of {} of cluster {}", evidence.evidence, evidence.cluster));
        }
        if evidence.finished_at.duration_until(entry.last_modified) < -CLOCK_TOLERANCE {
            return malformed(format!("it claims to end at {}, after it arrived", evidence.finished_at));
        }
        Ok(evidence)
    }
}

fn keep_newest(kept: &mut Vec<KeptEvidence>) {
    kept.sort_by(|a, b| {
        let rank = |kept: &KeptEvidence| (kept.evidence.started_at, kept.evidence.evidence.clone());
        rank(b).cmp(&rank(a))
    });
    kept.truncate(EVIDENCE_KEPT_MAX);
}
