//! Audit records: the two of one deed, signed by a host whose certificate travels with them.

use std::path::PathBuf;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use stonewal::format::audit::{AuditLink, AuditObject, AuditOutcome, AuditPhase, AuditRecord};
use stonewal::format::wal::Base64;
use stonewal::format::{AuditId, Digest, Error, Tag, WriterPublic};
use stonewal::keys::{Bundle, Certificate, Identity, RecoveryFile, WriterFile, WriterKey, repository_id};

use super::{folder, updating};

fn path(name: &str) -> PathBuf {
    folder("audit").join(name)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

fn trusted(object: &[u8]) -> Vec<WriterPublic> {
    let recovery = RecoveryFile::decode(&SecretString::from(std::fs::read_to_string(path("recovery.txt")).unwrap()));
    let recovery = recovery.unwrap();
    let certificate = AuditRecord::certificate(object).unwrap();
    let certificate = Certificate::decode(&certificate, recovery.repository, &recovery.root).unwrap();
    vec![recovery.root, certificate.writer]
}

#[test]
fn golden_audit_records_are_read_for_ever() {
    if updating() {
        make();
    }
    let (begun, ended) = (read("begun.bin"), read("ended.bin"));
    let trusted = trusted(&begun);
    let (first, writer) = AuditRecord::decode(&begun, &trusted).unwrap();
    let (last, _) = AuditRecord::decode(&ended, &trusted).unwrap();
    assert_eq!(writer, trusted[1]);
    assert_eq!((first.phase, last.phase), (AuditPhase::Begun, AuditPhase::Ended));
    assert_eq!(first.record.as_str(), "20261124T031500Z-0101010101010101");
    assert_eq!(last.begun.as_ref(), Some(&first.record));
    assert_eq!((last.previous[0].record.clone(), last.previous[0].sha256), (first.record, Digest::of(&begun)));
    assert_eq!(last.reason.as_deref(), Some("OPS-4711, größer als gedacht"));
    let outcome = last.outcome.unwrap();
    assert_eq!((outcome.exit, outcome.numbers["stored_bytes"]), (0, 9_007_199_254_740_993));
}

#[test]
fn i05_every_bit_of_a_record_is_authenticated() {
    let golden = read("ended.bin");
    let trusted = trusted(&golden);
    for at in 0..golden.len() {
        let mut bent = golden.clone();
        bent[at] ^= 1 << (at % 8);
        assert!(AuditRecord::decode(&bent, &trusted).is_err(), "byte {at}");
        assert!(AuditRecord::decode(&golden[..at], &trusted).is_err(), "cut at {at}");
    }
    assert!(matches!(AuditRecord::decode(&golden, &trusted[..1]), Err(Error::UntrustedWriter { .. })));
}

/// Signed by a trusted writer gone bad.
#[test]
fn records_that_contradict_themselves_are_refused() {
    let (record, _) = AuditRecord::decode(&read("ended.bin"), &trusted(&read("ended.bin"))).unwrap();
    let writer = WriterKey::generate().unwrap();
    let trusted = [*writer.public()];
    let sign = |json: &str| {
        let purpose = stonewal::format::signed::Purpose::Audit;
        stonewal::format::signed::seal(purpose, json.into(), writer.public(), |message| writer.sign(message))
    };
    let json = serde_json::to_string(&record).unwrap();
    AuditRecord::decode(&sign(&json), &trusted).unwrap();
    for (from, to) in [
        ("\"format\":1", "\"format\":2"),
        ("\"phase\":\"ended\"", "\"phase\":\"begun\""),
        ("\"record\":\"20261124T031507Z", "\"record\":\"20261124T031508Z"),
        ("\"deed\":\"backup.dump\"", "\"deed\":\"backup dump\""),
        ("\"who\":\"postgres\"", "\"who\":\"post\\ngres\""),
        ("\"who\":\"postgres\"", "\"who\":\"post\\u202egres\""),
        ("\"who\":\"postgres\"", "\"who\":\"postgres\",\"root\":true"),
        ("\"exit\":0", "\"exit\":256"),
    ] {
        assert!(json.contains(from), "{from}");
        assert!(AuditRecord::decode(&sign(&json.replacen(from, to, 1)), &trusted).is_err(), "{to}");
    }
    let version = AuditRecord::decode(&sign(&json.replacen("\"format\":1", "\"format\":2", 1)), &trusted);
    assert!(matches!(version, Err(Error::Version { version: 2, .. })), "{version:?}");
    let long = json.replacen("postgres", &"p".repeat(500), 1);
    assert!(AuditRecord::decode(&sign(&long), &trusted).is_err());
    let huge = json.replacen("postgres", &"p".repeat(1 << 18), 1);
    assert!(matches!(AuditRecord::decode(&sign(&huge), &trusted), Err(Error::Absurd { .. })));
}

fn make() {
    std::fs::create_dir_all(folder("audit")).unwrap();
    let bundle = Bundle::generate(repository_id().unwrap(), Vec::new(), Timestamp::UNIX_EPOCH).unwrap();
    let (host, _) = WriterFile::generate(&bundle, Tag::new([9; 8]), "db1").unwrap();
    let recovery = RecoveryFile {
        repository: bundle.repository,
        root: *bundle.writer.public(),
        identity: Identity::generate(),
        former: Vec::new(),
    };
    std::fs::write(path("recovery.txt"), recovery.encode().expose_secret()).unwrap();
    let (begun_at, ended_at) = (at("2026-11-24T03:15:00.25Z"), at("2026-11-24T03:15:07Z"));
    let begun = AuditRecord {
        format: AuditRecord::FORMAT,
        repository: bundle.repository,
        record: AuditId::new(begun_at, Tag::new([1; 8])),
        at: begun_at,
        deed: "backup.dump".into(),
        phase: AuditPhase::Begun,
        begun: None,
        cluster: Some("main".parse().unwrap()),
        objects: vec![AuditObject::new("database", "postgres@db1:5432/app")],
        who: "postgres".into(),
        host: "db1".into(),
        version: "0.1.0".into(),
        reason: Some("OPS-4711, größer als gedacht".into()),
        outcome: None,
        locked_until: Some(at("2026-12-29T03:15:00Z")),
        previous: Vec::new(),
        certificate: host.certificate.clone().map(Base64),
    };
    let sign = |record: &AuditRecord| record.encode(host.writer.public(), |message| host.writer.sign(message)).unwrap();
    let first = sign(&begun);
    let numbers = [("stored_bytes", 9_007_199_254_740_993)].into();
    let mut ended = begun.clone();
    ended.objects.push(AuditObject::new("backup", "20261124T031500Z-5b0c6f2e"));
    let ended = AuditRecord {
        record: AuditId::new(ended_at, Tag::new([2; 8])),
        at: ended_at,
        phase: AuditPhase::Ended,
        begun: Some(begun.record.clone()),
        outcome: Some(AuditOutcome::new(0, None, &numbers)),
        previous: vec![AuditLink {
            record: begun.record,
            sha256: Digest::of(&first),
            locked_until: begun.locked_until,
        }],
        ..ended
    };
    std::fs::write(path("begun.bin"), first).unwrap();
    std::fs::write(path("ended.bin"), sign(&ended)).unwrap();
}
