//! Damage that Object Lock cannot prevent: an administrator with the bypass, a bad disk. It is found, named, and costs no
//! other backup.

use std::path::{Path, PathBuf};
use std::time::Duration;

use stonewal::catalog::FindingKind;
use stonewal::commands::backup_dump::{self, Outcome};
use stonewal::commands::restore_dump::{self, RestoreTarget};
use stonewal::commands::{self, Class, Which, verify};
use stonewal::format::BackupId;
use stonewal::format::manifest::ClearPart;
use stonewal::format::names::Names;
use stonewal::observe::Progress;
use stonewal::postgres::{Session, target};
use stonewal::store::embedded::Conduct;
use stonewal::store::roles::Role;
use stonewal::store::{ObjectKey, Prune as _, VersionId};
use stonewal::verify::{Level, Percent};
use tokio_util::sync::CancellationToken;

use super::stage::{BUCKET, PREFIX, Stage, cluster, id, run_backup};

/// One backup that stays whole, and newer ones to be hurt, one by one.
struct Patient {
    stage: Stage,
    whole: Outcome,
    bytes: Vec<u8>,
}

impl Patient {
    async fn new(test: &str) -> Option<Self> {
        let stage = Stage::new(test, |_| ()).await?;
        let whole = stage.backup().await;
        let bytes = stage.bytes(id(&whole.backup)).await;
        Some(Self { stage, whole, bytes })
    }

    /// One more backup, the latest.
    async fn fresh(&self) -> ClearPart {
        // Ids have whole seconds, and this one must be the latest.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let made = self.stage.backup().await;
        self.stage.show(Role::Reader, Stage::passphrase(), id(&made.backup)).await.clear
    }

    async fn delete(&self, key: &str, version: &str) {
        let store = self.stage.connected(Role::Admin).await.store;
        let (key, version) = (ObjectKey::new(key), VersionId::new(version));
        assert!(store.delete_version(&key, &version, false).await.is_err(), "not without the bypass");
        store.delete_version(&key, &version, true).await.unwrap();
    }

    /// Restores fail as a fault of the data, tell no byte past the fault, and leave the target as it was; `latest` does not
    /// silently become another backup; the whole one restores and verifies.
    async fn assert_hurt(&self, released_max: usize) -> commands::Error {
        let stage = &self.stage;
        let (bytes, ended) = stage.restored(Which::Latest, |_| ()).await;
        let error = ended.unwrap_err();
        assert_eq!(error.class(), Class::Integrity, "{error:?}");
        assert!(error.hint().is_some(), "{error}");
        // pg_dump's data comes in the same order each time; its first lines have random keys.
        assert!(bytes.len() <= released_max, "{} bytes were released", bytes.len());
        assert!(bytes.get(4000..) == self.bytes.get(4000..bytes.len().max(4000)) || bytes.len() < 4000);
        let path = stage.dir.path().join("restored.sql");
        let to_file = RestoreTarget::File { path: path.clone(), globals: false };
        let options = stage.restore_options(Which::Latest, to_file);
        let ended = restore_dump::run(options, &Progress::new(), &CancellationToken::new()).await;
        assert_eq!(ended.unwrap_err().class(), Class::Integrity);
        assert!(!path.exists());
        self.assert_no_database().await;
        assert!(stage.bytes(id(&self.whole.backup)).await == self.bytes);
        error
    }

    /// No database comes of it.
    async fn assert_no_database(&self) {
        let database = self.stage.source.target("target").await;
        let error = self.stage.restore_into(&self.stage.source, &database).await.unwrap_err();
        assert_eq!(error.class(), Class::Integrity, "{error:?}");
        let session = Session::connect(&database, "check").await.unwrap();
        target::ensure_empty(&session).await.unwrap();
        drop(session);
        self.stage.source.server.execute("postgres", "DROP DATABASE target WITH (FORCE)").await.unwrap();
    }

    /// `verify` of `hurt` sees `kind` at `key` from `level` on.
    async fn assert_found(&self, hurt: &ClearPart, kind: FindingKind, key: &str, level: Level) {
        for each in [Level::List, Level::Checksum, Level::Decrypt] {
            let outcome = self.verify(&hurt.backup, each).await;
            let hurt = &outcome.backups[0];
            assert_eq!((outcome.has_damage(), hurt.whole), (each >= level, each < level), "{each}: {outcome:?}");
            let found = hurt.findings.details.iter().any(|finding| finding.kind == kind && finding.key.contains(key));
            assert!(found || each < level, "{each}: {kind:?} at {key}: {outcome:?}");
        }
        let whole = self.verify(&self.whole.backup, Level::Decrypt).await;
        assert!(!whole.has_findings() && whole.backups[0].whole, "{whole:?}");
    }

