//! Lifecycle rules and bucket policies: kept, given back, gone when deleted, and there after a restart.

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleFilter,
};
use stonewal::store::embedded::{Options, Server};
use stonewal::store::roles::Role;

use super::{BUCKET, Fixture, outcome};

const POLICY: &str = r#"{"Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}]}"#;

fn rules() -> BucketLifecycleConfiguration {
    let rule = LifecycleRule::builder()
        .id("a")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("prod/").build())
        .expiration(LifecycleExpiration::builder().days(7).build())
        .abort_incomplete_multipart_upload(AbortIncompleteMultipartUpload::builder().days_after_initiation(3).build());
    BucketLifecycleConfiguration::builder().rules(rule.build().unwrap()).build().unwrap()
}

#[tokio::test]
async fn lifecycle_rules_and_policies_are_kept() {
    let fixture = Fixture::new().await;
    let admin = fixture.client(Role::Admin);
    assert_eq!(
        outcome(admin.get_bucket_lifecycle_configuration().bucket(BUCKET).send().await),
        "NoSuchLifecycleConfiguration"
    );
    assert_eq!(outcome(admin.get_bucket_policy().bucket(BUCKET).send().await), "NoSuchBucketPolicy");
    let put = admin.put_bucket_lifecycle_configuration().bucket(BUCKET);
    assert_eq!(outcome(put.clone().send().await), "MalformedXML");
    put.lifecycle_configuration(rules()).send().await.unwrap();
    for junk in ["junk", "{}", "[]"] {
        let put = admin.put_bucket_policy().bucket(BUCKET).policy(junk);
        assert_eq!(outcome(put.send().await), "MalformedPolicy", "{junk}");
    }
    admin.put_bucket_policy().bucket(BUCKET).policy(POLICY).send().await.unwrap();

    let Fixture { root, server, clock } = fixture;
    server.stop().await;
    let server = Server::start(Options::new(root.path().join("store"))).await.unwrap();
    let fixture = Fixture { root, server, clock };
    let admin = fixture.client(Role::Admin);
    let found = admin.get_bucket_lifecycle_configuration().bucket(BUCKET).send().await.unwrap();
    assert_eq!(found.rules(), rules().rules());
    assert_eq!(admin.get_bucket_policy().bucket(BUCKET).send().await.unwrap().policy(), Some(POLICY));

    admin.delete_bucket_lifecycle().bucket(BUCKET).send().await.unwrap();
    admin.delete_bucket_policy().bucket(BUCKET).send().await.unwrap();
    assert_eq!(
        outcome(admin.get_bucket_lifecycle_configuration().bucket(BUCKET).send().await),
        "NoSuchLifecycleConfiguration"
    );
    assert_eq!(outcome(admin.get_bucket_policy().bucket(BUCKET).send().await), "NoSuchBucketPolicy");
    assert_eq!(outcome(admin.get_bucket_policy().bucket("absent").send().await), "NoSuchBucket");
}
