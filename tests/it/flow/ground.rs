//! The ground a repository stands on: buckets that protect and buckets that do not, and what `doctor` says of them.

use std::collections::BTreeMap;

use stonewal::catalog::each_entry;
use stonewal::commands::doctor::{self, Status};
use stonewal::commands::{Class, Connected, Error, Immutability, RepositoryOptions, Which, backup_dump, init};
use stonewal::store::embedded::Conduct;
use stonewal::store::roles::Role;
use stonewal::store::{LockMode, S3, Tried, embedded};
use stonewal::verify::Level;

use super::stage::{BUCKET, DAY, PREFIX, Stage, run_backup};
use crate::support::stores;

fn statuses(outcome: &doctor::Outcome) -> BTreeMap<&'static str, Status> {
    outcome.checks.iter().map(|check| (check.name, check.status)).collect()
}

const WORM: [&str; 6] = ["worm: lock", "worm: shorten", "worm: delete", "worm: bypass", "worm: hide", "worm: original"];

/// PAINS A15; D11, D12: what a store does with conditional writes, checksums and bare locks is tried, not assumed, and
/// docs/STORES.md has what was seen.
#[tokio::test]
async fn doctor_as_writer_finds_good_ground_whatever_key_it_has() {
    let Some(stage) = Stage::light("doctor_writer", |_| ()).await else { return };
    stage.backup().await;
    for access in [Some(stage.writer_access()), Some(Stage::passphrase()), None] {
        let has_key = access.is_some();
        let mut options = stage.doctor_options(Role::Writer, access);
        options.source = Some(stage.database.clone());
        let outcome = doctor::run(options).await.unwrap();
        let statuses = statuses(&outcome);
        let good = WORM.iter().chain(&[
            "bucket",
            "bucket rights",
            "versioning",
            "object lock",
            "clock",
            "checksum",
            "source",
            "pg_dump",
        ]);
        for name in good {
            assert_eq!(statuses.get(name), Some(&Status::Ok), "{name}: {:#?}", outcome.checks);
        }
        assert_eq!(outcome.status(), Status::Note, "no lifecycle rule tidies here: {:#?}", outcome.checks);
        assert!(outcome.capabilities.len() == 7 && outcome.capabilities.values().all(|&kept| kept), "{outcome:?}");
        stores::compare("embedded", &serde_json::to_value(&outcome).unwrap());
        if has_key {
            let backups = outcome.checks.iter().find(|check| check.name == "backups").unwrap();
            assert!(backups.detail.starts_with("1 backups of 1 clusters"), "{backups:?}");
        }
    }
}

#[tokio::test]
async fn doctor_names_what_is_wrong_with_the_credentials() {
    let Some(stage) = Stage::light("doctor_roles", |_| ()).await else { return };
    let cases = [
        (Role::Admin, "worm: bypass", Status::Fail),
        (Role::Attacker, "worm: bypass", Status::Ok),
        (Role::Attacker, "worm: hide", Status::Warn),
        (Role::Attacker, "bucket rights", Status::Warn),
        (Role::Admin, "bucket rights", Status::Warn),
    ];
    // PAINS C7: what is put back to see who may is what was there, and nothing is asked of a bucket that it could change.
    let state = async || stage.connected(Role::Admin).await.store.bucket_state().await.unwrap();
    let before = state().await;
    let open = "ground-open";
    let mut unlocked = stage.repository(Role::Admin);
    unlocked.s3.bucket = open.into();
    let unlocked = S3::connect(unlocked.s3).await.unwrap();
    unlocked.create_bucket(false).await.unwrap();
    assert_eq!(unlocked.try_versioning().await.unwrap(), Tried::Not, "it could be suspended meanwhile");
    for (role, name, expected) in cases {
        let outcome = doctor::run(stage.doctor_options(role, Some(stage.writer_access()))).await.unwrap();
        let statuses = statuses(&outcome);
        assert_eq!(statuses.get(name), Some(&expected), "{role}: {:#?}", outcome.checks);
        let worst = if role == Role::Admin { Status::Fail } else { Status::Warn };
        assert_eq!(outcome.status(), worst, "{role}: {:#?}", outcome.checks);
    }
    assert_eq!(state().await, before);
    // Some stores let the mode of a compliance lock be changed: Ceph RGW did, before its tracker's 52037.
    let mut strict = stage.doctor_options(Role::Writer, Some(stage.writer_access()));
    strict.repository.immutability = Immutability::ObjectLock { mode: LockMode::Compliance, retain: DAY };
    let outcome = doctor::run(strict).await.unwrap();
    assert_eq!(statuses(&outcome).get("worm: weaken"), Some(&Status::Ok), "{:#?}", outcome.checks);
    assert!(outcome.canaries > 0);
    stores_that_promise_more_than_they_keep(&stage).await;
    let mut sound = stage.backup_options();
    sound.repository.require_worm = true;
    assert!(run_backup(sound).await.is_ok(), "a store that holds what it locks is taken");
    let outcome = doctor::run(stage.doctor_options(Role::Reader, Some(Stage::passphrase()))).await.unwrap();
    assert_eq!(statuses(&outcome).get("worm"), Some(&Status::Note), "a reader plants nothing: {:#?}", outcome.checks);
    assert_eq!(outcome.canaries, 0);
    let mut options = stage.doctor_options(Role::Writer, None);
    options.repository.s3.bucket = "absent".into();
    let outcome = doctor::run(options).await.unwrap();
    assert_eq!(statuses(&outcome).get("bucket"), Some(&Status::Fail), "{:#?}", outcome.checks);
}