    async fn verify(&self, backup: &BackupId, level: Level) -> verify::Outcome {
        self.verify_some(backup, level, None).await
    }

    async fn verify_some(&self, backup: &BackupId, level: Level, sample: Option<(Percent, u32)>) -> verify::Outcome {
        let (repository, access) = (self.stage.repository(Role::Reader), Stage::passphrase());
        let which = Some(id(backup));
        let cluster = Some(cluster());
        let (sample, seed) = sample.unzip();
        let options = verify::Options { repository, access, cluster, which, level, sample, seed, downloads: 3 };
        let outcome = verify::run(options, &Progress::new()).await.unwrap();
        assert_eq!(outcome.backups.len(), 1);
        outcome
    }

    /// PAINS B17: a sample reads what its seed draws and nothing else, finds what is wrong there, and tells how much it saw.
    async fn assert_sampled(&self, hurt: &ClearPart, altered: &str) {
        let folder = format!("/{}/", hurt.backup);
        let manifest = names().manifests(&cluster(), &hurt.backup);
        let is_chunk = |key: &str| key.contains(&folder) && !key.starts_with(&manifest);
        let look = async |level, percent: &str, seed| {
            let before = self.stage.log().len();
            let outcome = self.verify_some(&hurt.backup, level, Some((percent.parse().unwrap(), seed))).await;
            let log = self.stage.log();
            let gets = log[before..].iter().filter(|request| request.action.as_deref() == Some("GetObject"));
            let mut read: Vec<String> = gets.filter_map(|get| get.key.clone()).filter(|key| is_chunk(key)).collect();
            read.sort_unstable();
            read.dedup();
            let found = outcome.backups[0].findings.details.iter().any(|finding| finding.key == altered);
            let coverage = outcome.sample.unwrap().coverage;
            assert_eq!((found, coverage.objects_read), (read.iter().any(|key| key == altered), read.len() as u64));
            assert!(coverage.bytes_read <= coverage.bytes && coverage.objects > 3, "{coverage:?}");
            (read, coverage)
        };
        for seed in 0..4 {
            let (read, coverage) = look(Level::Checksum, "30%", seed).await;
            assert_eq!(coverage.objects_read, (coverage.objects * 30).div_ceil(100), "{coverage:?}");
            assert_eq!(look(Level::Checksum, "30%", seed).await, (read.clone(), coverage), "seed {seed}");
            assert_eq!(look(Level::Decrypt, "30%", seed).await, (read, coverage), "seed {seed}");
        }
        let (read, coverage) = look(Level::Decrypt, "100%", 0).await;
        assert!(read.iter().any(|key| key == altered) && coverage.bytes_read == coverage.bytes, "{coverage:?}");
    }
}

/// Key and version of chunk `number` of the dump.
fn chunk(clear: &ClearPart, number: u32) -> (String, String) {
    let stream = clear.stream(&"dump".parse().unwrap()).unwrap();
    let chunk = &stream.chunks[number as usize];
    (names().chunk(&cluster(), &clear.backup, &stream.name, number, chunk.tag), chunk.version.clone())
}

fn names() -> Names {
    Names::new(PREFIX).unwrap()
}

/// The file in which the embedded store keeps a version.
pub(super) fn file_of(root: &Path, key: &str) -> PathBuf {
    let bucket = root.join("buckets").join(BUCKET);
    for entry in std::fs::read_dir(bucket.join("meta")).unwrap() {
        let meta: serde_json::Value = serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
        if meta["key"] == key {
            return bucket.join("data").join(meta["file"].as_str().unwrap());
        }
    }
    panic!("{key} is not on the disk");
}

