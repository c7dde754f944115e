//! What a bucket says of itself.

use std::sync::Arc;

use aws_sdk_s3::types::builders::LifecycleRuleBuilder;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleAndOperator, LifecycleRuleFilter, NoncurrentVersionExpiration, Tag, Transition,
    TransitionStorageClass,
};
use stonewal::store::{
    self, Append as _, BucketState, Error, Expiry, ListQuery, ObjectKey, Put, Read as _, S3, S3Options, VersionId,
};

use super::{Case, Outcome, Target, case, ensure};

pub(super) const CASES: &[Case] = &[
    case!(a_lock_bucket_says_so),
    case!(a_bucket_without_lock_says_so),
    case!(an_unversioned_bucket_works_and_says_so),
    case!(lifecycle_rules_are_read_as_they_were_set),
    case!(our_lifecycle_rule_stands_beside_those_of_others),
    case!(a_bucket_policy_is_read_as_it_was_set),
    case!(a_missing_bucket_is_named),
    case!(clock_and_region_are_known),
];

async fn a_lock_bucket_says_so(target: Arc<Target>) -> Outcome {
    // Again: it is ours already.
    target.store.create_bucket(true).await?;
    let state = target.store.bucket_state().await?;
    ensure!(state == BucketState { versioning: true, object_lock: true }, "{state:?}");
    ensure!(target.store.default_retention().await?.is_none(), "a default retention nobody set");
    Ok(())
}

async fn a_bucket_without_lock_says_so(target: Arc<Target>) -> Outcome {
    let bucket = format!("{}-nolock", target.options.bucket);
    let store = S3::connect(S3Options { bucket, ..target.options.clone() }).await?;
    store.create_bucket(false).await?;
    let state = store.bucket_state().await?;
    ensure!(state == BucketState { versioning: true, object_lock: false }, "{state:?}");
    ensure!(store.default_retention().await?.is_none(), "a default retention without Object Lock");
    Ok(())
}

async fn an_unversioned_bucket_works_and_says_so(target: Arc<Target>) -> Outcome {
    let bucket = format!("{}-unversioned", target.options.bucket);
    target.raw_client()?.create_bucket().bucket(&bucket).send().await?;
    let store = S3::connect(S3Options { bucket, ..target.options.clone() }).await?;
    let state = store.bucket_state().await?;
    ensure!(state == BucketState { versioning: false, object_lock: false }, "{state:?}");
    let put = Put { key: target.key("null"), body: "null".into(), lock: None };
    let stored = store.put(put.clone()).await?;
    ensure!(stored.version == VersionId::null(), "version {}", stored.version);
    ensure!(store.get(&put.key, &stored.version, 0..4).await? == "null", "get");
    ensure!(store.head(&put.key, &stored.version).await?.bytes == 4, "head");
    let listed = store.list_page(&ListQuery { prefix: String::new(), by_folder: false }, None).await?.entries;
    ensure!(listed.len() == 1 && listed[0].version == VersionId::null(), "{listed:?}");
    Ok(())
}

/// What `doctor` looks at, in the shapes that rules come in.
async fn lifecycle_rules_are_read_as_they_were_set(target: Arc<Target>) -> Outcome {
    let bucket = format!("{}-rules", target.options.bucket);
    let store = S3::connect(S3Options { bucket: bucket.clone(), ..target.options.clone() }).await?;
    store.create_bucket(true).await?;
    ensure!(store.lifecycle().await?.is_empty(), "rules that nobody set");
    let enabled = |id: &str| LifecycleRule::builder().id(id).status(ExpirationStatus::Enabled);
    let prefix = |prefix: &str| LifecycleRuleFilter::builder().prefix(prefix).build();
    let tag = Tag::builder().key("a").value("b").build()?;
    let tidy = enabled("tidy")
        .filter(prefix(""))
        .noncurrent_version_expiration(NoncurrentVersionExpiration::builder().noncurrent_days(90).build())
        .expiration(LifecycleExpiration::builder().expired_object_delete_marker(true).build())
        .abort_incomplete_multipart_upload(AbortIncompleteMultipartUpload::builder().days_after_initiation(7).build());
    let cold = enabled("cold")
        .filter(prefix("prod/"))
        .expiration(LifecycleExpiration::builder().days(30).build())
        .transitions(Transition::builder().days(1).storage_class(TransitionStorageClass::Glacier).build());
    let tagged = LifecycleRuleAndOperator::builder().prefix("x/").tags(tag).build();
    let tagged = enabled("tagged")
        .filter(LifecycleRuleFilter::builder().and(tagged).build())
        .expiration(LifecycleExpiration::builder().days(1).build());
    let off = LifecycleRule::builder()
        .id("off")
        .status(ExpirationStatus::Disabled)
        .filter(prefix("y/"))
        .expiration(LifecycleExpiration::builder().days(1).build());
    let rules: Result<Vec<_>, _> = [tidy, cold, tagged, off].map(LifecycleRuleBuilder::build).into_iter().collect();
    let rules = BucketLifecycleConfiguration::builder().set_rules(Some(rules?)).build()?;
    let raw = target.raw_client()?;
    raw.put_bucket_lifecycle_configuration().bucket(&bucket).lifecycle_configuration(rules).send().await?;

    let rule = |id: &str, prefix: &str| store::LifecycleRule {
        id: id.into(),
        prefix: prefix.into(),
        ..store::LifecycleRule::default()
    };
    let mut tidy = rule("tidy", "");
    (tidy.removes_noncurrent_days, tidy.removes_markers, tidy.aborts_uploads) = (Some(90), true, true);
    let mut cold = rule("cold", "prod/");
    (cold.expires, cold.moves_to) = (Some(Expiry::Days(30)), vec!["GLACIER".into()]);
    let mut tagged = rule("tagged", "x/");
    (tagged.expires, tagged.tagged_only) = (Some(Expiry::Days(1)), true);
    let found = store.lifecycle().await?;
    ensure!(found == [tidy, cold, tagged], "{found:#?}");
    Ok(())
}

