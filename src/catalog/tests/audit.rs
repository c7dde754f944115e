//! Audit records among attackers: bounded work, no trust in names, forks that are joined.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::SignedDuration;

use super::world::{bucket, host, names, open};
use crate::catalog::{AuditEntry, AuditTrail, FindingKind, Repository};
use crate::format::audit::{AuditLink, AuditOutcome, AuditPhase, AuditRecord};
use crate::format::signed::signer;
use crate::format::{AuditId, Digest, RepositoryId, Tag};
use crate::keys::tag;
use crate::limits::AUDIT_CANDIDATES_MAX;
use crate::store::memory::Memory;
use crate::store::{Append as _, Lock, LockMode, ObjectKey, Prune as _, Put, Read as _};
use crate::verify::{AuditBounds, AuditReport, BreakKind, verify_audit, verify_audit_within};

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
    let (genuine, heads) = write(&store, &repository).await;
    assert!(!named(&heads).contains(&forged));
    // Signed by a writer of ours, and of another repository.
    let (body, _) = store.first(&ObjectKey::new(names().audit_record(&genuine))).unwrap();
    let (foreign, bytes) = signed_anew(&repository, &body, |record| {
        record.repository = RepositoryId::new([9; 16]);
        record.record = AuditId::new(record.at, tag().unwrap());
    });
    plant(&store, names().audit_record(&foreign), bytes).await;
    assert_eq!(named(&write(&store, &repository).await.1), [genuine]);
}

/// A record of ours, changed and signed again by the key of the host.
fn signed_anew(repository: &Repository, body: &[u8], change: impl FnOnce(&mut AuditRecord)) -> (AuditId, Vec<u8>) {
    let (mut record, _) = AuditRecord::decode(body, &[signer(body).unwrap()]).unwrap();
    change(&mut record);
    let bytes = repository.with_keyring(|ring| {
        let writer = ring.writer().unwrap();
        record.encode(writer.public(), |message| writer.sign(message)).unwrap()
    });
    (record.record, bytes)
}

async fn verified(repository: &Repository) -> AuditReport {
    verify_audit(repository, std::time::Duration::from_mins(1)).await.unwrap()
}

/// A record that was written so many seconds ago, with a lock that ends in so many.
async fn write_at(store: &Memory, repository: &Repository, ago: i64, lock: Option<i64>) -> AuditId {
    let heads = AuditTrail::default().heads(repository).await.unwrap();
    write_entry_at(store, repository, ago, (entry("verify"), heads), lock).await
}

async fn write_entry_at(
    store: &Memory,
    repository: &Repository,
    ago: i64,
    (entry, heads): (AuditEntry, Vec<AuditLink>),
    lock: Option<i64>,
) -> AuditId {
    let then = Memory::default();
    then.clock().observe(then.clock().now() - SignedDuration::from_secs(ago));
    let mut trail = AuditTrail::default();
    let retain_until = |seconds| store.clock().now() + SignedDuration::from_secs(seconds);
    let lock = lock.map(|seconds| Lock { mode: LockMode::Governance, retain_until: retain_until(seconds) });
    let id = trail.append(&then, repository, entry, heads, lock).await.unwrap();
    let key = ObjectKey::new(names().audit_record(&id));
    let (body, _) = then.first(&key).unwrap();
    store.put(Put { key, body, lock }).await.unwrap();
    id
}

/// What only force can do, or anybody once a lock has ended.
async fn remove(store: &Memory, id: &AuditId) {
    let key = ObjectKey::new(names().audit_record(id));
    for (at, version, _) in store.dump() {
        if at == key {
            store.delete_version(&key, &version, true).await.unwrap();
        }
    }
}

fn broken(report: &AuditReport) -> Vec<(AuditId, BreakKind, AuditId)> {
    report.breaks.iter().map(|one| (one.record.clone(), one.what, one.named_by.clone())).collect()
}