/// Each leaves one backup more that must be told apart from the whole one.
#[tokio::test]
async fn i05_what_an_administrator_deleted_is_missing_and_named() {
    let Some(patient) = Patient::new("admin_deletes").await else { return };
    let hurt = patient.fresh().await;
    let (key, version) = chunk(&hurt, 1);
    patient.delete(&key, &version).await;
    let error = patient.assert_hurt(8 << 20).await;
    assert!(error.to_string().contains(&key), "{error}");
    patient.assert_found(&hurt, FindingKind::Missing, &key, Level::List).await;

    let hurt = patient.fresh().await;
    let record = &hurt.payload_key;
    let key = names().wrap(record.id, record.wrap.tag);
    patient.delete(&key, &record.wrap.version).await;
    let error = patient.assert_hurt(0).await;
    assert!(error.to_string().contains("key"), "{error}");
    patient.assert_found(&hurt, FindingKind::Missing, &key, Level::List).await;

    let hurt = patient.fresh().await;
    let record = &hurt.metadata_key;
    let key = names().wrap(record.id, record.wrap.tag);
    patient.delete(&key, &record.wrap.version).await;
    assert!(!patient.stage.bytes(Which::Latest).await.is_empty(), "its bytes can still be had");
    patient.assert_no_database().await;
    patient.assert_found(&hurt, FindingKind::Missing, &key, Level::List).await;
    assert!(patient.stage.show(Role::Reader, Stage::passphrase(), Which::Latest).await.sealed.is_none());

    let hurt = patient.fresh().await;
    let shown = patient.stage.show(Role::Reader, Stage::passphrase(), id(&hurt.backup)).await;
    patient.delete(&shown.manifest, &shown.version).await;
    let listed = patient.stage.list(Role::Reader, Stage::passphrase()).await;
    assert!(listed.backups.len() == 4 && listed.backups.iter().all(|row| row.backup != hurt.backup));
    let (_, ended) = patient.stage.restored(id(&hurt.backup), |_| ()).await;
    assert!(ended.unwrap_err().to_string().contains("has no backup"), "without a manifest it does not exist");
}

/// PAINS A11.
#[tokio::test]
async fn i05_what_a_bad_disk_or_a_cunning_one_changed_is_found() {
    let Some(mut patient) = Patient::new("bad_disk").await else { return };
    let root = patient.stage.options.root.clone();
    let hurt = patient.fresh().await;
    let (key, _) = chunk(&hurt, 1);
    let file = file_of(&root, &key);
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&file, bytes).unwrap();
    patient.assert_hurt(8 << 20).await;
    patient.assert_found(&hurt, FindingKind::Altered, &key, Level::Checksum).await;
    patient.assert_sampled(&hurt, &key).await;

    let hurt = patient.fresh().await;
    let [one, two] = [0, 1].map(|number| file_of(&root, &chunk(&hurt, number).0));
    assert_eq!(std::fs::metadata(&one).unwrap().len(), std::fs::metadata(&two).unwrap().len(), "full chunks");
    std::fs::rename(&one, root.join("swap")).unwrap();
    std::fs::rename(&two, &one).unwrap();
    std::fs::rename(root.join("swap"), &two).unwrap();
    patient.assert_hurt(0).await;
    patient.assert_found(&hurt, FindingKind::Altered, &format!("{}/dump/", hurt.backup), Level::Checksum).await;

    let hurt = patient.fresh().await;
    let (key, _) = chunk(&hurt, 2);
    patient.stage.restart(|root| cut_short(root, &key)).await;
    patient.assert_hurt(16 << 20).await;
    patient.assert_found(&hurt, FindingKind::Missing, &key, Level::List).await;
    a_backup_that_is_read_back_knows_what_became_of_it(&mut patient.stage).await;
}

/// PAINS A14: a store that acknowledges what it does not keep is found out at once, by those who ask.
async fn a_backup_that_is_read_back_knows_what_became_of_it(stage: &mut Stage) {
    let asking = |stage: &Stage| backup_dump::Options { read_back: Some(3), ..stage.backup_options() };
    let made = run_backup(asking(stage)).await.unwrap();
    let read = made.read_back.unwrap();
    assert!(read.whole && read.findings.total() == 0 && made.warnings.is_empty(), "{read:?} {:?}", made.warnings);
    stage.options.conduct = Conduct::Rots;
    stage.restart(|_| ()).await;
    assert!(stage.backup().await.read_back.is_none(), "nobody asked");
    let made = run_backup(asking(stage)).await.unwrap();
    let read = made.read_back.unwrap();
    assert!(!read.whole && read.findings.counts[&FindingKind::Altered] + 2 >= made.chunks, "{read:?}");
    assert!(read.findings.details.iter().all(|finding| finding.key.contains(&made.backup.to_string())), "{read:?}");
}

/// Takes the last byte of an object, so that the store believes that it was always so.
fn cut_short(root: &Path, key: &str) {
    let file = file_of(root, key);
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    let meta = root.join("buckets").join(BUCKET).join("meta");
    let meta = meta.join(format!("{}.json", file.file_name().unwrap().to_string_lossy()));
    let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(&meta).unwrap()).unwrap();
    record["body"]["bytes"] = (bytes.len() - 1).into();
    std::fs::write(&meta, record.to_string()).unwrap();
}