/// PAINS A15: a store that takes lock headers proves nothing.
async fn stores_that_promise_more_than_they_keep(stage: &Stage) {
    for (conduct, role, harmed) in [
        (Conduct::Forgets, Role::Writer, &["worm: lock"][..]),
        (Conduct::Ignores, Role::Admin, &["worm: shorten", "worm: weaken", "worm: delete", "worm: bypass"]),
        (Conduct::Replaces, Role::Writer, &["worm: original"]),
    ] {
        let mut options = embedded::Options::new(stage.dir.path().join(format!("{conduct:?}")));
        options.conduct = conduct;
        let server = embedded::Server::start(options).await.unwrap();
        let elsewhere = |role: Role| {
            let user = server.credentials(role).unwrap();
            let immutability = Immutability::ObjectLock { mode: LockMode::Compliance, retain: DAY };
            let mut repository = RepositoryOptions { immutability, ..stage.repository_as(&user, None) };
            repository.s3.endpoint = Some(server.endpoint());
            repository
        };
        let made =
            init::run(init::Options { repository: elsewhere(Role::Admin), recovery_file: None, ..stage.init() }).await;
        let refused = matches!(&made, Err(Error::Catalog(stonewal::catalog::Error::Unlocked { .. })));
        assert_eq!(refused, conduct == Conduct::Forgets, "{conduct:?}: {made:?}");
        if refused {
            // What the first run left there is refused by the next one too.
            let again = init::Options { repository: elsewhere(Role::Admin), recovery_file: None, ..stage.init() };
            let again = init::run(again).await.unwrap_err();
            let unlocked = matches!(&again, Error::Catalog(stonewal::catalog::Error::Unlocked { .. }));
            assert!(unlocked, "{again:?}");
        }
        let options = doctor::Options { repository: elsewhere(role), ..stage.doctor_options(role, None) };
        let outcome = doctor::run(options).await.unwrap();
        for name in harmed {
            assert_eq!(statuses(&outcome).get(name), Some(&Status::Fail), "{conduct:?}: {:#?}", outcome.checks);
        }
        if !refused {
            let repository = RepositoryOptions { require_worm: true, ..elsewhere(Role::Writer) };
            refuses_backups(stage, repository, conduct).await;
        }
        server.stop().await;
    }
}

/// PAINS A15, `lock.require_worm`: nothing of a backup is stored before the store has shown that its locks hold.
async fn refuses_backups(stage: &Stage, repository: RepositoryOptions, conduct: Conduct) {
    let store = Connected::to(&repository).await.unwrap().store;
    let stored = async || {
        let mut kept = 0;
        each_entry(&*store, PREFIX, |entry| kept += u32::from(!entry.key.as_str().contains("/canary/"))).await.unwrap();
        kept
    };
    let before = stored().await;
    let options = backup_dump::Options { repository, ..stage.backup_options_with(Stage::passphrase()) };
    let refused = run_backup(options).await.unwrap_err();
    let (check, class) =
        (if conduct == Conduct::Ignores { "worm: shorten" } else { "worm: original" }, refused.class());
    assert!(refused.to_string().contains(check) && class == Class::Failed, "{conduct:?}: {refused}");
    assert!(refused.hint().unwrap().contains("stonewal doctor"), "{refused:?}");
    assert_eq!(stored().await, before, "{conduct:?}");
}