#[tokio::test]
async fn a_removed_or_replaced_record_is_named() {
    let (store, repository) = world().await;
    let mut ids = Vec::new();
    for ago in [60, 50, 40, 30, 20, 10] {
        ids.push(write_at(&store, &repository, ago, None).await);
    }
    let whole = verified(&repository).await;
    assert_eq!((whole.records, whole.break_count, whole.ends, whole.unfinished_count), (6, 0, 1, 6));
    assert_eq!((whole.findings.total(), whole.roots.len(), whole.expired), (0, 0, 0));
    remove(&store, &ids[2]).await;
    let report = verified(&repository).await;
    assert_eq!(broken(&report), [(ids[2].clone(), BreakKind::Missing, ids[3].clone())]);
    // Something else under its name hides nothing.
    plant(&store, names().audit_record(&ids[2]), "never mind").await;
    let report = verified(&repository).await;
    assert_eq!(broken(&report), [(ids[2].clone(), BreakKind::Replaced, ids[3].clone())]);
    assert_eq!(report.findings.counts[&FindingKind::ForgedAudit], 1);
    // A genuine record of another name does not either.
    let (body, _) = store.first(&ObjectKey::new(names().audit_record(&ids[4]))).unwrap();
    remove(&store, &ids[1]).await;
    plant(&store, names().audit_record(&ids[1]), body).await;
    let report = verified(&repository).await;
    assert_eq!(broken(&report).len(), 1, "the record that named it is gone too: {report:?}");
    remove(&store, &ids[5]).await;
    assert_eq!(verified(&repository).await.break_count, 1, "no chain can tell that its last record is gone");
}

fn link_to(store: &Memory, id: &AuditId) -> AuditLink {
    let body = store.first(&ObjectKey::new(names().audit_record(id))).unwrap().0;
    AuditLink { record: id.clone(), sha256: Digest::of(&body), locked_until: None }
}

/// What was forgotten and is named or ended later is not counted, and the numbers are said to be lower bounds.
#[tokio::test]
async fn i12_ends_and_unfinished_deeds_are_never_counted_too_high() {
    let (store, repository) = world().await;
    let mut ids = Vec::new();
    for ago in [60, 50, 40, 30, 20] {
        ids.push(write_entry_at(&store, &repository, ago, (entry("verify"), Vec::new()), None).await);
    }
    let mut named: Vec<_> = ids[..3].iter().map(|id| link_to(&store, id)).collect();
    for (ago, begun) in [(10, &ids[0]), (5, &ids[1])] {
        let outcome = Some(AuditOutcome::new(0, None, &BTreeMap::new()));
        let ended = AuditEntry { phase: AuditPhase::Ended, begun: Some(begun.clone()), outcome, ..entry("verify") };
        let end = write_entry_at(&store, &repository, ago, (ended, named), None).await;
        named = vec![link_to(&store, &end)];
    }
    for (known, open) in [(50, 50), (3, 2), (2, 1)] {
        let bounds = AuditBounds { known, open };
        let report = verify_audit_within(&repository, std::time::Duration::from_mins(1), bounds).await.unwrap();
        assert_eq!((report.ends, report.unfinished_count, report.break_count), (3, 3, 0), "{known} {open}: {report:?}");
        assert_eq!((report.ends_at_least, report.unfinished_at_least), (known < 50, open < 50));
    }
}

/// However little is remembered of a log, everything is found: what was forgotten is read again.
#[tokio::test]
async fn i12_a_log_is_verified_in_little_memory() {
    let (store, repository) = world().await;
    let mut ids = Vec::new();
    for ago in (20..60).rev() {
        ids.push(write_at(&store, &repository, ago, None).await);
    }
    // A host that had not seen anything since the second one.
    let mut trail = AuditTrail::default();
    let link = link_to(&store, &ids[1]);
    let late = trail.append(&*store, &repository, entry("verify"), vec![link], None).await.unwrap();
    let little = async || {
        let bounds = AuditBounds { known: 3, open: 2 };
        verify_audit_within(&repository, std::time::Duration::from_mins(1), bounds).await.unwrap()
    };
    let report = little().await;
    assert_eq!((report.records, report.break_count, report.roots.len(), report.ends), (41, 0, 0, 2), "{report:?}");
    assert_eq!((report.unfinished_count, report.unfinished.len()), (41, 2));
    for (gone, namers) in [(&ids[30], vec![&ids[31]]), (&ids[1], vec![&ids[2], &late])] {
        remove(&store, gone).await;
        let (known, report) = (broken(&verified(&repository).await), broken(&little().await));
        let by = |list: &[(AuditId, BreakKind, AuditId)]| {
            list.iter().any(|(id, what, by)| id == gone && *what == BreakKind::Missing && namers.contains(&by))
        };
        assert!(by(&known) && by(&report) && known.len() == report.len(), "{known:?} {report:?}");
    }
}

