//! What a thief of the backup host, or of the bucket, can read: nothing.

use std::io::Read as _;

use secrecy::SecretString;
use stonewal::commands::{Class, Error, Which};
use stonewal::format::chunk::Chunk;
use stonewal::format::seal::StreamKey;
use stonewal::format::{ChunkHeader, Codec, DataKey, KeyId};
use stonewal::keys::{self, Bundle, Identity};
use stonewal::store::roles::Role;
use stonewal::store::{Entry, Read as _};
use stonewal::verify::Level;
use zeroize::Zeroizing;

use super::stage::{MARKER, Stage, encoding, run_backup};

/// Every object with its bytes, read with the credentials of `role`.
async fn objects(stage: &Stage, role: Role) -> Vec<(Entry, bytes::Bytes)> {
    let store = stage.connected(role).await.store;
    let mut objects = Vec::new();
    for entry in stage.entries().await {
        let bytes = store.get(&entry.key, &entry.version, 0..entry.bytes).await.unwrap();
        objects.push((entry, bytes));
    }
    objects
}

/// Everything of the writer file that could be a key or a passphrase.
fn secrets(stage: &Stage) -> Vec<String> {
    let text = std::fs::read_to_string(stage.writer_path("db1")).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let strings = table.values().flat_map(|value| match value {
        toml::Value::Array(values) => values.clone(),
        other => vec![other.clone()],
    });
    let strings: Vec<String> = strings.filter_map(|value| value.as_str().map(str::to_owned)).collect();
    assert!(strings.iter().any(|secret| secret.starts_with("AGE-SECRET-KEY-1")), "the metadata identity is among them");
    assert!(strings.len() >= 5);
    strings
}

/// Data keys that any 32 bytes among `secrets` may be.
fn keys_of(secrets: &[String]) -> Vec<DataKey> {
    let hexadecimal = |text: &String| -> Option<Zeroizing<[u8; 32]>> {
        let bytes = (0..32).map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok());
        Some(Zeroizing::new(bytes.collect::<Option<Vec<_>>>()?.try_into().ok()?))
    };
    secrets.iter().filter_map(hexadecimal).map(DataKey::new).collect()
}

/// Whether one of `keys` opens a chunk.
fn opens(body: &bytes::Bytes, keys: &[DataKey]) -> bool {
    let (header, _) = ChunkHeader::decode(body).unwrap();
    keys.iter().any(|key| {
        let stream = StreamKey::new(key, &header.stream).unwrap();
        Chunk::read(body, &header, &stream).is_ok()
    })
}

/// The id in `flow/keys/<id>/…`.
fn key_id(key: &str) -> Option<KeyId> {
    key.strip_prefix("flow/keys/")?.split('/').next()?.parse().ok()
}

