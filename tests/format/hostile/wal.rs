//! WAL objects bent by anyone, and WAL objects signed by a trusted writer gone bad.

use stonewal::format::signed::{self, Purpose};
use stonewal::format::wal::{CommitScanner, History, WalHead, WalHeader};
use stonewal::format::{Error, Lsn, Timeline};
use stonewal::keys::WriterKey;

use crate::vectors::golden_wal;

/// Reads the whole object: header and body.
fn read(object: &[u8], trusted: &[stonewal::format::WriterPublic]) -> Result<WalHeader, Error> {
    let head = WalHead::read(object, trusted)?;
    head.body(object)?;
    Ok(head.header().clone())
}

#[test]
fn i05_every_bit_of_a_wal_object_is_authenticated() {
    for name in ["history", "partial"] {
        let golden = golden_wal(name);
        read(&golden.object, &golden.trusted).unwrap();
        for at in 0..golden.object.len() {
            let mut bent = golden.object.clone();
            bent[at] ^= 1 << (at % 8);
            let error = read(&bent, &golden.trusted).unwrap_err();
            assert_eq!(at < 8, error == Error::NotOurs("WAL object"), "{name}, byte {at}: {error}");
        }
    }
}

#[test]
fn i05_a_wal_object_cut_anywhere_is_refused() {
    let golden = golden_wal("history");
    for end in 0..golden.object.len() {
        assert!(read(&golden.object[..end], &golden.trusted).is_err(), "cut at {end}");
        // The same bytes from a reader that fetches the beginning alone: the head is whole or refused.
        let _ = WalHead::read(&golden.object[..end], &golden.trusted);
        assert!(WalHead::certificate(&golden.object[..end.min(600)]).is_none());
    }
    assert!(read(&[&golden.object[..], b"x"].concat(), &golden.trusted).is_err());
    let other = golden_wal("piece");
    let head = WalHead::read(&golden.object, &golden.trusted).unwrap();
    let swapped = [&golden.object[..head.body_at()], &other.object[head.body_at()..]].concat();
    assert!(read(&swapped, &golden.trusted).is_err(), "the body of another object");
}

#[test]
fn i06_only_trusted_writers_sign_wal() {
    let golden = golden_wal("piece");
    assert!(matches!(read(&golden.object, &[]), Err(Error::UntrustedWriter { .. })));
    assert!(matches!(read(&golden.object, &golden.trusted[..1]), Err(Error::UntrustedWriter { .. })), "the root alone");
    let stranger = WriterKey::generate().unwrap();
    assert!(matches!(read(&golden.object, &[*stranger.public()]), Err(Error::UntrustedWriter { .. })));
}

/// Edits the header of a golden object and signs it anew.
fn forged(name: &str, edit: impl Fn(&str) -> String) -> (Vec<u8>, WriterKey) {
    let golden = golden_wal(name);
    let head = WalHead::read(&golden.object, &golden.trusted).unwrap();
    let json = std::str::from_utf8(&golden.object[16..head.body_at() - 96]).unwrap();
    let edited = edit(json);
    assert_ne!(edited, json, "the edit does nothing");
    let writer = WriterKey::generate().unwrap();
    let mut bytes = golden.object[..12].to_vec();
    bytes.extend(u32::try_from(edited.len()).unwrap().to_be_bytes());
    bytes.extend(edited.as_bytes());
    let mut object = signed::seal(Purpose::Wal, bytes, writer.public(), |message| writer.sign(message));
    object.extend(&golden.object[head.body_at()..]);
    (object, writer)
}

/// Which object, what is wrong with it, and the edit.
type Nonsense = (&'static str, &'static str, Box<dyn Fn(&str) -> String>);

const ORIGINAL: &str = "0909090909090909090909090909090909090909090909090909090909090909";

/// The header of a copy: byte for byte what one of ours has behind the fields of its original.
fn copied(json: &str, original: &str) -> String {
    let fields = &json[..json.len() - 1];
    format!("{fields},\"copy_of\":{{\"original\":\"{original}\",\"made_at\":\"2026-11-24T03:15:00Z\"}}}}")
}

/// The order and the spelling of what is signed stay as they are for ever.
#[test]
fn a_copy_is_spelled_as_its_original_with_one_field_more() {
    let golden = golden_wal("piece");
    let head = WalHead::read(&golden.object, &golden.trusted).unwrap();
    let json = std::str::from_utf8(&golden.object[16..head.body_at() - 96]).unwrap();
    for text in [json.to_owned(), copied(json, ORIGINAL)] {
        let header: WalHeader = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&header).unwrap(), text);
    }
    assert_eq!(head.digest(), stonewal::format::Digest::of(&golden.object[..head.body_at()]));
}