#[tokio::test]
async fn an_unlocked_bucket_is_refused_unless_the_configuration_says_none() {
    let Some(stage) = Stage::empty("unlocked_bucket", |_| ()).await else { return };
    let store = stage.connected(Role::Admin).await.store;
    store.create_bucket(false).await.unwrap();
    let refused = init::run(stage.init()).await.unwrap_err();
    assert!(matches!(refused, Error::NotImmutable { .. }) && refused.hint().unwrap().contains("none"), "{refused}");
    assert!(stage.entries().await.is_empty() && !stage.recovery_path().exists(), "nothing was begun");

    let mut unlocked = stage.init();
    unlocked.repository.immutability = Immutability::None;
    init::run(unlocked).await.unwrap();
    let refused = run_backup(stage.backup_options_with(Stage::passphrase())).await.unwrap_err();
    assert!(matches!(refused, Error::NotImmutable { .. }), "{refused}");
    let mut options = stage.backup_options_with(Stage::passphrase());
    options.repository.immutability = Immutability::None;
    let made = run_backup(options).await.unwrap();
    assert_eq!(made.lock, None);
    assert!(!stage.bytes(Which::Latest).await.is_empty());
    let verified = stage.verify(Role::Reader, Stage::passphrase(), Level::Decrypt).await.unwrap();
    assert!(!verified.has_findings() && verified.backups.len() == 1, "{verified:?}");

    let locked = doctor::run(stage.doctor_options(Role::Writer, Some(Stage::passphrase()))).await.unwrap();
    assert_eq!(statuses(&locked).get("object lock"), Some(&Status::Fail), "{:#?}", locked.checks);
    let mut accepted = stage.doctor_options(Role::Writer, Some(Stage::passphrase()));
    accepted.repository.immutability = Immutability::None;
    let accepted = doctor::run(accepted).await.unwrap();
    assert_eq!(accepted.status(), Status::Warn, "it says that backups can be deleted: {:#?}", accepted.checks);
}

/// The AWS SDK's own client, for what ours leaves out on purpose.
fn raw_client(stage: &Stage) -> aws_sdk_s3::Client {
    let admin = stage.server().credentials(Role::Admin).unwrap();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version_latest()
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(stage.server().endpoint())
        .region(aws_sdk_s3::config::Region::new(stage.server().region().to_owned()))
        .force_path_style(true)
        .credentials_provider(aws_sdk_s3::config::Credentials::new(
            admin.access_key,
            secrecy::ExposeSecret::expose_secret(&admin.secret_key),
            None,
            None,
            "test",
        ))
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

/// A rule for everything below `prefix` that expires what is current.
fn expires(prefix: &str, days: i32) -> aws_sdk_s3::types::BucketLifecycleConfiguration {
    use aws_sdk_s3::types::{
        BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
    };
    let rule = LifecycleRule::builder()
        .id("tidy")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix(prefix).build())
        .expiration(LifecycleExpiration::builder().days(days).build());
    BucketLifecycleConfiguration::builder().rules(rule.build().unwrap()).build().unwrap()
}

/// PAINS A8 and C7: found by the host that backs up, with the rights that it has.
#[tokio::test]
async fn doctor_finds_lifecycle_rules_that_would_break_the_plan() {
    let Some(stage) = Stage::light("doctor_lifecycle", |_| ()).await else { return };
    let raw = raw_client(&stage);
    let detail = |outcome: &doctor::Outcome, name: &str| {
        outcome.checks.iter().find(|check| check.name == name).unwrap().detail.clone()
    };
    for (prefix, days, expected) in [
        (PREFIX, 1, Status::Fail),
        ("", 1, Status::Fail),
        (PREFIX, 36_500, Status::Warn),
        (PREFIX, 34, Status::Fail),
        ("elsewhere/", 1, Status::Note),
    ] {
        let put = raw.put_bucket_lifecycle_configuration().bucket(BUCKET);
        put.lifecycle_configuration(expires(prefix, days)).send().await.unwrap();
        for role in [Role::Writer, Role::Auditor] {
            let mut options = stage.doctor_options(role, None);
            options.probe = false;
            let outcome = doctor::run(options).await.unwrap();
            assert_eq!(statuses(&outcome)["lifecycle"], expected, "{role} {prefix:?} {days}: {:#?}", outcome.checks);
            let named = detail(&outcome, "lifecycle").contains("rule tidy expires current objects");
            assert_eq!(named, expected != Status::Note, "{:#?}", outcome.checks);
        }
    }
    let blind = doctor::run(stage.doctor_options(Role::Reader, None)).await.unwrap();
    assert!(detail(&blind, "lifecycle").contains("s3:GetLifecycleConfiguration"), "{:#?}", blind.checks);
}

