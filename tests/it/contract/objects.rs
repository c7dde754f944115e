//! Objects come back as they went.

use std::sync::Arc;

use stonewal::store::{Append as _, Checksum, Creation, Error, Prune as _, Put, Read as _, S3, S3Options};

use super::{Case, Outcome, Target, case, ensure};

pub(super) const CASES: &[Case] = &[
    case!(ranges_come_back_exactly),
    case!(an_object_may_be_empty),
    case!(head_tells_size_and_time),
    case!(every_checksum_is_accepted),
    case!(an_old_version_stays_readable),
    case!(a_deleted_version_is_absent),
    case!(a_delete_can_be_repeated, needs RepeatedDelete),
    case!(a_large_object_survives),
    case!(the_newest_version_is_found),
    case!(an_object_is_created_once),
];

async fn ranges_come_back_exactly(target: Arc<Target>) -> Outcome {
    let key = target.key("ranges");
    let body: Vec<u8> = (0..10_000_u32).map(|n| (n % 239) as u8).collect();
    let version = target.put(&key, body.clone()).await?;
    for range in [0..10_000, 0..1, 9_999..10_000, 123..4_567, 500..500] {
        let (start, end) = (usize::try_from(range.start)?, usize::try_from(range.end)?);
        let got = target.store.get(&key, &version, range.clone()).await?;
        ensure!(got == body[start..end], "bytes {range:?} differ");
    }
    for range in [9_990..10_001, 10_000..10_001, 20_000..20_001] {
        let error = target.store.get(&key, &version, range.clone()).await.err();
        ensure!(matches!(error, Some(Error::Corrupt { .. })), "{range:?} past the end: {error:?}");
    }
    Ok(())
}

async fn an_object_may_be_empty(target: Arc<Target>) -> Outcome {
    let key = target.key("empty");
    let version = target.put(&key, "").await?;
    ensure!(target.store.get(&key, &version, 0..0).await?.is_empty(), "not empty");
    ensure!(target.store.head(&key, &version).await?.bytes == 0, "not of size zero");
    Ok(())
}

async fn head_tells_size_and_time(target: Arc<Target>) -> Outcome {
    let key = target.key("head");
    let version = target.put(&key, "twelve bytes").await?;
    let head = target.store.head(&key, &version).await?;
    ensure!(head.bytes == 12 && head.lock.is_none(), "{head:?}");
    let age = head.last_modified.duration_until(target.store.clock().now()).abs().as_secs();
    ensure!(age < 60, "written {age} s from now by the store's own clock");
    Ok(())
}

async fn every_checksum_is_accepted(target: Arc<Target>) -> Outcome {
    for checksum in [Checksum::Crc64Nvme, Checksum::Sha256, Checksum::Crc32c, Checksum::Md5] {
        let store = S3::connect(S3Options { checksum, ..target.options.clone() }).await?;
        let put = Put { key: target.key("checksum"), body: "123456789".into(), lock: None };
        let stored = store.put(put.clone()).await.map_err(|error| format!("{checksum:?}: {error}"))?;
        ensure!(store.get(&put.key, &stored.version, 0..9).await? == put.body, "{checksum:?}: other bytes");
    }
    Ok(())
}

async fn an_old_version_stays_readable(target: Arc<Target>) -> Outcome {
    let key = target.key("versions");
    let first = target.put(&key, "first").await?;
    let second = target.put(&key, "second!").await?;
    ensure!(first != second, "two versions with one id");
    ensure!(target.store.get(&key, &first, 0..5).await? == "first", "the old version changed");
    ensure!(target.store.get(&key, &second, 0..7).await? == "second!", "the new version is not the new one");
    Ok(())
}

