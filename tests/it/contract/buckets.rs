//! What a bucket says of itself.

use std::sync::Arc;

use stonewal::store::{
    Append as _, BucketState, Error, ListQuery, ObjectKey, Put, Read as _, S3, S3Options, VersionId,
};

use super::{Case, Outcome, Target, case, ensure};

pub(super) const CASES: &[Case] = &[
    case!(a_lock_bucket_says_so),
    case!(a_bucket_without_lock_says_so),
    case!(an_unversioned_bucket_works_and_says_so),
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
