//! Buckets, versioning and the lock configuration.

use aws_sdk_s3::types::{
    BucketVersioningStatus, DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode,
    ObjectLockRule, VersioningConfiguration,
};
use stonewal::store::roles::Role;

use super::{BUCKET, Fixture, PLAIN, outcome, put_version};

fn versioning(status: BucketVersioningStatus) -> VersioningConfiguration {
    VersioningConfiguration::builder().status(status).build()
}

fn lock_rule(days: Option<i32>, years: Option<i32>) -> ObjectLockConfiguration {
    let rule = DefaultRetention::builder().mode(ObjectLockRetentionMode::Governance).set_days(days).set_years(years);
    ObjectLockConfiguration::builder()
        .object_lock_enabled(ObjectLockEnabled::Enabled)
        .rule(ObjectLockRule::builder().default_retention(rule.build()).build())
        .build()
}

#[tokio::test]
async fn buckets_are_made_once_and_deleted_when_empty() {
    let fixture = Fixture::new().await;
    let admin = fixture.client(Role::Admin);
    assert_eq!(outcome(admin.create_bucket().bucket(BUCKET).send().await), "BucketAlreadyOwnedByYou");
    assert_eq!(outcome(admin.head_bucket().bucket(BUCKET).send().await), "ok");
    assert_eq!(outcome(admin.head_bucket().bucket("absent").send().await), "404");
    let names = admin.list_buckets().send().await.unwrap();
    let names: Vec<_> = names.buckets().iter().filter_map(|bucket| bucket.name()).collect();
    assert_eq!(names, [PLAIN, BUCKET]);
    let location = admin.get_bucket_location().bucket(BUCKET).send().await.unwrap().location_constraint;
    assert_eq!(location.map(|region| region.as_str().to_owned()).unwrap_or_default(), "", "us-east-1 has none");

    let version = put_version(&admin, "k", b"x").await;
    assert_eq!(outcome(admin.delete_bucket().bucket(BUCKET).send().await), "BucketNotEmpty");
    admin.delete_object().bucket(BUCKET).key("k").version_id(version).send().await.unwrap();
    assert_eq!(outcome(admin.delete_bucket().bucket(BUCKET).send().await), "ok");
    assert_eq!(outcome(admin.delete_bucket().bucket(BUCKET).send().await), "NoSuchBucket");
    assert!(!fixture.store().join("buckets").join(BUCKET).exists());
}

#[tokio::test]
async fn versioning_of_a_lock_bucket_cannot_be_suspended_nor_its_lock_disabled() {
    let fixture = Fixture::new().await;
    let admin = fixture.client(Role::Admin);
    let status = admin.get_bucket_versioning().bucket(BUCKET).send().await.unwrap().status;
    assert_eq!(status, Some(BucketVersioningStatus::Enabled));
    let suspend = admin
        .put_bucket_versioning()
        .bucket(BUCKET)
        .versioning_configuration(versioning(BucketVersioningStatus::Suspended));
    assert_eq!(outcome(suspend.send().await), "InvalidBucketState");
    let disable = admin
        .put_object_lock_configuration()
        .bucket(BUCKET)
        .object_lock_configuration(ObjectLockConfiguration::builder().build());
    assert_eq!(outcome(disable.send().await), "MalformedXML");
    let configuration = admin.get_object_lock_configuration().bucket(BUCKET).send().await.unwrap();
    let configuration = configuration.object_lock_configuration.unwrap();
    assert_eq!(configuration.object_lock_enabled, Some(ObjectLockEnabled::Enabled));
    assert!(configuration.rule.is_none());
}

