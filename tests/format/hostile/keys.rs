//! Key objects bent or planted.

use stonewal::format::roster::{Roster, RosterBundle, RosterRecipient};
use stonewal::format::signed::Purpose;
use stonewal::format::{self, RepositoryId, Tag};
use stonewal::keys::{
    Bundle, Certificate, Error, Identity, RecoveryFile, WriterFile, WriterKey, data_key, unwrap, wrap,
};

use crate::support::secret;
use crate::vectors::golden_bucket;

/// The golden identity bundle and the first wrap.
fn stored() -> (Vec<u8>, Vec<u8>) {
    let all = golden_bucket("signed-by-root").dump();
    let find = |folder: &str| all.iter().find(|(key, ..)| key.as_str().contains(folder)).unwrap().2.to_vec();
    (find("identities/"), find("keys/"))
}

#[test]
fn the_wrong_passphrase_is_named() {
    let (bundle, _) = stored();
    assert!(matches!(Bundle::open(&bundle, &secret("granite burns")), Err(Error::WrongPassphrase)));
    // An age file for somebody's X25519 identity, where a passphrase file is expected.
    let other = wrap(&data_key().unwrap(), &[Identity::generate().recipient()]).unwrap();
    assert!(matches!(Bundle::open(&other, &secret("x")), Err(Error::WrongPassphrase)));
}

/// A planted bundle may not cost minutes or gigabytes: refused before any of the work is done.
#[test]
fn absurd_scrypt_costs_are_refused_at_once() {
    let (bundle, _) = stored();
    let text = String::from_utf8_lossy(&bundle[..120]).into_owned();
    let line = text.lines().find(|line| line.starts_with("-> scrypt ")).unwrap();
    for cost in ["19", "30", "63"] {
        let costly = format!("{} {cost}", line.rsplit_once(' ').unwrap().0);
        let at = text.find(line).unwrap();
        let bent = [&bundle[..at], costly.as_bytes(), &bundle[at + line.len()..]].concat();
        let error = Bundle::open(&bent, &secret("x")).unwrap_err();
        assert!(matches!(error, Error::ExcessiveWork { max: 18, .. }), "{cost}: {error:?}");
    }
    for nonsense in ["64", "255", "-1", "017", "17 17", ""] {
        let bent = text.replace(line, &format!("{} {nonsense}", line.rsplit_once(' ').unwrap().0));
        let error = Bundle::open(bent.as_bytes(), &secret("x")).unwrap_err();
        assert!(matches!(error, Error::Age { .. } | Error::ExcessiveWork { .. } | Error::WrongPassphrase), "{error:?}");
    }
}

#[test]
fn a_bundle_that_was_cut_is_refused() {
    let (bundle, _) = stored();
    for end in [0, 10, 21, 60, 100, 160, bundle.len() - 20, bundle.len() - 1] {
        let error = Bundle::open(&bundle[..end], &secret(crate::support::backup::PASSPHRASE)).unwrap_err();
        assert!(matches!(error, Error::Age { .. } | Error::WrongPassphrase), "cut at {end}: {error:?}");
    }
}

#[test]
fn a_planted_wrap_is_named() {
    let (identity, stranger) = (Identity::generate(), Identity::generate());
    let (ours, planted) = (data_key().unwrap(), data_key().unwrap());
    let wrapped = wrap(&planted, &[identity.recipient()]).unwrap();
    let open = |wrapped: &[u8], with: &Identity| unwrap(wrapped, std::slice::from_ref(with), ours.id()).map(drop);
    assert!(matches!(open(&wrapped, &identity), Err(Error::WrongKey { .. })));
    assert!(matches!(open(&wrapped, &stranger), Err(Error::NotARecipient { .. })));
    let (_, golden) = stored();
    assert!(matches!(open(&golden, &stranger), Err(Error::NotARecipient { .. })));
    assert!(matches!(open(b"age-encryption.org/v1\n", &identity), Err(Error::Age { .. })));
    assert!(matches!(open(b"", &identity), Err(Error::Age { .. })));
}

