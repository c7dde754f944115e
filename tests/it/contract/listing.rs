//! Listings show every version, whatever its key.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use stonewal::store::{Entry, Error, ListQuery, ObjectKey, Prune as _, Read as _, Result};

use super::{Case, Outcome, Target, case, ensure};

pub(super) const CASES: &[Case] = &[
    case!(more_versions_than_a_page_are_all_seen_once),
    case!(folders_group_keys),
    case!(awkward_keys_survive),
    case!(control_characters_survive, needs ControlCharacters),
    case!(a_delete_marker_hides_nothing_from_us),
];

/// Keys that a careless client or server changes.
const AWKWARD: &[&str] = &[
    "a b",
    "a+b",
    "a%20b",
    "a%2Bb",
    "a&b=c",
    "a?b#c",
    "a;b:c@d",
    "a\"b'c",
    "<a>&amp;</a>",
    "ü/ñ/日本/🦀",
    "a/../b",
    "a//b",
    "trailing /",
    "(a)[b]{c}|d\\e^f`g~h",
    "a*b!c,d$e",
];

async fn list(target: &Target, prefix: &str, by_folder: bool) -> Result<(Vec<Entry>, Vec<String>, usize)> {
    let query = ListQuery { prefix: prefix.to_owned(), by_folder };
    let (mut entries, mut prefixes, mut token, mut pages) = (Vec::new(), Vec::new(), None, 0);
    loop {
        let page = target.store.list_page(&query, token.as_ref()).await?;
        entries.extend(page.entries);
        prefixes.extend(page.prefixes);
        pages += 1;
        token = page.next;
        if token.is_none() {
            return Ok((entries, prefixes, pages));
        }
    }
}

async fn more_versions_than_a_page_are_all_seen_once(target: Arc<Target>) -> Outcome {
    // 1,030 versions over 103 keys: a page ends within a key.
    let prefix = target.key("pages").to_string();
    let keys: Vec<_> = (0..103).map(|n| ObjectKey::new(format!("{prefix}/{n:03}"))).collect();
    let puts = keys.into_iter().cycle().take(1_030).map(|key| {
        let target = target.clone();
        async move { target.put(&key, "x").await }
    });
    let written: Vec<_> = stream::iter(puts).buffer_unordered(8).try_collect().await?;
    let (entries, _, pages) = list(&target, &prefix, false).await?;
    ensure!(pages >= 2, "all in one page");
    let listed: BTreeSet<_> = entries.iter().map(|entry| entry.version.as_str()).collect();
    let written: BTreeSet<_> = written.iter().map(stonewal::store::VersionId::as_str).collect();
    ensure!(entries.len() == 1_030 && listed == written, "{} listed, {} different", entries.len(), listed.len());
    ensure!(entries.is_sorted_by_key(|entry| entry.key.as_str()), "not in key order");
    ensure!(entries.iter().filter(|entry| entry.is_latest).count() == 103, "one version of each key is the latest");
    Ok(())
}

async fn folders_group_keys(target: Arc<Target>) -> Outcome {
    let prefix = format!("{}/", target.key("folders"));
    for name in ["a/1", "a/2", "b c/1", "top"] {
        target.put(&ObjectKey::new(format!("{prefix}{name}")), "x").await?;
    }
    let (entries, prefixes, _) = list(&target, &prefix, true).await?;
    ensure!(prefixes == [format!("{prefix}a/"), format!("{prefix}b c/")], "{prefixes:?}");
    ensure!(entries.len() == 1 && entries[0].key.as_str() == format!("{prefix}top"), "{entries:?}");
    Ok(())
}

async fn awkward_keys_survive(target: Arc<Target>) -> Outcome {
    let long = "l".repeat(900);
    survive(&target, &[AWKWARD, &[long.as_str()]].concat()).await
}

async fn control_characters_survive(target: Arc<Target>) -> Outcome {
    survive(&target, &["a\u{1}b", "a\tb", "a\nb", "a\rb"]).await
}

async fn survive(target: &Target, names: &[&str]) -> Outcome {
    let prefix = target.key("awkward").to_string();
    let mut expected = BTreeSet::new();
    for (n, name) in names.iter().enumerate() {
        let (key, body) = (ObjectKey::new(format!("{prefix}/{name}")), n.to_string());
        let version = target.put(&key, body.clone()).await.map_err(|error| format!("put {name:?}: {error}"))?;
        let got = target.store.get(&key, &version, 0..body.len() as u64).await;
        ensure!(got.as_ref().is_ok_and(|got| *got == body), "get {name:?}: {got:?}");
        ensure!(target.store.head(&key, &version).await?.bytes == body.len() as u64, "head {name:?}");
        expected.insert((key.as_str().to_owned(), version.as_str().to_owned()));
    }
    let (entries, _, _) = list(target, &prefix, false).await?;
    let listed: BTreeSet<_> =
        entries.iter().map(|entry| (entry.key.as_str().to_owned(), entry.version.as_str().to_owned())).collect();
    let missing: Vec<_> = expected.difference(&listed).collect();
    ensure!(listed == expected, "{} keys listed otherwise than written: {missing:?}", missing.len());
    Ok(())
}

async fn a_delete_marker_hides_nothing_from_us(target: Arc<Target>) -> Outcome {
    let key = target.key("marked");
    let version = target.put(&key, "x").await?;
    // The delete that our own client does not have: without a version.
    target.raw_client()?.delete_object().bucket(&target.options.bucket).key(key.as_str()).send().await?;
    ensure!(target.store.get(&key, &version, 0..1).await? == "x", "the version is gone");
    let (entries, _, _) = list(&target, key.as_str(), false).await?;
    ensure!(entries.len() == 2 && entries[0].delete_marker && entries[0].is_latest, "{entries:?}");
    ensure!(!entries[1].delete_marker && !entries[1].is_latest && entries[1].version == version, "{entries:?}");
    let marker = target.store.get(&key, &entries[0].version, 0..1).await;
    ensure!(matches!(marker, Err(Error::NotFound { .. })), "get of a marker: {marker:?}");
    let head = target.store.head(&key, &entries[0].version).await;
    ensure!(matches!(head, Err(Error::NotFound { .. })), "head of a marker: {head:?}");
    target.store.delete_version(&key, &entries[0].version, false).await?;
    ensure!(list(&target, key.as_str(), false).await?.0.len() == 1, "the marker is not deleted");
    Ok(())
}
