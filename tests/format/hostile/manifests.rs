//! Manifests bent by anyone, and manifests signed by a trusted writer gone bad.

use stonewal::format::manifest::{ClearPart, KeyRecord, Manifest, RepositoryRecord};
use stonewal::format::signed::{self, Purpose};
use stonewal::format::{DataKey, Error, ObjectRecord, RepositoryId, Tag, WriterPublic};
use stonewal::keys::{WriterKey, data_key};

use crate::support::backup::{clear, sign};
use crate::vectors::golden;

struct Forge {
    root: WriterKey,
    metadata: DataKey,
    clear: ClearPart,
    good: Vec<u8>,
}

impl Forge {
    fn new() -> Self {
        let set = golden("gzip-chunks");
        let (root, metadata) = (WriterKey::generate().unwrap(), data_key().unwrap());
        let record = |id| KeyRecord { id, wrap: ObjectRecord { tag: Tag::new([0; 8]), version: "v".into() } };
        let clear = clear(&set.place, record(set.key.id()), record(metadata.id()), vec![set.record]);
        let good = sign(&clear, &metadata, &root);
        Self { root, metadata, clear, good }
    }

    fn decode(&self, bytes: &[u8]) -> Result<Manifest, Error> {
        Manifest::decode(bytes, &[*self.root.public()])
    }

    /// Bytes that the root signs as `purpose`, whatever they are.
    fn signed(&self, purpose: Purpose, payload: &[u8]) -> Vec<u8> {
        signed::seal(purpose, payload.to_vec(), self.root.public(), |message| self.root.sign(message))
    }

    /// The good manifest's payload: without writer and signature.
    fn payload(&self) -> Vec<u8> {
        self.good[..self.good.len() - 96].to_vec()
    }

    fn clear_bytes(&self) -> usize {
        u32::from_be_bytes(self.good[12..16].try_into().unwrap()) as usize
    }

    /// The good manifest with another clear text, signed by the root.
    fn with_clear(&self, text: &str) -> Vec<u8> {
        let mut payload = self.good[..12].to_vec();
        payload.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        payload.extend(text.as_bytes());
        payload.extend(&self.payload()[16 + self.clear_bytes()..]);
        self.signed(Purpose::Manifest, &payload)
    }
}

#[test]
fn a_good_manifest_opens() {
    let forge = Forge::new();
    let manifest = forge.decode(&forge.good).unwrap();
    assert_eq!((manifest.clear(), manifest.writer()), (&forge.clear, forge.root.public()));
    manifest.open(&forge.metadata).unwrap();
    assert!(matches!(manifest.open(&data_key().unwrap()), Err(Error::ManifestForged)));
}

#[test]
fn i06_every_bit_of_a_manifest_is_signed() {
    let forge = Forge::new();
    for at in 0..forge.good.len() {
        let mut bent = forge.good.clone();
        bent[at] ^= 1 << (at % 8);
        let expected = if at < 8 { Error::NotOurs("manifest") } else { Error::Signature("manifest") };
        assert_eq!(forge.decode(&bent).unwrap_err(), expected, "byte {at}");
    }
}

#[test]
fn i06_a_manifest_cut_anywhere_is_refused() {
    let forge = Forge::new();
    for end in 0..forge.good.len() {
        let error = forge.decode(&forge.good[..end]).unwrap_err();
        let expected = match end {
            0..8 => Error::NotOurs("manifest"),
            8..96 => Error::Short("manifest"),
            _ => Error::Signature("manifest"),
        };
        assert_eq!(error, expected, "cut at {end}");
    }
    assert_eq!(forge.decode(&[&forge.good[..], b"x"].concat()).unwrap_err(), Error::Signature("manifest"));
}