#[test]
fn i06_certificates_are_for_one_repository_and_one_purpose() {
    let root = WriterKey::generate().unwrap();
    let (repository, writer) = (RepositoryId::new([3; 16]), *WriterKey::generate().unwrap().public());
    let certificate = Certificate { repository, name: "db1".into(), writer };
    let good = certificate.encode(&root).unwrap();
    assert_eq!(Certificate::decode(&good, repository, root.public()).unwrap(), certificate);
    let elsewhere = Certificate::decode(&good, RepositoryId::new([4; 16]), root.public()).unwrap_err();
    assert!(matches!(elsewhere, Error::File { what: "writer certificate", .. }), "{elsewhere:?}");
    let stranger = WriterKey::generate().unwrap();
    let forged = certificate.encode(&stranger).unwrap();
    let refused = Certificate::decode(&forged, repository, root.public()).unwrap_err();
    assert!(matches!(refused, Error::Format(format::Error::UntrustedWriter { .. })), "{refused:?}");
    for at in 0..good.len() {
        let mut bent = good.clone();
        bent[at] ^= 1;
        let refused = Certificate::decode(&bent, repository, root.public()).unwrap_err();
        assert!(matches!(refused, Error::Format(format::Error::Signature("writer certificate"))), "{at}: {refused:?}");
    }
    let json = &good[..good.len() - 96];
    let manifest = format::signed::seal(Purpose::Manifest, json.to_vec(), root.public(), |message| root.sign(message));
    let refused = Certificate::decode(&manifest, repository, root.public()).unwrap_err();
    assert!(matches!(refused, Error::Format(format::Error::Signature(_))), "{refused:?}");
}

#[test]
fn i06_rosters_are_for_one_repository_and_one_purpose() {
    let root = WriterKey::generate().unwrap();
    let (repository, since) = (RepositoryId::new([3; 16]), "2026-11-24T03:15:00Z".parse().unwrap());
    let identity = Identity::generate().recipient().to_string();
    let roster = Roster {
        format: Roster::FORMAT,
        repository,
        generation: 1,
        made_at: since,
        recipients: vec![RosterRecipient { recipient: identity.clone(), name: None, since }],
        identity,
        bundles: vec![RosterBundle { fingerprint: Tag::new([1; 8]), name: Some("first".into()), since }],
        retired: Vec::new(),
    };
    let good = roster.encode(root.public(), |message| root.sign(message)).unwrap();
    assert_eq!(Roster::decode(&good, repository, root.public()).unwrap(), roster);
    assert!(Roster::decode(&good, RepositoryId::new([4; 16]), root.public()).is_err());
    let stranger = WriterKey::generate().unwrap();
    let forged = roster.encode(stranger.public(), |message| stranger.sign(message)).unwrap();
    let refused = Roster::decode(&forged, repository, root.public()).unwrap_err();
    assert!(matches!(refused, format::Error::UntrustedWriter { .. }), "{refused:?}");
    for at in 0..good.len() {
        let mut bent = good.clone();
        bent[at] ^= 1;
        let refused = Roster::decode(&bent, repository, root.public()).unwrap_err();
        assert!(matches!(refused, format::Error::Signature("roster")), "{at}: {refused:?}");
    }
    let seal = |purpose, json: &[u8]| {
        format::signed::seal(purpose, json.to_vec(), root.public(), |message| root.sign(message))
    };
    let json = &good[..good.len() - 96];
    let as_other = Roster::decode(&seal(Purpose::Writer, json), repository, root.public()).unwrap_err();
    assert!(matches!(as_other, format::Error::Signature(_)), "{as_other:?}");
    let text = std::str::from_utf8(json).unwrap();
    let changes = [
        ("\"generation\":1", "\"generation\":0"),
        ("\"recipients\":[{", "\"recipients\":[],\"x\":[{"),
        ("\"name\":\"first\"", "\"name\":\"\\u001b[2J\""),
        ("\"identity\":\"age1", "\"identity\":\"age2"),
    ];
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        let bent = seal(Purpose::Roster, text.replacen(from, to, 1).as_bytes());
        assert!(Roster::decode(&bent, repository, root.public()).is_err(), "{to}");
    }
}

#[test]
fn key_files_say_what_they_lack() {
    let recovery = "# repository: a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5\n";
    for text in ["", recovery, "AGE-SECRET-KEY-1X"] {
        let refused = RecoveryFile::decode(&secret(text)).unwrap_err();
        assert!(matches!(refused, Error::File { .. }), "{refused:?}");
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/backups/signed-by-host/writer.toml");
    let good = std::fs::read_to_string(path).unwrap();
    for (from, to) in
        [("format = 1", "format = 2"), ("name =", "nam ="), ("AGE-SECRET", "AGE-SECRETE"), ("root = \"", "root = \"Z")]
    {
        assert!(good.contains(from), "{from}");
        let refused = WriterFile::decode(&secret(&good.replacen(from, to, 1))).unwrap_err();
        assert!(matches!(refused, Error::File { .. }), "{refused:?}");
        let (writer, _) = good.split_once("writer_secret = \"").map(|(_, rest)| rest.split_at(64)).unwrap();
        assert!(!refused.to_string().contains(writer), "{refused}");
    }
}
