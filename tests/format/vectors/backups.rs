//! Whole buckets: bundle, record, certificate, wraps, chunks of two streams, manifest.

use std::sync::Arc;

use bytes::Bytes;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use stonewal::catalog::{Access, Repository};
use stonewal::format::{ClusterName, Codec, RepositoryId, names::Names};
use stonewal::keys::{RecoveryFile, WriterFile};
use stonewal::observe::Progress;
use stonewal::pipeline::StreamReader;
use stonewal::store::memory::Memory;
use stonewal::store::{ObjectKey, Read, VersionId};

use super::streams::write;
use super::{folder, updating};
use crate::support::backup::{Made, PASSPHRASE, Signer, make, make_of};
use crate::support::base;
use crate::support::set::drain;
use crate::support::{name, run, secret, sql};

#[derive(Serialize, Deserialize)]
struct Listed {
    key: String,
    version: String,
    file: String,
}

const GLOBALS: &[u8] = b"CREATE ROLE mason;\n";

fn dump() -> Vec<u8> {
    sql(2_500_000)
}

/// Name of the bucket, and who signed its manifest.
const BUCKETS: [(&str, Signer); 2] = [("signed-by-root", Signer::Root), ("signed-by-host", Signer::Host)];

/// Name of the bucket with a base backup.
const BASE_BUCKET: &str = "base-by-host";

#[test]
fn golden_base_backups_are_read_for_ever() {
    let (streams, range, facts) = base::sample();
    if updating() {
        run(async {
            let streams: Vec<(&str, &[u8])> = streams.iter().map(|(name, tar)| (*name, &tar[..])).collect();
            let base = Some((range.clone(), facts.clone()));
            keep(BASE_BUCKET, &make_of(Signer::Host, Codec::Gzip, 9000, &streams, base).await);
        });
    }
    run(async {
        let text =
            |file: &str| secret(&std::fs::read_to_string(folder("backups").join(BASE_BUCKET).join(file)).unwrap());
        let recovery = RecoveryFile::decode(&text("recovery.txt")).unwrap();
        let names = Names::new("pg").unwrap();
        let store = golden_bucket(BASE_BUCKET);
        let repository =
            Repository::open(store.clone(), names.clone(), Access::Recovery(recovery), BASE_BUCKET).await.unwrap();
        let (backup, findings) = repository.latest(&"main".parse().unwrap()).await.unwrap();
        assert_eq!((findings, backup.clear().base.as_ref()), (vec![], Some(&range)));
        let sealed = repository.sealed_part(&backup.manifest).await.unwrap();
        assert_eq!(sealed.base.as_ref(), Some(&facts));
        let keys = [
            repository.payload_key(&backup.clear().payload_key).await.unwrap(),
            repository.metadata_key(&backup.clear().metadata_key).await.unwrap(),
        ];
        for (stream, plain) in &streams {
            let record = backup.clear().stream(&name(stream)).unwrap().clone();
            let key = keys.iter().find(|key| key.id() == backup.clear().key_of(&record.name).id).unwrap();
            let reader = StreamReader::new(store.clone(), repository.place(&backup), record, key, 3, Progress::new());
            let (released, end) = drain(reader.unwrap()).await;
            end.unwrap();
            assert!(released == *plain, "{stream} came out otherwise");
        }
    });
}

#[test]
fn golden_backups_are_read_for_ever() {
    for (bucket, signer) in BUCKETS {
        if updating() {
            run(update(bucket, signer));
        }
        run(check(bucket));
    }
}

async fn update(bucket: &str, signer: Signer) {
    // Small chunks, so that a megabyte or two of SQL makes several.
    keep(bucket, &make(signer, Codec::Gzip, 9000, &[("globals", GLOBALS), ("dump", &dump())]).await);
}

fn keep(bucket: &str, made: &Made) {
    let into = folder("backups").join(bucket);
    write(&into.join("recovery.txt"), made.recovery.expose_secret().as_bytes());
    write(&into.join("writer.toml"), made.writer.expose_secret().as_bytes());
    let mut listed = Vec::new();
    for (i, (key, version, body)) in made.store.dump().into_iter().enumerate() {
        let file = format!("{i:02}.bin");
        write(&into.join(&file), &body);
        listed.push(Listed { key: key.to_string(), version: version.to_string(), file });
    }
    write(&into.join("objects.json"), (serde_json::to_string_pretty(&listed).unwrap() + "\n").as_bytes());
}

/// A stored bucket.
pub(crate) fn golden_bucket(bucket: &str) -> Arc<Memory> {
    let from = folder("backups").join(bucket);
    let text = std::fs::read_to_string(from.join("objects.json")).unwrap();
    let store = Memory::default();
    for Listed { key, version, file } in serde_json::from_str::<Vec<Listed>>(&text).unwrap() {
        store.load(&ObjectKey::new(key), VersionId::new(version), Bytes::from(std::fs::read(from.join(file)).unwrap()));
    }
    Arc::new(store)
}

/// Opens the bucket in each of the three ways and reads all that each may read.
async fn check(bucket: &str) {
    let text = |file: &str| secret(&std::fs::read_to_string(folder("backups").join(bucket).join(file)).unwrap());
    let recovery = RecoveryFile::decode(&text("recovery.txt")).unwrap();
    let writer = WriterFile::decode(&text("writer.toml")).unwrap();
    let id = recovery.repository;
    read(bucket, id, Access::Passphrase(secret(PASSPHRASE)), true).await;
    read(bucket, id, Access::Recovery(recovery), true).await;
    read(bucket, id, Access::Writer(Box::new(writer)), false).await;
}

async fn read(bucket: &str, id: RepositoryId, access: Access, reads_data: bool) {
    let store = golden_bucket(bucket);
    let names = Names::new("pg").unwrap();
    let repository = Repository::open(store.clone(), names.clone(), access, bucket).await.unwrap();
    assert_eq!((repository.id(), repository.findings()), (id, &[][..]), "{bucket}");
    let cluster: ClusterName = "main".parse().unwrap();
    assert_eq!(repository.clusters().await.unwrap(), std::slice::from_ref(&cluster));
    let (backup, findings) = repository.latest(&cluster).await.unwrap();
    assert_eq!(findings, [], "{bucket}");
    let clear = backup.clear();
    assert_eq!(clear.system_identifier, Some(7_432_109_876_543_210_987));
    assert_eq!(clear.finished_at.to_string(), "2026-11-24T03:15:07.25Z");
    repository.sealed_part(&backup.manifest).await.unwrap();
    let key = repository.payload_key(&clear.payload_key).await;
    assert_eq!(key.is_ok(), reads_data, "{bucket}: {key:?}");
    let Ok(key) = key else { return };
    for (stream, plain) in [("globals", GLOBALS), ("dump", &dump())] {
        let record = clear.stream(&name(stream)).unwrap().clone();
        let place = stonewal::format::Place {
            names: names.clone(),
            repository: id,
            cluster: cluster.clone(),
            backup: clear.backup.clone(),
        };
        let store: Arc<dyn Read> = store.clone();
        let (released, end) = drain(StreamReader::new(store, place, record, &key, 3, Progress::new()).unwrap()).await;
        end.unwrap();
        assert!(released == plain, "{bucket}: {stream} came out otherwise");
    }
}
