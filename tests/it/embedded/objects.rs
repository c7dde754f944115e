//! Objects: bodies, ranges, versions, markers, conditions, metadata, the request log.

use aws_sdk_s3::types::{Delete, ObjectIdentifier, ObjectLockMode};
use stonewal::store::roles::Role;

use super::{BUCKET, Fixture, crc64, outcome, put, put_version};

#[tokio::test]
async fn bodies_ranges_and_metadata_come_back() {
    let fixture = Fixture::new().await;
    let (writer, reader) = (fixture.client(Role::Writer), fixture.client(Role::Reader));
    let body: Vec<u8> = (0..=250_u8).cycle().take(3_000_001).collect();
    let until = fixture.later(3600);
    let stored = put(&writer, "a b/ü+%/\u{10ffff}.bin", &body)
        .object_lock_mode(ObjectLockMode::Governance)
        .object_lock_retain_until_date(until)
        .content_type("application/x-thing")
        .metadata("who", "stonewal")
        .send()
        .await
        .unwrap();
    let version = stored.version_id.unwrap();
    assert_eq!(stored.checksum_crc64_nvme, Some(crc64(&body)));

    let get = || reader.get_object().bucket(BUCKET).key("a b/ü+%/\u{10ffff}.bin").version_id(&version);
    let whole = get().checksum_mode(aws_sdk_s3::types::ChecksumMode::Enabled).send().await.unwrap();
    assert_eq!(whole.checksum_crc64_nvme(), Some(crc64(&body).as_str()));
    assert_eq!(whole.content_type(), Some("application/x-thing"));
    assert_eq!(whole.metadata().unwrap()["who"], "stonewal");
    assert_eq!(whole.object_lock_mode(), Some(&ObjectLockMode::Governance));
    assert_eq!(whole.object_lock_retain_until_date().unwrap().secs(), until.secs());
    assert_eq!(whole.body.collect().await.unwrap().to_vec(), body);

    for (range, expected) in [
        ("bytes=0-0", &body[..1]),
        ("bytes=1000000-2000000", &body[1_000_000..=2_000_000]),
        ("bytes=3000000-", &body[3_000_000..]),
        ("bytes=-5", &body[2_999_996..]),
        ("bytes=2999999-99999999", &body[2_999_999..]),
    ] {
        let part = get().range(range).send().await.unwrap();
        assert!(part.content_range().unwrap().ends_with("/3000001"), "{range}");
        assert_eq!(part.body.collect().await.unwrap().to_vec(), expected, "{range}");
    }
    assert_eq!(outcome(get().range("bytes=3000001-").send().await), "InvalidRange");
    let head = reader.head_object().bucket(BUCKET).key("a b/ü+%/\u{10ffff}.bin").send().await.unwrap();
    assert_eq!((head.content_length(), head.version_id()), (Some(3_000_001), Some(version.as_str())));
}

#[tokio::test]
async fn keys_may_have_1024_bytes_and_bodies_may_be_empty() {
    let fixture = Fixture::new().await;
    let writer = fixture.client(Role::Writer);
    let longest = "ü".repeat(512);
    put_version(&writer, &longest, b"").await;
    let head = writer.head_object().bucket(BUCKET).key(&longest).send().await.unwrap();
    assert_eq!(head.content_length(), Some(0));
    let got = writer.get_object().bucket(BUCKET).key(&longest).send().await.unwrap();
    assert!(got.body.collect().await.unwrap().to_vec().is_empty());
    assert_eq!(outcome(put(&writer, &format!("{longest}x"), b"").send().await), "KeyTooLongError");
}

#[tokio::test]
async fn markers_hide_and_old_versions_stay() {
    let fixture = Fixture::new().await;
    let admin = fixture.client(Role::Admin);
    let first = put_version(&admin, "k", b"first").await;
    let second = put_version(&admin, "k", b"second").await;
    let marker = admin.delete_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(marker.delete_marker(), Some(true));
    let marker = marker.version_id.unwrap();

    let get = |id: Option<&str>| admin.get_object().bucket(BUCKET).key("k").set_version_id(id.map(Into::into)).send();
    assert_eq!(outcome(get(None).await), "NoSuchKey");
    assert_eq!(outcome(get(Some(&marker)).await), "MethodNotAllowed");
    assert_eq!(outcome(admin.head_object().bucket(BUCKET).key("k").send().await), "404");
    assert_eq!(outcome(get(Some("00000000000000000000000000000000")).await), "NoSuchVersion");
    assert_eq!(outcome(get(Some("nonsense")).await), "InvalidArgument");
    for (id, body) in [(&first, "first"), (&second, "second")] {
        let got = get(Some(id)).await.unwrap();
        assert_eq!(got.body.collect().await.unwrap().to_vec(), body.as_bytes());
    }
    let gone = admin.delete_object().bucket(BUCKET).key("k").version_id(&marker).send().await.unwrap();
    assert_eq!((gone.delete_marker(), gone.version_id()), (Some(true), Some(marker.as_str())));
    assert_eq!(get(None).await.unwrap().version_id(), Some(second.as_str()));
    assert_eq!(outcome(admin.delete_object().bucket(BUCKET).key("k").version_id(&marker).send().await), "ok");
}

