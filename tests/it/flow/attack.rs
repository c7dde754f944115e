//! An attacker with every right at the store but lock bypass, and with all that is public of the repository: deletes, hides,
//! overwrites, forges. Restores give the same bytes; the noise is reported (invariants I4, I6; PAINS A17, A18).

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use stonewal::catalog::FindingKind;
use stonewal::commands::backup_dump::Outcome;
use stonewal::commands::doctor::{self, Status};
use stonewal::commands::{Which, verify};
use stonewal::store::roles::Role;
use stonewal::verify::Level;

use super::forge::Attacker;
use super::stage::{BUCKET, Stage, id, run_backup};

/// Two backups, one by the operator and one by a host, and what they hold.
struct Target {
    stage: Stage,
    made: [Outcome; 2],
    bytes: [Vec<u8>; 2],
}

impl Target {
    async fn new(test: &str, page_size: usize) -> Option<Self> {
        let stage = Stage::new(test, |options| options.page_size = page_size).await?;
        let first = run_backup(stage.backup_options_with(Stage::passphrase())).await.unwrap();
        stage.source.psql("app", "DELETE FROM ledger WHERE id % 2 = 0", &[]);
        let second = stage.backup().await;
        let bytes = [stage.bytes(id(&first.backup)).await, stage.bytes(Which::Latest).await];
        assert!(bytes[1].len() < bytes[0].len() && bytes[1].len() > 8 << 20);
        Some(Self { stage, made: [first, second], bytes })
    }

    /// Everything an attacker can think of: every object overwritten `times` over, and so many junk manifests.
    async fn attack(&self, times: usize, junk: u16) {
        let clear = self.stage.show(Role::Reader, Stage::passphrase(), Which::Latest).await.clear;
        let attacker = Attacker::new(&self.stage, clear).await;
        attacker.destroy(times).await;
        attacker.forge_manifests().await;
        attacker.forge_keys().await;
        attacker.publish_a_newer_backup().await;
        attacker.flood(junk).await;
        let entries = self.stage.entries().await;
        assert!(entries.len() > 15 * times + usize::from(junk), "{} versions", entries.len());
        let genuine_visible = entries.iter().filter(|entry| entry.is_latest && entry.bytes > 1 << 20).count();
        assert!(genuine_visible <= 6, "a plain listing shows only what the attacker published: {genuine_visible}");
    }

    async fn assert_unharmed(&self) {
        let [first, second] = &self.made;
        assert!(self.stage.bytes(Which::Latest).await == self.bytes[1], "latest");
        assert!(self.stage.bytes(id(&first.backup)).await == self.bytes[0], "by id");
        let (bytes, ended) = self.stage.restored(Which::Latest, |options| options.access = self.stage.recovery()).await;
        let done = ended.unwrap();
        assert!(done.backup == second.backup && bytes == self.bytes[1], "with the recovery file");
        assert!(done.findings.len() > 15, "the restore mentions what it ignored: {}", done.findings.len());
        for (role, access) in [(Role::Reader, Stage::passphrase()), (Role::Writer, self.stage.writer_access())] {
            let listed = self.stage.list(role, access).await;
            let ids: Vec<_> = listed.backups.iter().map(|row| &row.backup).collect();
            assert_eq!(ids, [&first.backup, &second.backup], "{role}");
        }
        let shown = self.stage.show(Role::Writer, self.stage.writer_access(), Which::Latest).await;
        assert!(shown.clear.backup == second.backup && shown.sealed.is_some());
    }

