//! `verify --locks`: of everything that backups stand on, what is unlocked first, and whether that is too soon.

use jiff::{SignedDuration, Timestamp};
use stonewal::commands::retention::locks::{self, Outcome, Part, Standing};
use stonewal::retention::Policy;
use stonewal::store::roles::Role;
use stonewal::store::{LockMode, ObjectKey, Prune as _};
use stonewal::verify::Level;

use super::setting::{days, policy};
use crate::flow::stage::{BUCKET, DAY, Stage, cluster};

impl Stage {
    async fn unlocking(&self, policy: Policy) -> Outcome {
        let options = locks::Options {
            repository: self.repository(Role::Reader),
            access: Self::passphrase(),
            cluster: Some(cluster()),
            policy,
        };
        Box::pin(locks::run(options)).await.unwrap()
    }

    async fn keys_with(&self, part: &str) -> Vec<String> {
        let entries = self.entries().await;
        entries.iter().map(|entry| entry.key.to_string()).filter(|key| key.contains(part)).collect()
    }
}

fn standings(outcome: &Outcome) -> Vec<Standing> {
    outcome.backups().map(|backup| backup.standing).collect()
}

/// PAINS A16: the object that is unlocked first is named, whatever it is, and so is what needs it for longer.
#[tokio::test]
async fn a16_verify_locks_names_what_is_unlocked_first() {
    let Some(stage) = Stage::new("a16_unlocking", |options| options.page_size = 7).await else { return };
    let first = stage.backup().await.backup;
    let second = stage.backup().await.backup;
    stage.extended(policy()).await;
    let told = stage.unlocking(policy()).await;
    assert_eq!(standings(&told), [Standing::Good; 2], "{told:#?}");
    assert!(told.backups().all(|backup| backup.asked > 5 && backup.first.is_some()), "{told:#?}");

    let soon = stage.now().await + days(20);
    let parts = [
        (format!("{first}/dump/0-"), Part::Chunk, 1),
        (format!("{first}/manifest-"), Part::Manifest, 0),
        ("/writers/".into(), Part::Certificate, 2),
        ("/identities/".into(), Part::Bundle, 2),
    ];
    for (sooner, (name, part, short)) in (0..).zip(parts) {
        // Each sooner than the one before.
        let until = soon - SignedDuration::from_hours(sooner);
        // Of what there are copies, all.
        for key in stage.keys_with(&name).await {
            crate::support::shorten(stage.server(), BUCKET, &key, until).await;
        }
        let told = stage.unlocking(policy()).await;
        let backup = told.backups().next().unwrap();
        let found = backup.first.as_ref().unwrap();
        assert_eq!((found.part, found.until.map(Timestamp::as_second)), (part, Some(until.as_second())), "{found:?}");
        assert!(found.key.contains(&name), "{found:?}");
        assert!(found.needed_until > until, "{found:?}");
        // Beyond the margin it is short only where the manifest outlives it.
        let count = standings(&told).iter().filter(|standing| **standing == Standing::Short).count();
        assert_eq!(count, short, "{part:?}: {told:#?}");
    }
    // Whatever was found, the next run mends.
    stage.extended(policy()).await;
    assert_eq!(standings(&stage.unlocking(policy()).await), [Standing::Good; 2]);
    assert!(!stage.verify(Role::Reader, Stage::passphrase(), Level::List).await.unwrap().has_damage());

    // Nobody has looked after the locks for long: less than the margin is left of them, at whatever time of a step this runs.
    stage.server().advance_clock(40 * DAY);
    let told = stage.unlocking(policy()).await;
    assert_eq!(standings(&told), [Standing::Short; 2], "{told:#?}");
    let detail = &told.backups().next().unwrap().findings.details[0].detail;
    assert!(detail.contains("its lock ends") && detail.contains("it is needed until"), "{detail}");
    assert!(told.backups().any(|backup| backup.backup == second));

    let wrap = stage.keys_with("/keys/").await.remove(0);
    let gone = stage.entries().await.into_iter().find(|entry| entry.key.as_str() == wrap).unwrap();
    let admin = stage.connected(Role::Admin).await.store;
    admin.delete_version(&ObjectKey::new(&*wrap), &gone.version, true).await.unwrap();
    let told = stage.unlocking(policy()).await;
    let damaged = told.backups().any(|backup| backup.findings.has_damage());
    assert!(damaged || told.beside.has_damage(), "{told:#?}");
}

/// A mode that is weaker than the manifest's protects less than it promises (PAINS A16, E4).
#[tokio::test]
async fn a16_a_weaker_mode_than_the_manifests_is_told() {
    use stonewal::commands::Immutability;
    let Some(stage) = Stage::light("a16_mode", |_| ()).await else { return };
    let mut options = stage.backup_options();
    options.repository.immutability = Immutability::ObjectLock { mode: LockMode::Compliance, retain: 20 * DAY };
    crate::flow::stage::run_backup(options).await.unwrap();
    let told = stage.unlocking(policy()).await;
    let backup = told.backups().next().unwrap();
    // The backup copied the certificate under its own lock; the bundle was renewed by it as well.
    assert_eq!(backup.standing, Standing::Due, "{told:#?}");
    let mut options = stage.backup_options();
    options.repository.immutability = Immutability::ObjectLock { mode: LockMode::Governance, retain: 20 * DAY };
    crate::flow::stage::run_backup(options).await.unwrap();
    assert_eq!(standings(&stage.unlocking(policy()).await), [Standing::Due; 2]);
}
