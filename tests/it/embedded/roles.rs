//! Each role against each operation: what the table grants passes, everything else is denied.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{
    BucketVersioningStatus, Delete, ObjectIdentifier, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockLegalHold,
    ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode, VersioningConfiguration,
};
use stonewal::store::roles::Role;

use super::{BUCKET, Fixture, outcome, put, put_version};

/// Runs one operation and tells its outcome.
async fn attempt(fixture: &Fixture, client: &Client, action: &str, id: &str) -> String {
    let (key, later) = ("shared", fixture.later(3600));
    let retention = ObjectLockRetention::builder().mode(ObjectLockRetentionMode::Governance).retain_until_date(later);
    let hold = ObjectLockLegalHold::builder().status(ObjectLockLegalHoldStatus::Off).build();
    let versioning = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let lock = ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled).build();
    let bucket = |kind: &str| format!("made-{kind}-{}", &id[..12]);
    match action {
        "s3:AbortMultipartUpload" => {
            outcome(client.abort_multipart_upload().bucket(BUCKET).key(key).upload_id("none").send().await)
        }
        "s3:CreateBucket" => outcome(client.create_bucket().bucket(bucket("plain")).send().await),
        "s3:DeleteBucket" => outcome(client.delete_bucket().bucket("absent").send().await),
        "s3:DeleteObject" => outcome(client.delete_object().bucket(BUCKET).key("other").send().await),
        "s3:DeleteObjectVersion" => {
            outcome(client.delete_object().bucket(BUCKET).key("other").version_id(id).send().await)
        }
        "s3:GetBucketLocation" => outcome(client.get_bucket_location().bucket(BUCKET).send().await),
        "s3:GetBucketObjectLockConfiguration" => {
            outcome(client.get_object_lock_configuration().bucket(BUCKET).send().await)
        }
        "s3:GetBucketVersioning" => outcome(client.get_bucket_versioning().bucket(BUCKET).send().await),
        "s3:GetLifecycleConfiguration" => {
            outcome(client.get_bucket_lifecycle_configuration().bucket(BUCKET).send().await)
        }
        "s3:PutLifecycleConfiguration" => outcome(client.delete_bucket_lifecycle().bucket(BUCKET).send().await),
        "s3:GetBucketPolicy" => outcome(client.get_bucket_policy().bucket(BUCKET).send().await),
        "s3:PutBucketPolicy" => outcome(client.put_bucket_policy().bucket(BUCKET).policy("{}").send().await),
        "s3:DeleteBucketPolicy" => outcome(client.delete_bucket_policy().bucket(BUCKET).send().await),
        "s3:GetObject" => outcome(client.get_object().bucket(BUCKET).key(key).send().await),
        "s3:GetObjectVersion" => outcome(client.get_object().bucket(BUCKET).key(key).version_id(id).send().await),
        "s3:GetObjectLegalHold" => outcome(client.get_object_legal_hold().bucket(BUCKET).key(key).send().await),
        "s3:GetObjectRetention" => outcome(client.get_object_retention().bucket(BUCKET).key(key).send().await),
        "s3:ListAllMyBuckets" => outcome(client.list_buckets().send().await),
        "s3:ListBucket" => outcome(client.list_objects_v2().bucket(BUCKET).send().await),
        "s3:ListBucketVersions" => outcome(client.list_object_versions().bucket(BUCKET).send().await),
        "s3:ListBucketMultipartUploads" => outcome(client.list_multipart_uploads().bucket(BUCKET).send().await),
        "s3:ListMultipartUploadParts" => {
            outcome(client.list_parts().bucket(BUCKET).key(key).upload_id("none").send().await)
        }
        "s3:PutBucketObjectLockConfiguration" => {
            outcome(client.put_object_lock_configuration().bucket(BUCKET).object_lock_configuration(lock).send().await)
        }
        "s3:PutBucketVersioning" => {
            outcome(client.put_bucket_versioning().bucket(BUCKET).versioning_configuration(versioning).send().await)
        }
        "s3:PutObject" => outcome(put(client, "new", b"x").send().await),
        "s3:PutObjectLegalHold" => {
            outcome(client.put_object_legal_hold().bucket(BUCKET).key(key).legal_hold(hold).send().await)
        }
        "s3:PutObjectRetention" => {
            outcome(client.put_object_retention().bucket(BUCKET).key(key).retention(retention.build()).send().await)
        }
        "s3:RestoreObject" => outcome(client.restore_object().bucket(BUCKET).key(key).version_id(id).send().await),
        other => panic!("no operation for {other}"),
    }
}

