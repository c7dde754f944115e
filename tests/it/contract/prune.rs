//! Many versions deleted at once: exactly those named, each answered by itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use stonewal::limits::DELETE_KEYS_MAX;
use stonewal::store::LockMode::{Compliance, Governance};
use stonewal::store::{Error, ListQuery, ObjectKey, Prune as _, Read as _, VersionId, VersionOf};

use super::{Case, Outcome, Target, case, ensure};

pub(super) const CASES: &[Case] = &[
    case!(exactly_the_named_versions_go),
    case!(a_full_request_deletes_a_thousand),
    case!(one_locked_version_stays_and_is_named),
    case!(versions_that_are_gone_are_deleted),
    case!(nothing_to_delete_is_no_request),
    case!(awkward_keys_are_deleted_too),
];

fn version_of(key: &ObjectKey, version: &VersionId) -> VersionOf {
    VersionOf { key: key.clone(), version: version.clone() }
}

async fn left(target: &Target, prefix: &str) -> Result<BTreeSet<String>, stonewal::store::Error> {
    let query = ListQuery { prefix: prefix.to_owned(), by_folder: false };
    let page = target.store.list_page(&query, None).await?;
    Ok(page.entries.iter().map(|entry| entry.version.as_str().to_owned()).collect())
}

async fn exactly_the_named_versions_go(target: Arc<Target>) -> Outcome {
    let prefix = target.key("exactly").to_string();
    let (mut doomed, mut kept) = (Vec::new(), BTreeSet::new());
    for n in 0..5 {
        let key = ObjectKey::new(format!("{prefix}/{n}"));
        for round in 0..3 {
            let version = target.put(&key, "x").await?;
            if round == n % 3 {
                doomed.push(version_of(&key, &version));
            } else {
                kept.insert(version.as_str().to_owned());
            }
        }
    }
    let answers = target.store.delete_versions(&doomed).await?;
    ensure!(answers.len() == 5 && answers.iter().all(Result::is_ok), "{answers:?}");
    let left = left(&target, &prefix).await?;
    ensure!(left == kept, "{} versions are left, {} were to be", left.len(), kept.len());
    Ok(())
}

async fn a_full_request_deletes_a_thousand(target: Arc<Target>) -> Outcome {
    let prefix = target.key("full").to_string();
    let puts = (0..=DELETE_KEYS_MAX).map(|n| {
        let (target, key) = (target.clone(), ObjectKey::new(format!("{prefix}/{:04}", n / 10)));
        async move { target.put(&key, "x").await.map(|version| version_of(&key, &version)) }
    });
    let written: Vec<_> = stream::iter(puts).buffer_unordered(8).try_collect().await?;
    let answers = target.store.delete_versions(&written).await;
    ensure!(matches!(answers, Err(Error::Setup(_))), "more than a request takes: {answers:?}");
    let answers = target.store.delete_versions(&written[..DELETE_KEYS_MAX]).await?;
    ensure!(answers.len() == DELETE_KEYS_MAX && answers.iter().all(Result::is_ok), "{answers:?}");
    let left = left(&target, &prefix).await?;
    ensure!(left.len() == 1, "{} are left", left.len());
    Ok(())
}

async fn one_locked_version_stays_and_is_named(target: Arc<Target>) -> Outcome {
    let key = target.key("among-others");
    let free = target.put(&key, "free").await?;
    let governance = target.put_locked(&key, target.lock(Governance, 2)).await?;
    let compliance = target.put_locked(&key, target.lock(Compliance, 2)).await?;
    let last = target.put(&key, "last").await?;
    let doomed = [&free, &governance, &compliance, &last].map(|version| version_of(&key, version));
    let answers = target.store.delete_versions(&doomed).await?;
    let names =
        |answer: &Result<(), Error>| matches!(answer, Err(Error::Denied { target, .. }) if *target == key.to_string());
    ensure!(answers.len() == 4 && answers[0].is_ok() && answers[3].is_ok(), "{answers:?}");
    ensure!(names(&answers[1]) && names(&answers[2]), "{answers:?}");
    let expected: BTreeSet<_> = [governance, compliance].iter().map(|version| version.as_str().to_owned()).collect();
    ensure!(left(&target, key.as_str()).await? == expected, "others are left than the locked ones");
    Ok(())
}

async fn versions_that_are_gone_are_deleted(target: Arc<Target>) -> Outcome {
    let key = target.key("gone-before");
    let version = target.put(&key, "x").await?;
    target.put(&key, "stays").await?;
    let doomed = [version_of(&key, &version)];
    for _ in 0..2 {
        let answers = target.store.delete_versions(&doomed).await?;
        ensure!(answers.len() == 1 && answers[0].is_ok(), "{answers:?}");
    }
    ensure!(left(&target, key.as_str()).await?.len() == 1, "the other version went too");
    Ok(())
}

async fn nothing_to_delete_is_no_request(target: Arc<Target>) -> Outcome {
    ensure!(target.store.delete_versions(&[]).await?.is_empty(), "an answer to nothing");
    Ok(())
}

/// Keys travel in XML here, not in the path.
async fn awkward_keys_are_deleted_too(target: Arc<Target>) -> Outcome {
    let prefix = target.key("awkward-delete").to_string();
    let mut doomed = Vec::new();
    for name in ["a b", "a+b", "a%20b", "<a>&amp;</a>", "\"'", "\u{fc}/\u{1f980}", "a//b", "trailing /"] {
        let key = ObjectKey::new(format!("{prefix}/{name}"));
        let version = target.put(&key, "x").await?;
        doomed.push(version_of(&key, &version));
    }
    let answers = target.store.delete_versions(&doomed).await?;
    ensure!(answers.iter().all(Result::is_ok), "{answers:?}");
    let left = left(&target, &prefix).await?;
    ensure!(left.is_empty(), "{} are left", left.len());
    Ok(())
}