/// PAINS A8, E1, E3: a rule that tidies and can never remove what the plan keeps, by the administrator alone; where a rule of
/// others would, it is refused and named.
#[tokio::test]
async fn e01_init_installs_a_lifecycle_that_doctor_finds_good() {
    let Some(stage) = Stage::empty("init_lifecycle", |_| ()).await else { return };
    let lifecycle = Some(std::time::Duration::from_hours(24 * 366));
    let installing = || init::Options { lifecycle, ..stage.init() };
    let again = || init::Options { recovery_file: None, ..installing() };
    let made = init::run(installing()).await.unwrap().lifecycle.unwrap();
    assert!(made.changed && made.rule == "stonewal-leftovers:flow/" && made.noncurrent_days == Some(366), "{made:?}");
    let mut options = stage.doctor_options(Role::Auditor, None);
    (options.kept, options.probe) = (std::time::Duration::from_hours(24 * 366), false);
    let looked = doctor::run(options).await.unwrap();
    assert_eq!(statuses(&looked)["lifecycle"], Status::Ok, "{:#?}", looked.checks);
    assert!(!init::run(again()).await.unwrap().lifecycle.unwrap().changed, "it is there");
    // The plan keeps for less now; the rule may stay. For longer: it is replaced.
    let for_days = |days: u64| init::Options { lifecycle: Some(std::time::Duration::from_hours(24 * days)), ..again() };
    assert!(!init::run(for_days(35)).await.unwrap().lifecycle.unwrap().changed);
    assert!(init::run(for_days(800)).await.unwrap().lifecycle.unwrap().changed);

    let mut writer = again();
    writer.repository = stage.repository(Role::Writer);
    writer.lifecycle = Some(std::time::Duration::from_hours(24 * 900));
    let error = init::run(writer).await.unwrap_err();
    assert!(error.to_string().contains("s3:PutLifecycleConfiguration"), "{error}");

    let raw = raw_client(&stage);
    let before = raw.get_bucket_lifecycle_configuration().bucket(BUCKET).send().await.unwrap().rules().to_vec();
    let rules = expires(PREFIX, 800).rules().iter().chain(&before).cloned().collect();
    let rules = aws_sdk_s3::types::BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build().unwrap();
    let put = raw.put_bucket_lifecycle_configuration().bucket(BUCKET).lifecycle_configuration(rules);
    put.send().await.unwrap();
    let error = init::run(again()).await.unwrap_err();
    assert!(error.to_string().contains("rule tidy expires current objects after 800 days"), "{error}");
    assert!(error.hint().unwrap().starts_with("nothing was changed"), "{error:?}");
    assert_eq!(raw.get_bucket_lifecycle_configuration().bucket(BUCKET).send().await.unwrap().rules().len(), 2);
}

#[tokio::test]
async fn doctor_reads_the_bucket_policy_as_auditor() {
    let Some(stage) = Stage::light("doctor_policy", |_| ()).await else { return };
    let raw = raw_client(&stage);
    let look = async |role| statuses(&doctor::run(stage.doctor_options(role, None)).await.unwrap())["bucket policy"];
    assert_eq!(look(Role::Auditor).await, Status::Note, "there is none");
    assert_eq!(look(Role::Writer).await, Status::Ok, "not the writer's business");
    let policy = include_str!("../../../infra/policies/bucket.json");
    raw.put_bucket_policy().bucket(BUCKET).policy(policy).send().await.unwrap();
    assert_eq!(look(Role::Auditor).await, Status::Ok);
    let changed = policy.replace("\"aws:SecureTransport\": \"false\"", "\"aws:SecureTransport\": \"true\"");
    raw.put_bucket_policy().bucket(BUCKET).policy(changed).send().await.unwrap();
    assert_eq!(look(Role::Auditor).await, Status::Note);
}
