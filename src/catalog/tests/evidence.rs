//! Evidence under attack: forged, copied, renamed, written over, flooded. What is genuine is told, the rest is reported.

use std::sync::Arc;

use bytes::Bytes;
use jiff::SignedDuration;

use super::world::{bucket, cluster, host, lock, names, open, recovery};
use crate::catalog::{FindingKind, Repository, publish_evidence};
use crate::format::EvidenceId;
use crate::format::evidence::{Choice, Evidence, EvidenceKind, EvidenceResult, ObjectivesRecord, RequestRecord};
use crate::keys::{WriterKey, backup_suffix};
use crate::limits::EVIDENCE_KEPT_MAX;
use crate::store::memory::Memory;
use crate::store::{Append as _, ObjectKey, Put, Read as _};

/// Evidence of a drill that began so many seconds from now.
fn evidence(store: &Memory, repository: &Repository, seconds: i64) -> Evidence {
    let started_at = store.clock().now() + SignedDuration::from_secs(seconds);
    Evidence {
        format: Evidence::FORMAT,
        repository: repository.id(),
        cluster: cluster(),
        evidence: EvidenceId::new(started_at, backup_suffix().unwrap()),
        kind: EvidenceKind::Drill,
        stonewal: "0".into(),
        host: "drill1".into(),
        started_at,
        finished_at: started_at,
        request: RequestRecord { choice: Choice::Latest, time: None, lsn: None },
        backup: None,
        server_version: None,
        reached: None,
        recovery_signal: None,
        phases: Vec::new(),
        rto_milliseconds: None,
        newest_committed_at: None,
        requested_at: Some(started_at),
        rpo_milliseconds: None,
        objectives: ObjectivesRecord::default(),
        bytes: 0,
        wal_bytes: 0,
        checks: Vec::new(),
        chains: Vec::new(),
        release: None,
        result: EvidenceResult::Error,
        error: Some("a test".into()),
    }
}

async fn world() -> (Arc<Memory>, Repository) {
    let store = Arc::new(bucket(7));
    let repository = open(store.clone(), host()).await.unwrap();
    (store, repository)
}

async fn publish(store: &Memory, repository: &Repository, evidence: &Evidence) -> ObjectKey {
    publish_evidence(store, repository, evidence, Some(lock())).await.unwrap()
}

async fn put(store: &Memory, key: impl Into<String>, body: impl Into<Bytes>) {
    store.put(Put { key: ObjectKey::new(key), body: body.into(), lock: None }).await.unwrap();
}

/// Written by a host that reads nothing, read by whoever has the recovery file; locked; newest first.
#[tokio::test]
async fn i04_b17_evidence_is_kept_whatever_is_laid_over_it() {
    let (store, repository) = world().await;
    let (old, new) = (evidence(&store, &repository, -90), evidence(&store, &repository, -30));
    let keys = [publish(&store, &repository, &new).await, publish(&store, &repository, &old).await];
    for key in &keys {
        assert!(store.first(key).unwrap().1.is_some(), "{key} is not locked");
        put(&store, key.as_str(), &b"junk"[..]).await;
        store.mark_deleted(key);
    }
    let reader = open(store.clone(), recovery()).await.unwrap();
    let (kept, findings) = reader.evidence(&cluster()).await.unwrap();
    assert_eq!(kept.into_iter().map(|kept| kept.evidence).collect::<Vec<_>>(), [new.clone(), old]);
    let kinds: Vec<_> = findings.iter().map(|finding| finding.kind).collect();
    let overlaid = [FindingKind::LaterVersion, FindingKind::DeleteMarker];
    assert_eq!(kinds, [overlaid, overlaid].concat());
    let (one, findings) = reader.evidence_of(&cluster(), &new.evidence).await.unwrap();
    assert_eq!((one.unwrap().evidence, findings.len()), (new, 2));
}

#[tokio::test]
async fn i06_b17_evidence_that_is_not_genuine_is_reported() {
    let (store, repository) = world().await;
    let genuine = evidence(&store, &repository, -30);
    let key = publish(&store, &repository, &genuine).await;
    let (body, _) = store.first(&key).unwrap();
    let id = |seconds| evidence(&store, &repository, seconds).evidence;
    let place = |id: &EvidenceId| names().evidence(&cluster(), id);
    let mut bent = body.to_vec();
    bent[20] ^= 1;
    put(&store, place(&id(-1)), bent).await;
    // The genuine one under another name, or of another cluster, is a copy.
    put(&store, place(&id(-2)), body.clone()).await;
    put(&store, format!("{}x", key.as_str()), body.clone()).await;
    put(&store, names().evidence(&"other".parse().unwrap(), &genuine.evidence), body).await;
    let stranger = WriterKey::generate().unwrap();
    let forged = evidence(&store, &repository, -3);
    let signed = forged.encode(stranger.public(), |message| stranger.sign(message)).unwrap();
    put(&store, place(&forged.evidence), signed).await;
    put(&store, place(&id(-4)), vec![0; 300 << 10]).await;
    put(&store, place(&id(-5)), &b""[..]).await;
    let (kept, findings) = repository.evidence(&cluster()).await.unwrap();
    let told: Vec<_> = kept.into_iter().map(|kept| kept.evidence).collect();
    assert_eq!(told, std::slice::from_ref(&genuine));
    assert!(findings.iter().all(|finding| finding.kind == FindingKind::ForgedEvidence), "{findings:?}");
    assert_eq!(findings.len(), 6, "{findings:?}");
    let (none, findings) = repository.evidence_of(&cluster(), &forged.evidence).await.unwrap();
    assert!(none.is_none() && findings[0].detail.contains("does not trust"), "{findings:?}");
    let other = repository.evidence(&"other".parse().unwrap()).await.unwrap();
    assert_eq!((other.0.len(), other.1[0].kind), (0, FindingKind::ForgedEvidence));
}

/// A trusted writer with a wrong clock, or one that was stolen, cannot date evidence into the future.
#[tokio::test]
async fn evidence_from_the_future_is_refused() {
    let (store, repository) = world().await;
    publish(&store, &repository, &evidence(&store, &repository, 3600)).await;
    let (kept, findings) = repository.evidence(&cluster()).await.unwrap();
    assert!(kept.is_empty() && findings[0].detail.contains("after it arrived"), "{findings:?}");
}

#[tokio::test]
async fn i12_only_the_newest_evidence_is_held() {
    let store = Arc::new(bucket(1000));
    let repository = open(store.clone(), host()).await.unwrap();
    let most = i64::try_from(EVIDENCE_KEPT_MAX).unwrap();
    for number in 0..2 * most + 3 {
        publish(&store, &repository, &evidence(&store, &repository, number - 3 * most)).await;
    }
    let (kept, _) = repository.evidence(&cluster()).await.unwrap();
    assert_eq!(kept.len(), EVIDENCE_KEPT_MAX);
    let newest = kept.iter().map(|kept| kept.evidence.started_at).max().unwrap();
    assert_eq!(kept[0].evidence.started_at, newest, "newest first");
    let oldest = kept.last().unwrap().evidence.started_at;
    assert_eq!(oldest.duration_until(newest).as_secs(), most - 1, "without a hole");
}