/// PAINS B16. Every secret of the host is tried on every object that its credentials can read.
#[tokio::test]
async fn i07_the_whole_configuration_of_a_backup_host_decrypts_no_byte() {
    let Some(stage) = Stage::new("i07_configuration", |_| ()).await else { return };
    let made = stage.backup().await;
    let shown = stage.show(Role::Reader, Stage::passphrase(), Which::Latest).await;
    let secrets = secrets(&stage);
    let metadata = stage.writer_file().metadata;
    let mut keys = keys_of(&secrets);
    let (mut chunks, mut refused, mut opened) = (0, 0, 0);
    let objects = objects(&stage, Role::Writer).await;
    for (entry, bytes) in &objects {
        let key = entry.key.as_str();
        if let Some(id) = key_id(key) {
            let ours = id == shown.clear.metadata_key.id;
            match keys::unwrap(bytes, std::slice::from_ref(&metadata), id) {
                Ok(key) => {
                    assert!(ours, "{key:?} is not for this host");
                    opened += 1;
                    keys.push(key);
                }
                Err(error) => {
                    assert!(!ours && matches!(error, keys::Error::NotARecipient { .. }), "{key}: {error}");
                    refused += 1;
                }
            }
        } else if key.starts_with("flow/identities/") {
            for secret in &secrets {
                assert!(Bundle::open(bytes, &SecretString::from(secret.clone())).is_err(), "{key}");
            }
        }
    }
    assert_eq!((opened, refused), (1, 1), "one metadata key and no payload key");
    for (entry, bytes) in objects.iter().filter(|(entry, _)| entry.key.as_str().contains("/dump/")) {
        assert!(!opens(bytes, &keys), "{}", entry.key);
        chunks += 1;
    }
    assert_eq!(chunks + 1, made.chunks, "every chunk but the one of the globals");
    // The same attempt with the right key opens them all, so the attempts above mean something.
    let bundle = objects.iter().find(|(entry, _)| entry.key.as_str().starts_with("flow/identities/")).unwrap();
    let identity: Identity = Bundle::open(&bundle.1, &super::stage::PASSPHRASE.into()).unwrap().identity;
    let payload = shown.clear.payload_key.id;
    let wrap = objects.iter().find(|(entry, _)| key_id(entry.key.as_str()) == Some(payload)).unwrap();
    let right = [keys::unwrap(&wrap.1, &[identity], payload).unwrap()];
    assert!(
        objects.iter().filter(|(entry, _)| entry.key.as_str().contains("/dump/")).all(|(_, body)| opens(body, &right))
    );
}

#[tokio::test]
async fn i07_commands_with_a_writer_file_refuse_to_read() {
    let Some(stage) = Stage::new("i07_commands", |_| ()).await else { return };
    stage.backup().await;
    let (bytes, ended) = stage.restored(Which::Latest, |options| options.access = stage.writer_access()).await;
    let error = ended.unwrap_err();
    assert!(bytes.is_empty() && error.class() == Class::Integrity, "{error}");
    assert!(error.hint().unwrap().contains("passphrase"), "{error}");
    let refused = stage.verify(Role::Writer, stage.writer_access(), Level::Decrypt).await.unwrap_err();
    assert!(matches!(refused, Error::Usage(_)), "{refused}");
}

/// Words that only the plain dump has.
const MARKERS: [&str; 5] = [MARKER, "PostgreSQL database dump", "COPY public", "CREATE TABLE", "CREATE ROLE"];

fn has_marker(bytes: &[u8]) -> bool {
    MARKERS.iter().any(|marker| memchr::memmem::find(bytes, marker.as_bytes()).is_some())
}

/// Whether a marker stands in `bytes`, in clear or in anything that looks like a gzip member.
fn shows(bytes: &[u8]) -> bool {
    has_marker(bytes)
        || memchr::memmem::find_iter(bytes, b"\x1f\x8b\x08").any(|at| {
            let mut plain = Vec::new();
            // A member that breaks off still shows what it held.
            let _ = flate2::read::GzDecoder::new(&bytes[at..]).take(1 << 20).read_to_end(&mut plain);
            has_marker(&plain)
        })
}

/// PAINS A10.
#[tokio::test]
async fn no_stored_object_shows_a_word_of_the_dump_in_clear_or_compressed() {
    let Some(stage) = Stage::new("no_stored_object", |_| ()).await else { return };
    for codec in [Codec::None, Codec::Gzip] {
        let mut options = stage.backup_options();
        options.encoding = encoding(codec);
        run_backup(options).await.unwrap();
    }
    let plain = stage.bytes(Which::Latest).await;
    assert!(
        shows(&plain) && shows(&[b"junk".as_slice(), &Codec::Gzip.compress(&plain[..1 << 19], 3).unwrap()].concat())
    );
    let objects = objects(&stage, Role::Admin).await;
    assert!(objects.len() > 12);
    for (entry, bytes) in &objects {
        assert!(!shows(bytes), "{}", entry.key);
        assert!(memchr::memmem::find(entry.key.as_str().as_bytes(), MARKER.as_bytes()).is_none());
    }
}
