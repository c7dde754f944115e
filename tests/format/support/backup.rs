//! A whole repository with one backup, made by the library in a bucket in memory.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::SecretString;
use stonewal::catalog::{found, publish_certificate};
use stonewal::format::manifest::{
    BACKUP_MANIFEST_STREAM, BaseFacts, BaseRange, ClearPart, KeyRecord, Kind, Manifest, SealedPart,
};
use stonewal::format::{Codec, DataKey, ObjectRecord, Place, StreamRecord};
use stonewal::keys::{
    self, Bundle, Identity, Recipient, RecoveryFile, WriterFile, WriterKey, data_key, repository_id, tag, wrap,
};
use stonewal::observe::Progress;
use stonewal::pipeline::{Encoding, StreamWriter, Target};
use stonewal::store::memory::Memory;
use stonewal::store::{Append as _, ObjectKey, Put};

use super::{name, place, secret};

pub(crate) const PASSPHRASE: &str = "granite does not burn";

/// The bucket, the keys to it, and the key of the manifest.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) store: Arc<Memory>,
    pub(crate) recovery: SecretString,
    pub(crate) writer: SecretString,
    pub(crate) manifest: ObjectKey,
}

/// Who signs the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signer {
    Root,
    Host,
}

/// Makes a repository and one backup of `streams` in chunks of at most `chunk_bytes`.
pub(crate) async fn make(signer: Signer, codec: Codec, chunk_bytes: usize, streams: &[(&str, &[u8])]) -> Made {
    make_of(signer, codec, chunk_bytes, streams, None).await
}

/// The same of a base backup, if `base` describes one.
pub(crate) async fn make_of(
    signer: Signer,
    codec: Codec,
    chunk_bytes: usize,
    streams: &[(&str, &[u8])],
    base: Option<(BaseRange, BaseFacts)>,
) -> Made {
    let store = Arc::new(Memory::default());
    let offline = Identity::generate();
    let bundle = Bundle::generate(repository_id().unwrap(), vec![offline.recipient()], Timestamp::UNIX_EPOCH).unwrap();
    let bundle = Arc::new(bundle);
    let place = place(bundle.repository);
    let stored = found(&*store, &place.names, &bundle, secret(PASSPHRASE), None).await.unwrap();
    let fingerprint = place.names.fingerprint_of(stored.as_str()).unwrap();
    let (host, certificate) = WriterFile::generate(&bundle, fingerprint, "db1").unwrap();
    publish_certificate(&*store, &place.names, &bundle, &certificate, None).await.unwrap();
    let recovery = RecoveryFile {
        repository: bundle.repository,
        root: *bundle.writer.public(),
        identity: offline,
        former: Vec::new(),
    };

    let (payload, metadata) = (data_key().unwrap(), data_key().unwrap());
    let mut metadata_recipients = host.recipients.clone();
    metadata_recipients.push(host.metadata.recipient());
    let payload_key = store_wrap(&store, &place, &payload, &host.recipients).await;
    let metadata_key = store_wrap(&store, &place, &metadata, &metadata_recipients).await;
    let target = target(&store, &place, chunk_bytes);
    let mut records = Vec::new();
    for (stream, plain) in streams {
        let key = if *stream == BACKUP_MANIFEST_STREAM { &metadata } else { &payload };
        records.push(write(&target, stream, codec, key, plain).await);
    }
    let mut clear = clear(&place, payload_key, metadata_key, records);
    let mut sealed = SealedPart::default();
    if let Some((range, facts)) = base {
        (clear.kind, clear.base, sealed.base) = (Kind::Base, Some(range), Some(facts));
    }
    let signing = if signer == Signer::Root { &bundle.writer } else { &host.writer };
    let body = sign_of(&clear, &sealed, &metadata, signing).unwrap();
    let manifest = ObjectKey::new(place.names.manifest(&place.cluster, &place.backup, clear.manifest));
    store.put(Put { key: manifest.clone(), body: body.into(), lock: None }).await.unwrap();
    Made { writer: host.encode().unwrap(), recovery: recovery.encode(), store, manifest }
}

pub(crate) fn target(store: &Arc<Memory>, place: &Place, chunk_bytes: usize) -> Arc<Target> {
    let (store, place, progress) = (store.clone(), place.clone(), Progress::new());
    Arc::new(Target { store, place, lock: None, chunk_bytes, uploads: 2, progress })
}

/// Sends `plain` through the real writer.
pub(crate) async fn write(
    target: &Arc<Target>,
    stream: &str,
    codec: Codec,
    key: &DataKey,
    plain: &[u8],
) -> StreamRecord {
    let encoding = Encoding { codec, level: codec.default_level() };
    let mut writer = StreamWriter::new(target.clone(), name(stream), encoding, key).unwrap();
    writer.write(plain).await.unwrap();
    let (sealed, stored) = writer.finish().await.unwrap();
    assert_eq!(sealed.into_counts().0, plain.len() as u64);
    stored.into_record()
}

pub(crate) async fn store_wrap(store: &Memory, place: &Place, key: &DataKey, recipients: &[Recipient]) -> KeyRecord {
    let tag = keys::tag().unwrap();
    let object = ObjectKey::new(place.names.wrap(key.id(), tag));
    let body = wrap(key, recipients).unwrap().into();
    let stored = store.put(Put { key: object, body, lock: None }).await.unwrap();
    KeyRecord { id: key.id(), wrap: ObjectRecord { tag, version: stored.version.as_str().to_owned() } }
}

pub(crate) fn clear(
    place: &Place,
    payload_key: KeyRecord,
    metadata_key: KeyRecord,
    streams: Vec<StreamRecord>,
) -> ClearPart {
    ClearPart {
        repository: place.repository,
        cluster: place.cluster.clone(),
        system_identifier: Some(7_432_109_876_543_210_987),
        backup: place.backup.clone(),
        manifest: tag().unwrap(),
        kind: Kind::Dump,
        started_at: "2026-11-24T03:15:00Z".parse().unwrap(),
        finished_at: "2026-11-24T03:15:07.25Z".parse().unwrap(),
        stonewal: "0.1.0".into(),
        server_version: "15.14".into(),
        timeline: Some(1),
        lsn: Some("0/16B3748".into()),
        base: None,
        copy_of: None,
        lock: None,
        payload_key,
        metadata_key,
        streams,
    }
}

pub(crate) fn sign(clear: &ClearPart, metadata: &DataKey, writer: &WriterKey) -> Vec<u8> {
    sign_of(clear, &SealedPart::default(), metadata, writer).unwrap()
}

pub(crate) fn sign_of(
    clear: &ClearPart,
    sealed: &SealedPart,
    metadata: &DataKey,
    writer: &WriterKey,
) -> Result<Vec<u8>, stonewal::format::Error> {
    Manifest::encode(clear, sealed, metadata, writer.public(), |message| writer.sign(message))
}
