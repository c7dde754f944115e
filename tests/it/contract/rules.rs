//! What a strict store refuses; lax ones are known by name.

use std::sync::Arc;

use secrecy::SecretString;
use stonewal::store::LockMode::Governance;
use stonewal::store::{Append as _, Checksum, Error, Probe, Put, Read as _, S3, S3Options, StaticCredentials};

use super::{Case, Outcome, Target, case, ensure};

pub(super) const CASES: &[Case] = &[
    case!(a_wrong_secret_is_noticed, needs SignaturesChecked),
    case!(a_wrong_checksum_is_refused, needs ChecksumVerified),
    case!(a_locked_put_needs_a_checksum, needs ChecksumDemanded),
    case!(checksums_are_kept, needs ChecksumKept),
    case!(a_second_put_can_be_refused),
    case!(a_lock_needs_a_lock_bucket, needs LockNeedsLockBucket),
];

async fn a_wrong_secret_is_noticed(target: Arc<Target>) -> Outcome {
    let wrong = target.options.credentials.as_ref().map(|credentials| StaticCredentials {
        secret_key: SecretString::from("not the secret"),
        ..credentials.clone()
    });
    let store = S3::connect(S3Options { credentials: wrong, ..target.options.clone() }).await?;
    let state = store.bucket_state().await;
    ensure!(matches!(state, Err(Error::Credentials { .. })), "{state:?}");
    Ok(())
}

async fn a_wrong_checksum_is_refused(target: Arc<Target>) -> Outcome {
    for checksum in [Checksum::Crc64Nvme, Checksum::Sha256, Checksum::Crc32c, Checksum::Md5] {
        let refused = target.store.probe(Probe::WrongChecksumRefused(checksum), &target.key("wrong")).await?;
        ensure!(refused, "a wrong {checksum:?} is accepted");
    }
    Ok(())
}

async fn a_locked_put_needs_a_checksum(target: Arc<Target>) -> Outcome {
    let probe = Probe::BareLockRefused(target.lock(Governance, 1));
    ensure!(target.store.probe(probe, &target.key("bare")).await?, "accepted without a checksum");
    Ok(())
}

async fn checksums_are_kept(target: Arc<Target>) -> Outcome {
    for checksum in [Checksum::Crc64Nvme, Checksum::Sha256, Checksum::Crc32c] {
        let kept = target.store.probe(Probe::ChecksumKept(checksum), &target.key("kept")).await?;
        ensure!(kept, "{checksum:?} is not shown again");
    }
    Ok(())
}

async fn a_second_put_can_be_refused(target: Arc<Target>) -> Outcome {
    ensure!(target.store.probe(Probe::SecondPutRefused, &target.key("second")).await?, "the second PUT went through");
    Ok(())
}

async fn a_lock_needs_a_lock_bucket(target: Arc<Target>) -> Outcome {
    let bucket = format!("{}-plain", target.options.bucket);
    let store = S3::connect(S3Options { bucket, ..target.options.clone() }).await?;
    store.create_bucket(false).await?;
    let put = Put { key: target.key("plain"), body: "x".into(), lock: Some(target.lock(Governance, 1)) };
    let locked = store.put(put.clone()).await;
    ensure!(matches!(locked, Err(Error::Refused { .. })), "{locked:?}");
    let stored = store.put(Put { lock: None, ..put.clone() }).await?;
    ensure!(store.get(&put.key, &stored.version, 0..1).await? == "x", "unlocked PUT");
    Ok(())
}