#[tokio::test]
async fn every_role_can_do_what_its_list_says_and_nothing_else() {
    // Actions that the server never asks for, or not alone.
    let unasked = [
        "s3:BypassGovernanceRetention",
        "s3:GetObjectAttributes",
        "s3:GetObjectVersionAttributes",
        "s3:PutObjectTagging",
    ];
    let fixture = Fixture::new().await;
    let id = put_version(&fixture.client(Role::Admin), "shared", b"x").await;
    let mut denials = 0;
    for role in Role::ALL {
        let client = fixture.client(role);
        for action in Role::Admin.actions().iter().filter(|action| !unasked.contains(action)) {
            let result = attempt(&fixture, &client, action, &id).await;
            if role.allows(action) {
                assert_ne!(result, "AccessDenied", "{role} {action}");
            } else {
                assert_eq!(result, "AccessDenied", "{role} {action}");
                denials += 1;
            }
        }
    }
    assert!(denials > 40, "{denials}");
}

#[tokio::test]
async fn lock_headers_need_the_lock_actions() {
    let fixture = Fixture::new().await;
    let writer = fixture.client(Role::Writer);
    let locked = put(&writer, "k", b"x")
        .object_lock_mode(ObjectLockMode::Governance)
        .object_lock_retain_until_date(fixture.later(60));
    assert_eq!(outcome(locked.send().await), "ok");
    let held = put(&writer, "k", b"x").object_lock_legal_hold_status(ObjectLockLegalHoldStatus::On);
    assert_eq!(outcome(held.send().await), "AccessDenied", "the writer has no s3:PutObjectLegalHold");
    let attacker = fixture.client(Role::Attacker);
    let held = put(&attacker, "k", b"x").object_lock_legal_hold_status(ObjectLockLegalHoldStatus::On);
    assert_eq!(outcome(held.send().await), "ok");
    let made = fixture.client(Role::Writer).create_bucket().bucket("made").object_lock_enabled_for_bucket(true);
    assert_eq!(outcome(made.send().await), "AccessDenied");
}

#[tokio::test]
async fn multi_deletes_are_authorised_key_by_key() {
    let fixture = Fixture::new().await;
    let version = put_version(&fixture.client(Role::Admin), "k", b"x").await;
    let object =
        |id: Option<&str>| ObjectIdentifier::builder().key("k").set_version_id(id.map(Into::into)).build().unwrap();
    let both = || Delete::builder().objects(object(None)).objects(object(Some(&version))).build().unwrap();
    for (role, bypass, deleted, denied) in [
        (Role::Writer, false, 0, 2),
        (Role::Reader, false, 0, 2),
        (Role::Attacker, true, 0, 2),
        (Role::Pruner, false, 1, 1),
        (Role::Admin, true, 2, 0),
    ] {
        let request = fixture.client(role).delete_objects().bucket(BUCKET).delete(both());
        let result = request.set_bypass_governance_retention(bypass.then_some(true)).send().await.unwrap();
        assert_eq!((result.deleted().len(), result.errors().len()), (deleted, denied), "{role}");
        assert!(result.errors().iter().all(|error| error.code() == Some("AccessDenied")), "{role}");
    }
}

#[tokio::test]
async fn what_the_server_does_not_have_is_refused_to_everyone() {
    let fixture = Fixture::new().await;
    let admin = fixture.client(Role::Admin);
    assert_eq!(outcome(admin.get_bucket_acl().bucket(BUCKET).send().await), "NotImplemented");
    let foreign = put(&admin, "k", b"x").sse_customer_algorithm("AES256").sse_customer_key("QQ==");
    assert_eq!(outcome(foreign.send().await), "NotImplemented", "SSE-C is not stored as if it were encrypted");
    assert_eq!(
        outcome(admin.copy_object().bucket(BUCKET).key("b").copy_source("vault/a").send().await),
        "NotImplemented"
    );
    assert_eq!(outcome(admin.delete_bucket_tagging().bucket(BUCKET).send().await), "NotImplemented");
}
