//! Audit records among attackers: bounded work, no trust in names, forks that are joined.

use std::sync::Arc;

use bytes::Bytes;

use super::world::{bucket, host, names, open};
use crate::catalog::{AuditEntry, AuditTrail, Repository};
use crate::format::AuditId;
use crate::format::audit::{AuditLink, AuditPhase};
use crate::keys::tag;
use crate::limits::AUDIT_CANDIDATES_MAX;
use crate::store::memory::Memory;
use crate::store::{Append as _, ObjectKey, Put, Read as _};

fn entry(deed: &str) -> AuditEntry {
    AuditEntry {
        deed: deed.into(),
        phase: AuditPhase::Begun,
        begun: None,
        cluster: None,
        objects: Vec::new(),
        who: "keeper".into(),
        host: "db1".into(),
        reason: None,
        outcome: None,
    }
}

async fn world() -> (Arc<Memory>, Repository) {
    let store = Arc::new(bucket(7));
    let repository = open(store.clone(), host()).await.unwrap();
    (store, repository)
}

/// One record by a process of its own, and the links it was given.
async fn write(store: &Memory, repository: &Repository) -> (AuditId, Vec<AuditLink>) {
    let mut trail = AuditTrail::default();
    let heads = trail.heads(repository).await.unwrap();
    let id = trail.append(store, repository, entry("verify"), heads.clone(), None).await.unwrap();
    (id, heads)
}

fn named(links: &[AuditLink]) -> Vec<AuditId> {
    let mut ids: Vec<_> = links.iter().map(|link| link.record.clone()).collect();
    ids.sort();
    ids
}

async fn plant(store: &Memory, key: String, body: impl Into<Bytes>) {
    store.put(Put { key: ObjectKey::new(key), body: body.into(), lock: None }).await.unwrap();
}

#[tokio::test]
async fn forks_are_joined_by_the_next_record() {
    let (store, repository) = world().await;
    let (first, heads) = write(&store, &repository).await;
    assert!(heads.is_empty());
    // Four hosts look at the same time, and then write.
    let mut forks = Vec::new();
    for _ in 0..4 {
        let mut trail = AuditTrail::default();
        let heads = trail.heads(&repository).await.unwrap();
        assert_eq!(named(&heads), std::slice::from_ref(&first));
        forks.push((trail, heads));
    }
    let mut ids = Vec::new();
    for (mut trail, heads) in forks {
        ids.push(trail.append(&*store, &repository, entry("verify"), heads, None).await.unwrap());
    }
    ids.sort();
    let (joined, heads) = write(&store, &repository).await;
    assert_eq!(named(&heads), ids);
    assert_eq!(named(&write(&store, &repository).await.1), [joined]);
}

#[tokio::test]
async fn a_process_knows_its_own_record_and_those_of_others_since() {
    let (store, repository) = world().await;
    let mut trail = AuditTrail::default();
    let heads = trail.heads(&repository).await.unwrap();
    let own = trail.append(&*store, &repository, entry("wal.stream"), heads, None).await.unwrap();
    assert_eq!(named(&trail.heads(&repository).await.unwrap()), std::slice::from_ref(&own));
    let (other, heads) = write(&store, &repository).await;
    assert_eq!(named(&heads), [own]);
    assert_eq!(named(&trail.heads(&repository).await.unwrap()), [other]);
}

/// PAINS A17 and A18 of records: whatever is planted over, beside or in front of them is not believed, and stops nobody.
#[tokio::test]
async fn i04_planted_objects_are_not_believed_and_stop_nobody() {
    let (store, repository) = world().await;
    let (genuine, _) = write(&store, &repository).await;
    let key = names().audit_record(&genuine);
    let (body, _) = store.first(&ObjectKey::new(&*key)).unwrap();
    let now = store.clock().now();
    // Later versions, a marker, a copy under another name, one from the future, and things that are no records.
    plant(&store, key.clone(), "junk").await;
    store.mark_deleted(&ObjectKey::new(&*key));
    plant(&store, names().audit_record(&AuditId::new(now, tag().unwrap())), body.clone()).await;
    plant(&store, format!("{}99991231T235959Z-0011223344556677", names().audit()), body.clone()).await;
    plant(&store, format!("{}readme", names().audit()), "hello").await;
    let mut altered = body.to_vec();
    altered[20] ^= 1;
    plant(&store, names().audit_record(&AuditId::new(now, tag().unwrap())), altered).await;
    let (second, heads) = write(&store, &repository).await;
    assert_eq!(named(&heads), [genuine]);
    // A flood hides the end of the chain, and costs no more than so many reads: the record is written all the same.
    for _ in 0..2 * AUDIT_CANDIDATES_MAX {
        plant(&store, names().audit_record(&AuditId::new(store.clock().now(), tag().unwrap())), "junk").await;
    }
    let (third, heads) = write(&store, &repository).await;
    assert!(heads.is_empty(), "{heads:?}");
    assert!(third > second || third.time() == second.time());
    // Whoever was there before goes on from where it was, and the next one sees the newest.
    assert_eq!(named(&write(&store, &repository).await.1), [third]);
}

#[tokio::test]
async fn i06_another_repositorys_record_is_none_of_ours() {
    let (store, repository) = world().await;
    let (_, _) = write(&store, &repository).await;
    let forged = {
        use crate::format::audit::AuditRecord;
        use crate::keys::WriterKey;
        let writer = WriterKey::generate().unwrap();
        let at = store.clock().now();
        let record = AuditRecord {
            format: AuditRecord::FORMAT,
            repository: repository.id(),
            record: AuditId::new(at, tag().unwrap()),
            at,
            deed: "verify".into(),
            phase: AuditPhase::Begun,
            begun: None,
            cluster: None,
            objects: Vec::new(),
            who: "mallory".into(),
            host: "x".into(),
            version: "1".into(),
            reason: None,
            outcome: None,
            locked_until: None,
            previous: Vec::new(),
            certificate: None,
        };
        let bytes = record.encode(writer.public(), |message| writer.sign(message)).unwrap();
        plant(&store, names().audit_record(&record.record), bytes).await;
        record.record
    };
    let (_, heads) = write(&store, &repository).await;
    assert!(!named(&heads).contains(&forged));
}
