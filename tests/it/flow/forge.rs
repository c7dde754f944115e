//! The attacker's workshop.

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use stonewal::catalog::Access;
use stonewal::commands::Connected;
use stonewal::format::manifest::{ClearPart, Manifest, RepositoryRecord, SealedPart};
use stonewal::format::{BackupId, RepositoryId, Tag};
use stonewal::keys::{self, Bundle, Certificate, Identity, WriterFile, WriterKey, tag};
use stonewal::store::roles::Role;
use stonewal::store::{Append as _, Entry, Error, Lock, LockMode, ObjectKey, Prune as _, Put, Read as _, Retain as _};

use super::stage::{Stage, cluster, run_backup};

/// Requests at once.
const BUSY: usize = 16;

/// Someone with the attacker's credentials, keys of their own, and what is public of the repository.
pub(super) struct Attacker<'a> {
    stage: &'a Stage,
    at: Connected,
    writer: WriterKey,
    clear: ClearPart,
    manifest: Bytes,
    recipients: Vec<keys::Recipient>,
    root: stonewal::format::WriterPublic,
    in_a_day: Timestamp,
}

impl<'a> Attacker<'a> {
    /// `clear` is the clear part of the newest manifest, which anyone may read.
    pub(super) async fn new(stage: &'a Stage, clear: ClearPart) -> Self {
        let at = stage.connected(Role::Attacker).await;
        let key = at.names.manifest(&clear.cluster, &clear.backup, clear.manifest);
        let entry = stage.entries().await.into_iter().find(|entry| entry.key.as_str() == key).unwrap();
        let manifest = at.store.get(&entry.key, &entry.version, 0..entry.bytes).await.unwrap();
        let file = stage.writer_file();
        let writer = WriterKey::generate().unwrap();
        let in_a_day = at.store.clock().now() + SignedDuration::from_hours(24);
        Self { stage, at, writer, clear, manifest, recipients: file.recipients, root: file.root, in_a_day }
    }

    async fn put(&self, key: impl Into<String>, body: impl Into<Bytes>) {
        let put = Put { key: ObjectKey::new(key), body: body.into(), lock: None };
        self.at.store.put(put).await.unwrap();
    }

    /// Deletes, bypasses, shortens, hides and overwrites every object, `times` over.
    pub(super) async fn destroy(&self, times: usize) {
        let entries = self.stage.entries().await;
        assert!(entries.len() > 14);
        stream::iter(&entries).for_each_concurrent(4, |entry| self.attempt(entry)).await;
        let junk = entries.iter().flat_map(|entry| (0..times).map(move |time| (entry, time)));
        stream::iter(junk)
            .for_each_concurrent(BUSY, |(entry, time)| async move {
                self.put(entry.key.as_str(), format!("junk {time}")).await;
                if time % 20 == 19 || time + 1 == times {
                    self.at.store.hide(&entry.key).await.unwrap();
                }
            })
            .await;
    }

    /// What the store must refuse.
    async fn attempt(&self, entry: &Entry) {
        let (store, key, version) = (&self.at.store, &entry.key, &entry.version);
        let soon = store.clock().now() + SignedDuration::from_secs(5);
        let lock = Lock { mode: LockMode::Governance, retain_until: soon };
        for attempt in [
            store.delete_version(key, version, false).await,
            store.delete_version(key, version, true).await,
            store.set_lock(key, version, lock).await,
        ] {
            let refused = matches!(attempt, Err(Error::Denied { .. } | Error::Refused { .. }));
            assert!(refused, "{key}: {attempt:?}");
        }
    }

    /// An id of tomorrow, which `latest` would take first.
    fn tomorrow(&self, number: u16) -> BackupId {
        let [high, low] = number.to_be_bytes();
        BackupId::new(self.in_a_day, [0xff, 0xff, high, low])
    }

    fn sign(&self, clear: &ClearPart) -> Vec<u8> {
        let key = keys::data_key().unwrap();
        let sign = |message: &[u8]| self.writer.sign(message);
        Manifest::encode(clear, &SealedPart::default(), &key, self.writer.public(), sign).unwrap()
    }