#[test]
fn i06_only_trusted_writers_and_the_right_purpose_count() {
    let forge = Forge::new();
    let stranger = WriterKey::generate().unwrap();
    let forged = sign(&forge.clear, &forge.metadata, &stranger);
    assert!(
        matches!(forge.decode(&forged), Err(Error::UntrustedWriter { writer, .. }) if writer == stranger.public().id())
    );
    // The stranger's signature under the root's name.
    let mut borrowed = forged.clone();
    let at = borrowed.len() - 96;
    borrowed[at..at + WriterPublic::BYTES].copy_from_slice(forge.root.public().as_bytes());
    assert_eq!(forge.decode(&borrowed).unwrap_err(), Error::Signature("manifest"));
    for purpose in [Purpose::Writer, Purpose::Repository] {
        let other = forge.signed(purpose, &forge.payload());
        assert_eq!(forge.decode(&other).unwrap_err(), Error::Signature("manifest"), "{purpose:?}");
    }
    assert!(matches!(Manifest::decode(&forge.good, &[]), Err(Error::UntrustedWriter { .. })));
}

/// Name, payload, and what the fault is called.
type Nonsense = (&'static str, fn(&Forge) -> Vec<u8>, fn(&Error) -> bool);

/// What a trusted writer could sign: still bounded, still consistent.
#[test]
fn signed_nonsense_is_refused() {
    let table: &[Nonsense] = &[
        (
            "version",
            |f| [b"stwlmnft\0\0\0\x02", &f.payload()[12..]].concat(),
            |e| *e == Error::Version { what: "manifest", version: 2 },
        ),
        (
            "clear length, absurd",
            |f| [&f.payload()[..12], b"\xff\xff\xff\xff", &f.payload()[16..]].concat(),
            |e| matches!(e, Error::Absurd { what: "manifest part", claimed: 0xffff_ffff, .. }),
        ),
        (
            "clear length, too long",
            |f| [&f.payload()[..12], b"\0\x0f\xff\xff", &f.payload()[16..]].concat(),
            |e| *e == Error::Short("manifest"),
        ),
        ("no parts", |f| f.payload()[..12].to_vec(), |e| *e == Error::Short("manifest")),
        ("no sealed part", |f| f.payload()[..16 + f.clear_bytes()].to_vec(), |e| *e == Error::Short("manifest")),
        ("sealed part cut", |f| f.payload()[..f.payload().len() - 1].to_vec(), |e| *e == Error::Short("manifest")),
        (
            "bytes after the parts",
            |f| [&f.payload()[..], b"x"].concat(),
            |e| matches!(e, Error::Malformed { what: "manifest", .. }),
        ),
        ("nothing but magic", |_| b"stwlmnft".to_vec(), |e| *e == Error::Short("manifest")),
    ];
    for (case, bend, expected) in table {
        let forge = Forge::new();
        let error = forge.decode(&forge.signed(Purpose::Manifest, &bend(&forge))).unwrap_err();
        assert!(expected(&error), "{case}: {error:?}");
    }
}

/// Name, what is replaced in the good text, by what, and what the fault is called.
type Contradiction<'a> = (&'a str, &'a str, &'a str, &'a dyn Fn(&Error) -> bool);

/// Clear parts that contradict themselves: each by one change of the good text.
#[test]
fn signed_contradictions_are_refused() {
    let forge = Forge::new();
    let good = serde_json::to_string(&forge.clear).unwrap();
    assert!(forge.decode(&forge.with_clear(&good)).is_ok(), "the text is the clear part");
    let malformed = |e: &Error| matches!(e, Error::Malformed { what: "manifest", .. });
    let absurd = |e: &Error| matches!(e, Error::Absurd { .. });
    let table: &[Contradiction] = &[
        ("an unknown field", "\"kind\":", "\"more\":1,\"kind\":", &malformed),
        ("a beginning that is not its id's", "T03:15:00Z", "T03:15:01Z", &malformed),
        ("an unknown kind", "\"dump\",\"started_at\"", "\"base\",\"started_at\"", &malformed),
        ("an unknown codec", "\"gzip\"", "\"brotli\"", &malformed),
        ("a name with a slash", "\"name\":\"dump\"", "\"name\":\"../dump\"", &malformed),
        ("an id in capitals", "\"5a5a5a5a", "\"5A5a5a5a", &malformed),
        ("frames that do not add up", "\"frames\":5", "\"frames\":6", &malformed),
        ("frames that overflow", "\"frames\":2}", "\"frames\":18446744073709551615}", &absurd),
        ("a chunk without frames", "\"frames\":1}", "\"frames\":0}", &malformed),
        ("more bytes than frames hold", "\"plain_bytes\":4478", "\"plain_bytes\":5242881", &malformed),
        ("no chunks", "\"chunks\":[", "\"chunks\":[],\"_\":[", &malformed),
        ("a number as text", "\"frames\":5", "\"frames\":\"5\"", &malformed),
        ("not JSON", "{", "", &malformed),
        ("something after it", "}]}]}", "}]}]} {}", &malformed),
    ];
    for (case, from, to, expected) in table {
        assert!(good.contains(from), "{case}: {from} is not in {good}");
        let error = forge.decode(&forge.with_clear(&good.replacen(from, to, 1))).unwrap_err();
        assert!(expected(&error), "{case}: {error:?}");
    }
    let stream = good.split_once("\"streams\":[").unwrap().1.strip_suffix("]}").unwrap();
    let twice = good.replace(stream, &format!("{stream},{stream}"));
    assert!(malformed(&forge.decode(&forge.with_clear(&twice)).unwrap_err()), "a stream twice");
    let (head, tail) = good.split_once("\"bytes\":").unwrap();
    let tail = tail.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let huge = format!("{head}\"bytes\":9223372036854775807{tail}");
    assert!(absurd(&forge.decode(&forge.with_clear(&huge)).unwrap_err()), "a chunk too long to hold");
}

/// Neither part can be paired with another, even by the root.
#[test]
fn parts_of_two_manifests_cannot_be_paired() {
    let forge = Forge::new();
    let mut other = forge.clear.clone();
    other.timeline = Some(2);
    let text = serde_json::to_string(&other).unwrap();
    let paired = forge.decode(&forge.with_clear(&text)).unwrap();
    assert_eq!(paired.open(&forge.metadata).unwrap_err(), Error::ManifestForged);
}

/// What would be refused when read is refused when written.
#[test]
fn a_manifest_that_cannot_be_read_is_not_written() {
    let forge = Forge::new();
    let mut clear = forge.clear.clone();
    clear.streams[0].frames += 1;
    let sealed = stonewal::format::manifest::SealedPart::default();
    let made = Manifest::encode(&clear, &sealed, &forge.metadata, forge.root.public(), |m| forge.root.sign(m));
    assert!(matches!(made, Err(Error::Malformed { .. })), "{made:?}");
}

#[test]
fn repository_records_are_signed_and_versioned() {
    let forge = Forge::new();
    let record = |format| RepositoryRecord {
        format,
        repository: RepositoryId::new([4; 16]),
        created_at: jiff::Timestamp::UNIX_EPOCH,
    };
    let encode = |format| record(format).encode(forge.root.public(), |message| forge.root.sign(message)).unwrap();
    let trusted = [*forge.root.public()];
    let good = encode(1);
    assert_eq!(RepositoryRecord::decode(&good, &trusted).unwrap(), record(1));
    let newer = RepositoryRecord::decode(&encode(2), &trusted).unwrap_err();
    assert_eq!(newer, Error::Version { what: "repository", version: 2 });
    for at in 0..good.len() {
        let mut bent = good.clone();
        bent[at] ^= 1;
        assert_eq!(RepositoryRecord::decode(&bent, &trusted).unwrap_err(), Error::Signature("repository record"));
        assert!(RepositoryRecord::decode(&good[..at], &trusted).is_err());
    }
}
