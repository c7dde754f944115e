//! Listings by pages.

use std::collections::BTreeSet;

use aws_sdk_s3::Client;
use stonewal::store::roles::Role;

use super::{BUCKET, Fixture, outcome, put_version};

/// Every version and marker, by pages, as `key version`, and the number of pages.
async fn versions(client: &Client, prefix: &str, delimiter: Option<&str>) -> (Vec<String>, Vec<String>, usize) {
    let (mut lines, mut prefixes, mut pages) = (Vec::new(), Vec::new(), 0);
    let (mut key, mut version) = (None, None);
    loop {
        let page = client
            .list_object_versions()
            .bucket(BUCKET)
            .prefix(prefix)
            .set_delimiter(delimiter.map(Into::into))
            .set_key_marker(key)
            .set_version_id_marker(version)
            .send()
            .await
            .unwrap();
        pages += 1;
        lines.extend(page.versions().iter().map(|v| format!("{} {}", v.key().unwrap(), v.version_id().unwrap())));
        lines.extend(page.delete_markers().iter().map(|v| format!("{} {}", v.key().unwrap(), v.version_id().unwrap())));
        prefixes.extend(page.common_prefixes().iter().map(|p| p.prefix().unwrap().to_owned()));
        assert!(page.versions().len() + page.delete_markers().len() + page.common_prefixes().len() <= 7);
        if page.is_truncated() != Some(true) {
            return (lines, prefixes, pages);
        }
        (key, version) = (page.next_key_marker, page.next_version_id_marker);
        assert!(key.is_some());
    }
}

#[tokio::test]
async fn twelve_hundred_versions_in_pages_of_seven() {
    let fixture = Fixture::with(|options| options.page_size = 7).await;
    let admin = fixture.client(Role::Admin);
    let mut expected = BTreeSet::new();
    let mut puts = tokio::task::JoinSet::new();
    for n in 0..1100 {
        let admin = admin.clone();
        // One key with 300 versions, folders with few, and names around the folder separator.
        let key = match n % 11 {
            0..3 => "many".to_owned(),
            3..6 => format!("folder/{}/{}", n % 5, n % 13),
            6..9 => format!("folder0{}", n % 17),
            _ => format!("ü/{n}"),
        };
        puts.spawn(async move { format!("{key} {}", put_version(&admin, &key, b"x").await) });
        if puts.len() > 8 {
            expected.insert(puts.join_next().await.unwrap().unwrap());
        }
    }
    expected.extend(puts.join_all().await);
    for n in 0..100 {
        let key = format!("folder/{}/{}", n % 5, n % 13);
        let marker = admin.delete_object().bucket(BUCKET).key(&key).send().await.unwrap();
        expected.insert(format!("{key} {}", marker.version_id().unwrap()));
    }
    assert_eq!(expected.len(), 1200);

    let (lines, prefixes, pages) = versions(&admin, "", None).await;
    assert_eq!((lines.len(), prefixes.len(), pages), (1200, 0, 172));
    assert_eq!(lines.into_iter().collect::<BTreeSet<_>>(), expected);

    let (lines, prefixes, _) = versions(&admin, "", Some("/")).await;
    assert_eq!(prefixes, ["folder/", "ü/"]);
    assert!(lines.iter().all(|line| line.starts_with("many ") || line.starts_with("folder0")));
    let (lines, prefixes, _) = versions(&admin, "folder/", Some("/")).await;
    assert_eq!((lines.len(), prefixes.len()), (0, 5));
    let (lines, _, _) = versions(&admin, "many", None).await;
    assert_eq!(lines.len(), 300);

    // Only current objects, and none under the deleted folder.
    let mut pages = admin.list_objects_v2().bucket(BUCKET).delimiter("/").into_paginator().send();
    let (mut keys, mut prefixes) = (Vec::new(), Vec::new());
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        keys.extend(page.contents().iter().map(|object| object.key().unwrap().to_owned()));
        prefixes.extend(page.common_prefixes().iter().map(|prefix| prefix.prefix().unwrap().to_owned()));
    }
    assert_eq!(prefixes, ["ü/"]);
    assert_eq!((keys.len(), keys.last().unwrap().as_str()), (18, "many"));
    assert!(keys.is_sorted());
}

#[tokio::test]
async fn newest_first_with_one_latest() {
    let fixture = Fixture::with(|options| options.page_size = 2).await;
    let admin = fixture.client(Role::Admin);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.insert(0, format!("k {}", put_version(&admin, "k", b"x").await));
    }
    assert_eq!(versions(&admin, "", None).await.0, ids);
    assert!(!ids.is_sorted() || !ids.iter().rev().is_sorted(), "ids carry no order");
    let first = admin.list_object_versions().bucket(BUCKET).send().await.unwrap();
    let latest: Vec<_> = first.versions().iter().map(|version| version.is_latest().unwrap()).collect();
    assert_eq!(latest, [true, false]);
}

#[tokio::test]
async fn a_page_goes_on_after_its_last_version_was_deleted() {
    let fixture = Fixture::with(|options| options.page_size = 2).await;
    let admin = fixture.client(Role::Admin);
    for _ in 0..4 {
        put_version(&admin, "k", b"x").await;
    }
    let first = admin.list_object_versions().bucket(BUCKET).send().await.unwrap();
    let last = first.versions().last().unwrap().version_id().unwrap();
    admin.delete_object().bucket(BUCKET).key("k").version_id(last).send().await.unwrap();
    let second = admin
        .list_object_versions()
        .bucket(BUCKET)
        .set_key_marker(first.next_key_marker)
        .set_version_id_marker(first.next_version_id_marker)
        .send()
        .await
        .unwrap();
    assert_eq!((second.versions().len(), second.is_truncated()), (2, Some(false)));
}

#[tokio::test]
async fn odd_listings() {
    let fixture = Fixture::new().await;
    let admin = fixture.client(Role::Admin);
    put_version(&admin, "a b/ü+\u{1}", b"x").await;
    put_version(&admin, "c", b"x").await;
    let list = || admin.list_objects_v2().bucket(BUCKET);
    let url = list().encoding_type(aws_sdk_s3::types::EncodingType::Url).send().await.unwrap();
    assert_eq!(url.contents()[0].key(), Some("a%20b/%C3%BC%2B%01"));
    let after = list().start_after("b").send().await.unwrap();
    assert_eq!((after.key_count(), after.contents()[0].key()), (Some(1), Some("c")));
    let none = list().max_keys(0).send().await.unwrap();
    assert_eq!((none.key_count(), none.is_truncated()), (Some(0), Some(false)));
    assert_eq!(outcome(list().max_keys(-1).send().await), "InvalidArgument");
    assert_eq!(outcome(list().continuation_token("%%").send().await), "InvalidArgument");
    assert_eq!(outcome(admin.list_objects_v2().bucket("absent").send().await), "NoSuchBucket");
    let marker = admin.list_object_versions().bucket(BUCKET).version_id_marker("x");
    assert_eq!(outcome(marker.send().await), "InvalidArgument");
}