    /// `verify` and `doctor` tell of the attack, and of no damage.
    async fn assert_reported(&self, levels: &[Level]) {
        for &level in levels {
            let outcome = self.stage.verify(Role::Reader, Stage::passphrase(), level).await.unwrap();
            assert_tampering(&outcome);
        }
        let outcome = self.stage.verify(Role::Writer, self.stage.writer_access(), Level::Checksum).await.unwrap();
        assert_tampering(&outcome);
        let mut options = self.stage.doctor_options(Role::Writer, Some(self.stage.writer_access()));
        options.probe = false;
        let examined = doctor::run(options).await.unwrap();
        let check = |name| examined.checks.iter().find(|check| check.name == name).unwrap();
        assert_eq!((check("tampering").status, check("backups").status), (Status::Warn, Status::Ok));
        assert!(check("backups").detail.starts_with("2 backups of 1 clusters"), "{:?}", check("backups"));
        assert!(examined.findings.has_tampering() && !examined.findings.has_damage(), "{:?}", examined.findings.counts);
    }
}

fn assert_tampering(outcome: &verify::Outcome) {
    assert_eq!(outcome.backups.len(), 2);
    assert!(!outcome.has_damage() && outcome.has_findings(), "{:?}", outcome.backups);
    let count = |kind| {
        let beside = outcome.beside.counts.get(&kind).copied().unwrap_or(0);
        let within = outcome.backups.iter().filter_map(|backup| backup.findings.counts.get(&kind));
        beside + within.sum::<u64>()
    };
    // Each chunk, manifest and wrap of two backups was overwritten and hidden.
    assert!(count(FindingKind::LaterVersion) >= 12 && count(FindingKind::DeleteMarker) >= 12, "{outcome:?}");
    // In the folders of tomorrow; in the genuine one the oldest authenticates first, and the others are not read.
    assert!(count(FindingKind::ForgedManifest) > 40, "{:?}", outcome.beside.counts);
    assert!(count(FindingKind::Wrap) >= 2, "wraps were planted: {outcome:?}");
    assert!(outcome.backups.iter().all(|backup| backup.findings.has_tampering()));
}

#[tokio::test]
async fn i04_i06_an_attacker_with_every_right_but_bypass_changes_no_restore() {
    let Some(target) = Target::new("i04_attacker", 400).await else { return };
    // Three pages of versions.
    target.attack(25, 500).await;
    target.assert_unharmed().await;
    target.assert_reported(&[Level::List, Level::Decrypt]).await;
}

/// PAINS D8; and a store with coarse clocks gives everything one time, so that age says nothing. The next backup of a host
/// under attack is as good as ever.
#[tokio::test]
async fn i04_nothing_depends_on_the_size_of_pages_or_on_times() {
    let Some(mut target) = Target::new("i04_pages_and_ties", 7).await else { return };
    target.attack(6, 80).await;
    assert!(target.stage.bytes(Which::Latest).await == target.bytes[1]);
    target.stage.restart(tie).await;
    target.assert_unharmed().await;
    target.assert_reported(&[Level::Decrypt]).await;

    // The attacker's newest "backup" is dated tomorrow.
    target.stage.server().advance_clock(2 * super::stage::DAY);
    let made = target.stage.backup().await;
    let whole = target.stage.bytes(Which::Latest).await;
    let shown = target.stage.show(Role::Reader, Stage::passphrase(), Which::Latest).await;
    assert!(shown.clear.backup == made.backup && whole.len() == target.bytes[1].len());
}

/// Sets every modification time in the store to the newest one.
fn tie(root: &Path) {
    let meta = root.join("buckets").join(BUCKET).join("meta");
    let read = |path: PathBuf| -> (PathBuf, serde_json::Value) {
        let record = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        (path, record)
    };
    let mut records: Vec<_> = std::fs::read_dir(meta).unwrap().map(|entry| read(entry.unwrap().path())).collect();
    let time = |record: &serde_json::Value| record["last_modified"].as_str().unwrap().parse::<Timestamp>().unwrap();
    let newest = records.iter().map(|(_, record)| time(record)).max().unwrap();
    for (path, record) in &mut records {
        record["last_modified"] = newest.to_string().into();
        std::fs::write(path, record.to_string()).unwrap();
    }
}