/// What a trusted writer could sign: still bounded, still consistent.
#[test]
fn signed_nonsense_is_refused() {
    let replaced = |from: &'static str, to: &'static str| move |json: &str| json.replace(from, to);
    let without = |field: &'static str| {
        move |json: &str| {
            let (before, rest) = json.split_once(&format!(",\"{field}\":{{")).unwrap();
            format!("{before}{}", rest.split_once('}').unwrap().1)
        }
    };
    let cases: Vec<Nonsense> = vec![
        ("piece", "longer than its content", Box::new(replaced("\"plain_bytes\":1048576", "\"plain_bytes\":1048577"))),
        ("piece", "two pieces", Box::new(replaced("\"end\":\"0/400000\"", "\"end\":\"0/500000\""))),
        ("piece", "no piece", Box::new(replaced("\"start\":\"0/300000\"", "\"start\":\"0/300001\""))),
        ("piece", "backwards", Box::new(replaced("\"start\":\"0/300000\"", "\"start\":\"0/500000\""))),
        ("piece", "timeline 0", Box::new(replaced("\"timeline\":2", "\"timeline\":0"))),
        ("piece", "segments of 3 MiB", Box::new(replaced("\"segment_bytes\":1048576", "\"segment_bytes\":3145728"))),
        ("piece", "no digest", Box::new(without("plain"))),
        ("piece", "commits backwards", Box::new(replaced("03:15:07.25Z", "03:14:07.25Z"))),
        ("piece", "an unknown field", Box::new(replaced("{\"repository\"", "{\"more\":1,\"repository\""))),
        ("piece", "a number for text", Box::new(replaced("\"7432109876543210987\"", "7432109876543210987"))),
        ("piece", "no base64", Box::new(replaced("\"wrap\":\"", "\"wrap\":\"!"))),
        ("piece", "an absurd body", Box::new(|json: &str| json.replacen("\"bytes\":", "\"bytes\":99999999", 1))),
        (
            "history",
            "no ancestors",
            Box::new(|json: &str| {
                json.split(",\"ancestors\"").next().unwrap().to_owned() + &json[json.find("]}}").unwrap() + 1..]
            }),
        ),
        ("partial", "a copy of a partial", Box::new(|json: &str| copied(json, ORIGINAL))),
        ("piece", "a copy of nothing", Box::new(|json: &str| copied(json, "00"))),
        ("history", "ancestors in no order", Box::new(replaced("{\"timeline\":1,", "{\"timeline\":2,"))),
        (
            "history",
            "another timeline",
            Box::new(replaced("\"name\":\"00000003.history\"", "\"name\":\"00000004.history\"")),
        ),
        ("history", "a segment as a file", Box::new(replaced("00000003.history", "000000030000000000000001"))),
        (
            "backup-history",
            "a path",
            Box::new(replaced("000000020000000000000003.00000028.backup", "../00000003.backup")),
        ),
    ];
    for (name, case, edit) in cases {
        let (object, writer) = forged(name, edit);
        let refused = read(&object, &[*writer.public()]);
        assert!(matches!(refused, Err(Error::Malformed { .. } | Error::Absurd { .. })), "{name}, {case}: {refused:?}");
    }
    // The edits themselves are not what is refused.
    let (object, writer) = forged("piece", |json| copied(json, ORIGINAL));
    assert!(read(&object, &[*writer.public()]).unwrap().copy_of.is_some());
    let (object, writer) = forged("piece", replaced("\"stonewal\":\"0", "\"stonewal\":\"9"));
    read(&object, &[*writer.public()]).unwrap();
}

#[test]
fn lengths_are_bounded_before_they_are_believed() {
    let golden = golden_wal("history");
    for (at, value, expected) in [
        (8, [0, 0, 0, 2], Error::Version { what: "WAL object", version: 2 }),
        (12, [0xff; 4], Error::Absurd { what: "WAL object header", claimed: 0xffff_ffff, max: 8080 }),
        (12, [0, 0, 0x1f, 0x91], Error::Absurd { what: "WAL object header", claimed: 8081, max: 8080 }),
        (12, [0, 0, 0x1f, 0x90], Error::Short("WAL object")),
    ] {
        let mut bent = golden.object.clone();
        bent[at..at + 4].copy_from_slice(&value);
        assert_eq!(WalHead::read(&bent, &golden.trusted).unwrap_err(), expected);
    }
}

proptest::proptest! {
    /// Whatever comes, nothing panics, and nothing is believed.
    #[test]
    fn junk_is_no_wal(junk in proptest::collection::vec(proptest::num::u8::ANY, 0..3000)) {
        let golden = golden_wal("history");
        assert!(WalHead::read(&junk, &golden.trusted).is_err());
        assert!(WalHead::read(&[b"stwlwal1\0\0\0\x01", &junk[..]].concat(), &golden.trusted).is_err());
        let _ = History::parse(Timeline::new(3).unwrap(), &junk);
        CommitScanner::new(Lsn::new(8192)).feed(&junk);
    }
}