/// `init --lifecycle`: what others have set is kept to the letter, and doing it again changes nothing.
async fn our_lifecycle_rule_stands_beside_those_of_others(target: Arc<Target>) -> Outcome {
    let bucket = format!("{}-ours", target.options.bucket);
    let store = S3::connect(S3Options { bucket: bucket.clone(), ..target.options.clone() }).await?;
    store.create_bucket(true).await?;
    let rule = |days| store::TidyRule {
        id: "ours:prod/".into(),
        prefix: "prod/".into(),
        noncurrent_days: Some(days),
        upload_days: 7,
    };
    store.install(&rule(90)).await?;
    let raw = target.raw_client()?;
    let rules = || raw.get_bucket_lifecycle_configuration().bucket(&bucket).send();
    let ours = rules().await?.rules().to_vec();
    ensure!(ours.len() == 1 && ours[0].id() == Some("ours:prod/"), "{ours:#?}");
    let tag = Tag::builder().key("a").value("b").build()?;
    let off = LifecycleRule::builder()
        .id("of others")
        .status(ExpirationStatus::Disabled)
        .filter(LifecycleRuleFilter::builder().tag(tag).build())
        .transitions(Transition::builder().days(3).storage_class(TransitionStorageClass::Glacier).build())
        .build()?;
    let both = BucketLifecycleConfiguration::builder().rules(off).rules(ours[0].clone()).build()?;
    raw.put_bucket_lifecycle_configuration().bucket(&bucket).lifecycle_configuration(both).send().await?;
    let before = rules().await?.rules().to_vec();
    for days in [90, 400] {
        store.install(&rule(days)).await?;
        let after = rules().await?.rules().to_vec();
        ensure!(after.len() == 2 && after[0] == before[0], "{after:#?}");
        let found = store.lifecycle().await?;
        ensure!(found.len() == 1 && found[0].removes_noncurrent_days == Some(days), "{found:#?}");
        ensure!(found[0].removes_markers && found[0].aborts_uploads && found[0].prefix == "prod/", "{found:#?}");
        ensure!(found[0].expires.is_none() && found[0].moves_to.is_empty(), "{found:#?}");
    }
    Ok(())
}

async fn a_bucket_policy_is_read_as_it_was_set(target: Arc<Target>) -> Outcome {
    let bucket = format!("{}-policy", target.options.bucket);
    let store = S3::connect(S3Options { bucket: bucket.clone(), ..target.options.clone() }).await?;
    store.create_bucket(true).await?;
    ensure!(store.bucket_policy().await?.is_none(), "a policy that nobody set");
    let policy =
        include_str!("../../../infra/policies/bucket.json").replace("${bucket_arn}", &format!("arn:aws:s3:::{bucket}"));
    target.raw_client()?.put_bucket_policy().bucket(&bucket).policy(&policy).send().await?;
    let found = store.bucket_policy().await?.ok_or("no policy")?;
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text);
    ensure!(json(&found)? == json(&policy)?, "{found}");
    Ok(())
}

async fn a_missing_bucket_is_named(target: Arc<Target>) -> Outcome {
    let bucket = format!("{}-missing", target.options.bucket);
    let store = S3::connect(S3Options { bucket: bucket.clone(), ..target.options.clone() }).await?;
    let (key, version) = (ObjectKey::new("k"), VersionId::null());
    let put = Put { key: key.clone(), body: "x".into(), lock: None };
    let query = ListQuery { prefix: String::new(), by_folder: false };
    let errors = [
        ("put", store.put(put).await.err()),
        ("get", store.get(&key, &version, 0..1).await.err()),
        ("head", store.head(&key, &version).await.err()),
        ("list", store.list_page(&query, None).await.err()),
        ("state", store.bucket_state().await.err()),
        ("region", store.bucket_region().await.err()),
    ];
    for (call, error) in errors {
        let named = matches!(&error, Some(Error::NoBucket { bucket: b, .. }) if *b == bucket);
        ensure!(named, "{call}: {error:?}");
    }
    Ok(())
}

async fn clock_and_region_are_known(target: Arc<Target>) -> Outcome {
    let region = target.store.bucket_region().await?;
    ensure!(region.as_deref().is_none_or(|region| region == "us-east-1"), "{region:?}");
    let skew = target.store.clock().skew().abs().as_secs();
    ensure!(skew < 5, "a server on this host is {skew} s off");
    Ok(())
}