#[tokio::test]
async fn object_lock_needs_versioning_and_can_be_added_later() {
    let fixture = Fixture::new().await;
    let admin = fixture.client(Role::Admin);
    let get = || admin.get_object_lock_configuration().bucket(PLAIN).send();
    assert_eq!(outcome(get().await), "ObjectLockConfigurationNotFoundError");
    let enable = || {
        admin.put_object_lock_configuration().bucket(PLAIN).object_lock_configuration(lock_rule(None, Some(2))).send()
    };
    assert_eq!(outcome(enable().await), "InvalidBucketState");
    let enabled = versioning(BucketVersioningStatus::Enabled);
    admin.put_bucket_versioning().bucket(PLAIN).versioning_configuration(enabled).send().await.unwrap();
    enable().await.unwrap();
    let rule = get().await.unwrap().object_lock_configuration.unwrap().rule.unwrap().default_retention.unwrap();
    assert_eq!((rule.days, rule.years), (None, Some(2)));
}

#[tokio::test]
async fn default_retention_locks_what_brings_no_lock_and_has_bounds() {
    let fixture = Fixture::new().await;
    let admin = fixture.client(Role::Admin);
    let set = |days, years| {
        let rule = lock_rule(days, years);
        admin.put_object_lock_configuration().bucket(BUCKET).object_lock_configuration(rule).send()
    };
    for (days, years) in [(None, None), (Some(0), None), (Some(36_501), None), (Some(1), Some(1))] {
        assert_eq!(outcome(set(days, years).await), "InvalidArgument", "{days:?} {years:?}");
    }
    set(Some(3), None).await.unwrap();
    let version = put_version(&admin, "k", b"x").await;
    let retention = admin.get_object_retention().bucket(BUCKET).key("k").send().await.unwrap().retention.unwrap();
    assert_eq!(retention.mode, Some(ObjectLockRetentionMode::Governance));
    let until = retention.retain_until_date.unwrap().secs();
    assert!((until - fixture.later(3 * 86_400).secs()).abs() <= 5, "{until}");
    let delete = || admin.delete_object().bucket(BUCKET).key("k").version_id(&version).send();
    assert_eq!(outcome(delete().await), "AccessDenied");
    fixture.advance(std::time::Duration::from_secs(3 * 86_400 + 5));
    assert_eq!(outcome(delete().await), "ok");
}

#[tokio::test]
async fn unversioned_and_suspended_buckets_replace_the_null_version() {
    let fixture = Fixture::new().await;
    let admin = fixture.client(Role::Admin);
    let put = |body: &'static [u8]| admin.put_object().bucket(PLAIN).key("k").body(body.to_vec().into()).send();
    let versions = async || {
        let page = admin.list_object_versions().bucket(PLAIN).send().await.unwrap();
        let mut ids: Vec<_> = page.versions().iter().map(|v| v.version_id().unwrap().to_owned()).collect();
        ids.extend(page.delete_markers().iter().map(|v| format!("marker {}", v.version_id().unwrap())));
        ids
    };
    assert_eq!(put(b"1").await.unwrap().version_id, None);
    put(b"22").await.unwrap();
    assert_eq!(versions().await, ["null"]);
    assert_eq!(std::fs::read_dir(fixture.store().join("buckets/plain/data")).unwrap().count(), 1);
    admin.delete_object().bucket(PLAIN).key("k").send().await.unwrap();
    assert_eq!(versions().await, [""; 0]);

    put(b"old").await.unwrap();
    let set = |status| admin.put_bucket_versioning().bucket(PLAIN).versioning_configuration(versioning(status)).send();
    set(BucketVersioningStatus::Enabled).await.unwrap();
    let kept = put(b"kept").await.unwrap().version_id.unwrap();
    set(BucketVersioningStatus::Suspended).await.unwrap();
    put(b"null again").await.unwrap();
    assert_eq!(versions().await, ["null".to_owned(), kept.clone()]);
    admin.delete_object().bucket(PLAIN).key("k").send().await.unwrap();
    assert_eq!(versions().await, [kept.clone(), "marker null".to_owned()]);
    let body = admin.get_object().bucket(PLAIN).key("k").version_id(kept).send().await.unwrap();
    assert_eq!(body.body.collect().await.unwrap().to_vec(), b"kept");
}