    /// Manifests that are junk, bent, copied, or signed by the attacker: in the newest backup's folder and in newer ones.
    pub(super) async fn forge_manifests(&self) {
        let mut bodies = vec![Bytes::new(), Bytes::from_static(b"junk"), Bytes::from_static(b"stwlmnft\0\0\0\x01junk")];
        bodies.push(self.manifest.clone());
        bodies.push(self.manifest.slice(..self.manifest.len() - 1));
        let step = self.manifest.len() / 12;
        bodies.extend((0..12).map(|piece| {
            let mut bent = self.manifest.to_vec();
            bent[piece * step] ^= 1;
            Bytes::from(bent)
        }));
        bodies.push(self.sign(&self.clear).into());
        let places = std::iter::once(self.clear.backup.clone()).chain((0..3).map(|number| self.tomorrow(number)));
        for backup in places {
            for body in &bodies {
                self.put(self.at.names.manifest(&cluster(), &backup, tag().unwrap()), body.clone()).await;
            }
            // One that says the right things of itself; only the signature is not one of ours.
            let at = if backup == self.clear.backup { self.clear.started_at } else { self.in_a_day };
            let (manifest, started_at, finished_at) = (tag().unwrap(), at, at);
            let clear = ClearPart { backup: backup.clone(), manifest, started_at, finished_at, ..self.clear.clone() };
            self.put(self.at.names.manifest(&cluster(), &backup, clear.manifest), self.sign(&clear)).await;
        }
    }

    /// Certificates, bundles, wraps and records by the attacker.
    pub(super) async fn forge_keys(&self) {
        let (names, repository) = (&self.at.names, self.clear.repository);
        let certificate = Certificate { repository, name: "db1".into(), writer: *self.writer.public() };
        let certificate = certificate.encode(&self.writer).unwrap();
        let genuine = self.stage.writer_file().writer.public().id();
        for id in [self.writer.public().id(), genuine, self.root.id()] {
            self.put(names.writer(&id, tag().unwrap()), certificate.clone()).await;
        }
        for _ in 0..3 {
            let bundle = Bundle::generate(repository, Vec::new(), self.clear.started_at).unwrap();
            let sealed = bundle.seal(&"the attacker's passphrase".into()).unwrap();
            self.put(names.identity(Bundle::fingerprint(&sealed), tag().unwrap()), sealed).await;
        }
        self.put(format!("{}junk", names.identities()), "junk").await;
        for key in [self.clear.payload_key.id, self.clear.metadata_key.id] {
            let other = keys::data_key().unwrap();
            self.put(names.wrap(key, tag().unwrap()), keys::wrap(&other, &self.recipients).unwrap()).await;
            self.put(names.wrap(key, tag().unwrap()), "junk").await;
        }
        for id in [repository, RepositoryId::new([7; 16])] {
            let record = RepositoryRecord {
                format: RepositoryRecord::FORMAT,
                repository: id,
                created_at: self.clear.started_at,
            };
            let sign = |message: &[u8]| self.writer.sign(message);
            self.put(names.repository(), record.encode(self.writer.public(), sign).unwrap()).await;
        }
    }

    /// A whole newer backup: real chunks, keys wrapped to the genuine recipients, a manifest in perfect form.
    pub(super) async fn publish_a_newer_backup(&self) {
        let file = WriterFile {
            name: "db1".into(),
            repository: self.clear.repository,
            root: self.root,
            bundle: Tag::new([0; 8]),
            recipients: self.recipients.clone(),
            writer: WriterKey::generate().unwrap(),
            metadata: Identity::generate(),
            certificate: None,
        };
        let mut options = self.stage.backup_options_with(Access::Writer(Box::new(file)));
        options.repository = self.stage.repository(Role::Attacker);
        options.dump.tables = vec!["*.\"Marmalade-4711\"".into()];
        let planted = run_backup(options).await.unwrap();
        assert!(planted.backup > self.clear.backup);
    }

    /// As many junk manifests, most of them where the newest backup is, the others in folders of their own.
    pub(super) async fn flood(&self, manifests: u16) {
        stream::iter(0..manifests)
            .for_each_concurrent(BUSY, |number| async move {
                let backup = if number % 4 == 0 { self.tomorrow(100 + number) } else { self.clear.backup.clone() };
                let key = self.at.names.manifest(&cluster(), &backup, tag().unwrap());
                self.put(key, format!("stwlmnft {number}")).await;
            })
            .await;
    }
}