#[tokio::test]
async fn conditional_puts() {
    let fixture = Fixture::new().await;
    let admin = fixture.client(Role::Admin);
    let once = || put(&admin, "once", b"1").if_none_match("*").send();
    let tag = once().await.unwrap().e_tag.unwrap();
    assert_eq!(outcome(once().await), "PreconditionFailed");
    assert_eq!(outcome(put(&admin, "once", b"2").if_match("\"other\"").send().await), "PreconditionFailed");
    assert_eq!(outcome(put(&admin, "none", b"2").if_match(&tag).send().await), "NoSuchKey");
    assert_eq!(outcome(put(&admin, "once", b"2").if_match(&tag).send().await), "ok");
    // A delete marker on top means that there is no current object.
    admin.delete_object().bucket(BUCKET).key("once").send().await.unwrap();
    assert_eq!(outcome(once().await), "ok");

    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        racers.spawn(put(&admin, "race", &vec![7; 100_000]).if_none_match("*").send());
    }
    let results: Vec<String> = racers.join_all().await.into_iter().map(outcome).collect();
    assert_eq!(results.iter().filter(|result| *result == "ok").count(), 1, "{results:?}");
    assert!(results.iter().all(|result| ["ok", "PreconditionFailed"].contains(&result.as_str())), "{results:?}");
}

#[tokio::test]
async fn conditional_gets() {
    let fixture = Fixture::new().await;
    let admin = fixture.client(Role::Admin);
    let tag = put(&admin, "k", b"1").send().await.unwrap().e_tag.unwrap();
    assert_eq!(tag, "\"c4ca4238a0b923820dcc509a6f75849b\"", "the ETag is the MD5");
    let get = || admin.get_object().bucket(BUCKET).key("k");
    assert_eq!(outcome(get().if_match(&tag).send().await), "ok");
    assert_eq!(outcome(get().if_match("\"x\"").send().await), "PreconditionFailed");
    let unchanged = get().if_none_match(&tag).send().await.unwrap_err();
    assert_eq!(unchanged.raw_response().unwrap().status().as_u16(), 304);
    assert_eq!(outcome(get().if_unmodified_since(fixture.later(-3600)).send().await), "PreconditionFailed");
    assert_eq!(outcome(get().if_modified_since(fixture.later(-3600)).send().await), "ok");
}

#[tokio::test]
async fn multi_delete_answers_per_key() {
    let fixture = Fixture::new().await;
    let admin = fixture.client(Role::Admin);
    let free = put_version(&admin, "free", b"1").await;
    let locked = put(&admin, "locked", b"1")
        .object_lock_mode(ObjectLockMode::Compliance)
        .object_lock_retain_until_date(fixture.later(3600))
        .send()
        .await
        .unwrap()
        .version_id
        .unwrap();
    let object = |key: &str, id: Option<&str>| {
        ObjectIdentifier::builder().key(key).set_version_id(id.map(Into::into)).build().unwrap()
    };
    let wanted = Delete::builder()
        .objects(object("free", Some(&free)))
        .objects(object("locked", Some(&locked)))
        .objects(object("locked", None))
        .objects(object("absent", Some("bad id")))
        .build()
        .unwrap();
    let result = admin.delete_objects().bucket(BUCKET).delete(wanted).send().await.unwrap();
    let deleted: Vec<_> =
        result.deleted().iter().map(|d| (d.key().unwrap(), d.delete_marker().unwrap_or(false))).collect();
    assert_eq!(deleted, [("free", false), ("locked", true)]);
    let errors: Vec<_> = result.errors().iter().map(|e| (e.key().unwrap(), e.code().unwrap())).collect();
    assert_eq!(errors, [("locked", "AccessDenied"), ("absent", "InvalidArgument")]);
}

#[tokio::test]
async fn the_log_tells_what_was_asked() {
    let fixture = Fixture::new().await;
    let writer = fixture.client(Role::Writer);
    let version = put(&writer, "a/ü", b"12345")
        .object_lock_mode(ObjectLockMode::Governance)
        .object_lock_retain_until_date(fixture.later(60))
        .send()
        .await
        .unwrap()
        .version_id
        .unwrap();
    assert_eq!(
        outcome(writer.delete_object().bucket(BUCKET).key("a/ü").version_id(&version).send().await),
        "AccessDenied"
    );
    let log = fixture.log();
    let [.., stored, refused] = log.as_slice() else { panic!("two lines at least") };
    assert_eq!(
        (&stored["user"], &stored["action"], &stored["status"]),
        (&"writer".into(), &"PutObject".into(), &200.into())
    );
    assert_eq!((&stored["bucket"], &stored["key"]), (&BUCKET.into(), &"a/ü".into()));
    assert_eq!((&stored["version"], &stored["body_bytes"]), (&version.clone().into(), &5.into()));
    assert_eq!(stored["headers"]["x-amz-object-lock-mode"], "GOVERNANCE");
    assert!(stored["headers"]["x-amz-checksum-crc64nvme"].is_string());
    assert_eq!((&refused["action"], &refused["status"]), (&"DeleteObject".into(), &403.into()));
    assert_eq!(refused["version"], version);
    let text = std::fs::read_to_string(fixture.root.path().join("requests.jsonl")).unwrap();
    assert!(!text.contains("Signature="), "no signatures in the log");
}