#[tokio::test]
async fn at_the_old_edge_a_lock_tells_force_from_age() {
    let (store, repository) = world().await;
    let mut ids = Vec::new();
    for (ago, lock) in [(90, -50), (80, -40), (70, 3600), (60, 3600)] {
        ids.push(write_at(&store, &repository, ago, Some(lock)).await);
    }
    remove(&store, &ids[0]).await;
    let report = verified(&repository).await;
    assert_eq!((report.break_count, report.expired, report.unlocked, report.unlocking), (0, 1, 1, 0));
    // Its time had not come.
    remove(&store, &ids[1]).await;
    remove(&store, &ids[2]).await;
    let report = verified(&repository).await;
    assert_eq!(broken(&report), [(ids[2].clone(), BreakKind::Missing, ids[3].clone())]);
}

#[tokio::test]
async fn what_was_put_there_by_others_is_told_and_hides_nothing() {
    let (store, repository) = world().await;
    let (first, _) = write(&store, &repository).await;
    write(&store, &repository).await;
    for number in 0..300 {
        let id = AuditId::new(store.clock().now(), Tag::new(u64::to_be_bytes(number)));
        plant(&store, names().audit_record(&id), format!("junk {number}")).await;
    }
    let key = ObjectKey::new(names().audit_record(&first));
    plant(&store, key.as_str().to_owned(), "junk").await;
    store.mark_deleted(&key);
    let report = verified(&repository).await;
    assert_eq!((report.records, report.break_count, report.roots.len()), (2, 0, 0));
    let counts = &report.findings.counts;
    assert_eq!(
        (counts[&FindingKind::ForgedAudit], counts[&FindingKind::LaterVersion], counts[&FindingKind::DeleteMarker]),
        (300, 1, 1)
    );
}

/// Signed by a writer of ours whose host has another idea of the time, or by one who puts back what was removed.
#[tokio::test]
async fn a_record_that_arrives_at_another_time_than_it_says_is_told() {
    let (store, repository) = world().await;
    write(&store, &repository).await;
    write_at(&store, &repository, 2 * 3600, None).await;
    let report = verified(&repository).await;
    assert_eq!((report.records, report.break_count), (2, 0));
    assert_eq!(report.findings.counts[&FindingKind::ForgedAudit], 1, "{report:?}");
}

/// What was removed and put back has the lock of whoever put it there.
#[tokio::test]
async fn a_record_that_is_not_locked_as_it_says_is_told() {
    let (store, repository) = world().await;
    write_at(&store, &repository, 20, Some(3600)).await;
    let id = write_at(&store, &repository, 10, Some(3600)).await;
    assert_eq!(verified(&repository).await.findings.total(), 0);
    let key = names().audit_record(&id);
    let (body, _) = store.first(&ObjectKey::new(&*key)).unwrap();
    remove(&store, &id).await;
    plant(&store, key, body).await;
    let report = verified(&repository).await;
    assert_eq!((report.records, report.break_count), (2, 0), "{report:?}");
    assert_eq!(report.findings.counts[&FindingKind::LockShort], 1, "{report:?}");
}

/// Whoever has the key of a writer may sign another record of the same name: the one behind it knows better.
#[tokio::test]
async fn a_record_that_was_signed_anew_is_named() {
    let (store, repository) = world().await;
    let first = write_at(&store, &repository, 20, None).await;
    let second = write_at(&store, &repository, 10, None).await;
    let (body, _) = store.first(&ObjectKey::new(names().audit_record(&first))).unwrap();
    let (same, bytes) = signed_anew(&repository, &body, |record| record.who = "somebody else".into());
    remove(&store, &first).await;
    plant(&store, names().audit_record(&same), bytes).await;
    let report = verified(&repository).await;
    assert_eq!(broken(&report), [(first, BreakKind::Replaced, second)], "{report:?}");
}