async fn a_deleted_version_is_absent(target: Arc<Target>) -> Outcome {
    let key = target.key("deleted");
    let version = target.put(&key, "x").await?;
    let other = target.put(&key, "y").await?;
    target.store.delete_version(&key, &version, false).await?;
    let got = target.store.get(&key, &version, 0..1).await;
    ensure!(matches!(got, Err(Error::NotFound { .. })), "get: {got:?}");
    let head = target.store.head(&key, &version).await;
    ensure!(matches!(head, Err(Error::NotFound { .. })), "head: {head:?}");
    ensure!(target.store.get(&key, &other, 0..1).await? == "y", "the other version went too");
    let never = target.key("never-written");
    let head = target.store.head(&never, &version).await;
    ensure!(matches!(head, Err(Error::NotFound { .. })), "head of no object: {head:?}");
    Ok(())
}

async fn a_delete_can_be_repeated(target: Arc<Target>) -> Outcome {
    let key = target.key("deleted-twice");
    let version = target.put(&key, "x").await?;
    target.put(&key, "another version stays").await?;
    target.store.delete_version(&key, &version, false).await?;
    target.store.delete_version(&key, &version, false).await?;
    Ok(())
}

async fn a_large_object_survives(target: Arc<Target>) -> Outcome {
    let key = target.key("large");
    let body: Vec<u8> = (0..32_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let version = target.put(&key, body.clone()).await?;
    let got = target.store.get(&key, &version, 0..body.len() as u64).await?;
    ensure!(got == body, "32 MiB differ");
    Ok(())
}

async fn the_newest_version_is_found(target: Arc<Target>) -> Outcome {
    let key = target.key("newest");
    let store = &target.store;
    ensure!(store.newest(&key, 8).await?.is_none(), "found before it was written");
    target.put(&key, "the first version").await?;
    let second = target.put(&key, "the second version!").await?;
    for (most, body) in [(3, "the"), (19, "the second version!"), (1 << 20, "the second version!")] {
        let newest = store.newest(&key, most).await?.ok_or("not found")?;
        ensure!(newest.version == second && newest.bytes == 19 && newest.body == body, "{most}: {newest:?}");
    }
    let deleted = target.raw_client()?.delete_object().bucket(store.bucket()).key(key.as_str()).send().await?;
    ensure!(store.newest(&key, 8).await?.is_none(), "found under a delete marker");
    let marker = deleted.version_id().ok_or("no version id of the marker")?;
    store.delete_version(&key, &stonewal::store::VersionId::new(marker), false).await?;
    ensure!(store.newest(&key, 8).await?.is_some_and(|newest| newest.version == second), "the marker is gone");
    target.put(&key, "").await?;
    ensure!(store.newest(&key, 8).await?.is_some_and(|newest| newest.bytes == 0), "an empty object is an object");
    Ok(())
}

async fn an_object_is_created_once(target: Arc<Target>) -> Outcome {
    let key = target.key("create");
    let lock = target.lock(stonewal::store::LockMode::Governance, 5);
    let put = |body: &'static str| Put { key: key.clone(), body: body.into(), lock: Some(lock) };
    let Creation::Stored(first) = target.store.put_new(put("first")).await? else {
        return Err("there was none".into());
    };
    ensure!(target.store.head(&key, &first.version).await?.lock == Some(lock), "not locked");
    for body in ["second", "first"] {
        ensure!(target.store.put_new(put(body)).await? == Creation::Exists, "{body}: written over");
    }
    ensure!(target.store.newest(&key, 8).await?.is_some_and(|newest| newest.version == first.version), "written over");
    target.raw_client()?.delete_object().bucket(target.store.bucket()).key(key.as_str()).send().await?;
    let Creation::Stored(second) = target.store.put_new(put("second")).await? else {
        return Err("a delete marker is no object".into());
    };
    ensure!(second.version != first.version, "the version is new");
    let race = Put { key: target.key("race"), body: "x".into(), lock: None };
    let made = futures::future::join_all((0..8).map(|_| target.store.put_new(race.clone())))
        .await
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    let stored = made.iter().filter(|made| matches!(made, Creation::Stored(_))).count();
    ensure!(stored == 1, "{stored} of 8 racers created it");
    Ok(())
}
