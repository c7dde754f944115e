//! Evidence: one of a recovery that passed, one of a drill that never came to a restore; and both bent.

use std::path::PathBuf;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use stonewal::format::evidence::{
    CheckRecord, CheckResult, Choice, DrilledBackup, Evidence, EvidenceKind, EvidenceResult, ObjectivesRecord,
    PhaseRecord, ReachedRecord, RequestRecord,
};
use stonewal::format::manifest::Kind;
use stonewal::format::signed::{self, Purpose};
use stonewal::format::{Digest, Error, Lsn, Timeline, WriterPublic};
use stonewal::keys::{Bundle, Identity, RecoveryFile, WriterKey};

use super::{folder, updating};

fn path(name: &str) -> PathBuf {
    folder("evidence").join(name)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A recovery to a moment, all of it.
fn passed(recovery: &RecoveryFile) -> Evidence {
    let phase = |(name, milliseconds): (&str, u64)| PhaseRecord { name: name.into(), milliseconds };
    let phases = [("plan", 310), ("fetch", 41_002), ("replay", 12_345), ("ready", 77), ("checks", 0)];
    let check = |(name, status, detail): (&str, CheckResult, &str)| CheckRecord {
        name: name.into(),
        status,
        detail: detail.into(),
    };
    let checks = [
        ("tables", CheckResult::Ok, "3 required tables, all there"),
        ("release", CheckResult::Note, "“1.4.2”"),
        ("collations", CheckResult::Warn, "1 database"),
    ];
    Evidence {
        format: Evidence::FORMAT,
        repository: recovery.repository,
        cluster: "main".parse().unwrap(),
        evidence: "20261128T040000Z-0badcafe".parse().unwrap(),
        kind: EvidenceKind::Drill,
        stonewal: "0.1.0".into(),
        host: "drill1".into(),
        started_at: at("2026-11-28T04:00:00.25Z"),
        finished_at: at("2026-11-28T04:00:54Z"),
        request: RequestRecord { choice: Choice::Latest, time: Some(at("2026-11-28T03:00:00Z")), lsn: None },
        backup: Some(DrilledBackup {
            id: "20261124T031500Z-5b0c6f2e".parse().unwrap(),
            kind: Kind::Base,
            manifest_sha256: Digest::of(b"manifest"),
        }),
        server_version: Some("15.18".into()),
        reached: Some(ReachedRecord { lsn: Lsn::new(0x300_0060), timeline: Timeline::new(2).unwrap() }),
        recovery_signal: Some(true),
        phases: phases.into_iter().map(phase).collect(),
        rto_milliseconds: Some(53_750),
        newest_committed_at: Some(at("2026-11-28T02:59:58.5Z")),
        requested_at: Some(at("2026-11-28T03:00:00Z")),
        rpo_milliseconds: Some(1500),
        objectives: ObjectivesRecord { rto_milliseconds: Some(1_800_000), rpo_milliseconds: Some(900_000) },
        bytes: 5 << 30,
        wal_bytes: 48 << 20,
        checks: checks.into_iter().map(check).collect(),
        chains: Vec::new(),
        release: Some("1.4.2".into()),
        result: EvidenceResult::Passed,
        error: None,
    }
}

/// A drill that found nothing to restore: every field that may be absent is.
fn error(recovery: &RecoveryFile) -> Evidence {
    Evidence {
        evidence: "20261128T050000Z-00000001".parse().unwrap(),
        started_at: at("2026-11-28T05:00:00Z"),
        finished_at: at("2026-11-28T05:00:00Z"),
        request: RequestRecord { choice: Choice::Random, time: None, lsn: None },
        backup: None,
        server_version: None,
        reached: None,
        recovery_signal: None,
        phases: Vec::new(),
        rto_milliseconds: None,
        newest_committed_at: None,
        requested_at: Some(at("2026-11-28T05:00:00Z")),
        rpo_milliseconds: None,
        objectives: ObjectivesRecord::default(),
        bytes: 0,
        wal_bytes: 0,
        checks: Vec::new(),
        release: None,
        result: EvidenceResult::Error,
        error: Some("cluster main has no backup".into()),
        ..passed(recovery)
    }
}

fn golden_recovery() -> RecoveryFile {
    let text = std::fs::read_to_string(path("recovery.txt")).unwrap();
    RecoveryFile::decode(&SecretString::from(text)).unwrap()
}

fn golden(name: &str) -> (Vec<u8>, [WriterPublic; 1]) {
    (std::fs::read(path(name)).unwrap(), [golden_recovery().root])
}

#[test]
fn golden_evidence_is_read_for_ever() {
    if updating() {
        make();
    }
    let recovery = golden_recovery();
    for (name, wanted) in [("passed.bin", passed(&recovery)), ("error.bin", error(&recovery))] {
        let (object, trusted) = golden(name);
        assert_eq!(Evidence::decode(&object, &trusted).unwrap(), wanted, "{name}");
    }
}

fn make() {
    std::fs::create_dir_all(folder("evidence")).unwrap();
    let offline = Identity::generate();
    let repository = stonewal::keys::repository_id().unwrap();
    let bundle = Bundle::generate(repository, vec![offline.recipient()], Timestamp::UNIX_EPOCH).unwrap();
    let recovery = RecoveryFile { repository, root: *bundle.writer.public(), identity: offline, former: Vec::new() };
    std::fs::write(path("recovery.txt"), recovery.encode().expose_secret()).unwrap();
    for (name, evidence) in [("passed.bin", passed(&recovery)), ("error.bin", error(&recovery))] {
        let object = evidence.encode(bundle.writer.public(), |message| bundle.writer.sign(message)).unwrap();
        std::fs::write(path(name), object).unwrap();
    }
}

#[test]
fn i06_every_bit_of_evidence_is_authenticated() {
    let (object, trusted) = golden("passed.bin");
    for byte in 0..object.len() {
        let mut bent = object.clone();
        bent[byte] ^= 1 << (byte % 8);
        assert!(Evidence::decode(&bent, &trusted).is_err(), "byte {byte}");
        assert!(Evidence::decode(&object[..byte], &trusted).is_err(), "cut at {byte}");
    }
    assert!(matches!(Evidence::decode(&object, &[]), Err(Error::UntrustedWriter { .. })));
}

/// The golden object with its JSON edited and signed by a writer who is then trusted.
fn signed_again(edit: impl Fn(&str) -> String) -> Result<Evidence, Error> {
    let (object, _) = golden("passed.bin");
    let json = std::str::from_utf8(&object[..object.len() - 96]).unwrap();
    let edited = edit(json);
    assert_ne!(edited, json, "the edit does nothing");
    let writer = WriterKey::generate().unwrap();
    let sealed = signed::seal(Purpose::Evidence, edited.into(), writer.public(), |message| writer.sign(message));
    Evidence::decode(&sealed, &[*writer.public()])
}

/// What a trusted writer could sign: still bounded, still of one meaning, and nothing that a terminal would obey.
#[test]
fn signed_nonsense_is_no_evidence() {
    let long = "x".repeat(1025);
    let many = |json: &str| {
        let check = "{\"name\":\"a\",\"status\":\"ok\",\"detail\":\"\"},".repeat(1000);
        json.replace("\"checks\":[", &format!("\"checks\":[{check}"))
    };
    let replaced = |from: &'static str, to: String| signed_again(move |json| json.replace(from, &to));
    for (case, read) in [
        ("an unknown field", replaced("{\"format\"", "{\"more\":1,\"format\"".into())),
        ("an unknown result", replaced("\"passed\"", "\"perfect\"".into())),
        ("an unknown status", replaced("\"status\":\"ok\"", "\"status\":\"fine\"".into())),
        ("another id", replaced("20261128T040000Z", "20261128T040001Z".into())),
        ("an end before its start", replaced("04:00:54Z", "03:00:54Z".into())),
        ("a long text", replaced("drill1", long)),
        ("a text that a terminal obeys", replaced("drill1", "\\u001b[2J".into())),
        ("a path for an id", replaced("20261128T040000Z-0badcafe", "../20261128T040000Z".into())),
        ("too many checks", signed_again(many)),
    ] {
        assert!(matches!(read, Err(Error::Malformed { .. } | Error::Absurd { .. })), "{case}: {read:?}");
    }
    let chain = "{\"name\":\"audit\",\"database\":\"books\",\"table\":\"public.log\",\"rows\":7,\"head\":\"ab\"}";
    let chains =
        |count: usize| replaced("\"release\":", format!("\"chains\":[{}],\"release\":", vec![chain; count].join(",")));
    let read = chains(1).unwrap().chains;
    assert_eq!((read.len(), read[0].rows, read[0].head.as_str()), (1, 7, "ab"));
    assert!(matches!(chains(101), Err(Error::Absurd { .. })));
    let never = replaced("\"requested_at\":\"2026-11-28T03:00:00Z\"", "\"requested_at\":null".into());
    assert_eq!(never.unwrap().requested_at, None);
    let later = replaced("\"format\":1", "\"format\":2".into());
    assert_eq!(later, Err(Error::Version { what: "evidence", version: 2 }));
    assert_eq!(replaced("drill1", "drill2".into()).unwrap().host, "drill2", "the edit itself is not what is refused");
    // What is signed as something else is no evidence.
    let (object, _) = golden("passed.bin");
    let writer = WriterKey::generate().unwrap();
    let json = object[..object.len() - 96].to_vec();
    let sealed = signed::seal(Purpose::Gap, json, writer.public(), |message| writer.sign(message));
    assert_eq!(Evidence::decode(&sealed, &[*writer.public()]), Err(Error::Signature("evidence")));
}
