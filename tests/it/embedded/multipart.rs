//! Multipart uploads, as other clients make them.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, EncodingType, ObjectLockMode,
};
use stonewal::store::embedded::{Options, Server};
use stonewal::store::roles::Role;

use super::{BUCKET, Fixture, crc64, outcome};

async fn part(client: &Client, upload: &str, number: i32, body: &[u8]) -> CompletedPart {
    let sent = client
        .upload_part()
        .bucket(BUCKET)
        .key("big")
        .upload_id(upload)
        .part_number(number)
        .checksum_crc64_nvme(crc64(body))
        .body(ByteStream::from(body.to_vec()));
    let sent = sent.send().await.unwrap();
    CompletedPart::builder().part_number(number).e_tag(sent.e_tag.unwrap()).build()
}

fn list(parts: &[&CompletedPart]) -> CompletedMultipartUpload {
    CompletedMultipartUpload::builder().set_parts(Some(parts.iter().map(|part| (*part).clone()).collect())).build()
}

fn bytes(length: usize, seed: u8) -> Vec<u8> {
    (0..=252_u8).map(|byte| byte ^ seed).cycle().take(length).collect()
}

#[tokio::test]
async fn parts_become_one_locked_object_even_over_a_restart() {
    let fixture = Fixture::new().await;
    let admin = fixture.client(Role::Admin);
    let created = admin
        .create_multipart_upload()
        .bucket(BUCKET)
        .key("big")
        .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
        .checksum_type(ChecksumType::FullObject)
        .object_lock_mode(ObjectLockMode::Compliance)
        .object_lock_retain_until_date(fixture.later(3600));
    let upload = created.send().await.unwrap().upload_id.unwrap();
    let (first, last) = (bytes(5 << 20, 1), bytes(1000, 2));
    let replaced = part(&admin, &upload, 1, &bytes(5 << 20, 9)).await;
    let one = part(&admin, &upload, 1, &first).await;
    let two = part(&admin, &upload, 2, &last).await;
    let Fixture { root, server, clock } = fixture;
    let credentials = server.credentials(Role::Admin).unwrap();
    server.stop().await;
    let server = Server::start(Options::new(root.path().join("store"))).await.unwrap();
    let admin = super::client(&server.endpoint(), server.region(), &credentials, None, clock);

    let parts = admin.list_parts().bucket(BUCKET).key("big").upload_id(&upload).send().await.unwrap();
    let sizes: Vec<_> = parts.parts().iter().map(|part| part.size().unwrap()).collect();
    assert_eq!(sizes, [5 << 20, 1000]);
    let complete =
        |parts| admin.complete_multipart_upload().bucket(BUCKET).key("big").upload_id(&upload).multipart_upload(parts);
    assert_eq!(outcome(complete(list(&[&replaced, &two])).send().await), "InvalidPart");
    assert_eq!(outcome(complete(list(&[&two, &one])).send().await), "InvalidPartOrder");
    assert_eq!(outcome(complete(list(&[&one, &two])).mpu_object_size(7).send().await), "InvalidRequest");
    assert_eq!(outcome(complete(list(&[&one, &two])).checksum_crc64_nvme(crc64(b"x")).send().await), "BadDigest");
    let whole = [first, last].concat();
    let done = complete(list(&[&one, &two])).checksum_crc64_nvme(crc64(&whole)).send().await.unwrap();
    assert!(done.e_tag().unwrap().ends_with("-2\""), "{:?}", done.e_tag());
    let got = admin.get_object().bucket(BUCKET).key("big").send().await.unwrap();
    assert_eq!(got.object_lock_mode(), Some(&ObjectLockMode::Compliance));
    assert_eq!(got.body.collect().await.unwrap().to_vec(), whole);
    assert_eq!(outcome(complete(list(&[&one, &two])).send().await), "NoSuchUpload");
    assert_eq!(std::fs::read_dir(root.path().join("store/uploads")).unwrap().count(), 0);
    let delete = admin.delete_object().bucket(BUCKET).key("big").version_id(done.version_id().unwrap());
    assert_eq!(outcome(delete.send().await), "AccessDenied");
}

#[tokio::test]
async fn composite_checksums_follow_the_published_rule() {
    let fixture = Fixture::new().await;
    let admin = fixture.client(Role::Admin);
    let created =
        admin.create_multipart_upload().bucket(BUCKET).key("big").checksum_algorithm(ChecksumAlgorithm::Sha256);
    let upload = created.send().await.unwrap().upload_id.unwrap();
    let mut parts = Vec::new();
    let mut digests = Vec::new();
    for (number, body) in [(1, bytes(5 << 20, 1)), (2, bytes(10, 2))] {
        let digest = ring::digest::digest(&ring::digest::SHA256, &body);
        digests.extend_from_slice(digest.as_ref());
        let value = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest);
        let send = |value: String| {
            let request = admin.upload_part().bucket(BUCKET).key("big").upload_id(&upload).part_number(number);
            request.checksum_sha256(value).body(ByteStream::from(body.clone())).send()
        };
        assert_eq!(outcome(send(crc_like()).await), "BadDigest");
        let answer = send(value.clone()).await.unwrap();
        parts.push(
            CompletedPart::builder().part_number(number).e_tag(answer.e_tag.unwrap()).checksum_sha256(value).build(),
        );
    }
    let mismatch = admin.upload_part().bucket(BUCKET).key("big").upload_id(&upload).part_number(3);
    let mismatch = mismatch.checksum_crc32("y/Q5Jg==").body(ByteStream::from_static(b"123456789"));
    assert_eq!(outcome(mismatch.send().await), "InvalidRequest");
    let all: Vec<_> = parts.iter().collect();
    let done =
        admin.complete_multipart_upload().bucket(BUCKET).key("big").upload_id(&upload).multipart_upload(list(&all));
    let done = done.send().await.unwrap();
    let expected = ring::digest::digest(&ring::digest::SHA256, &digests);
    let expected = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, expected);
    assert_eq!(done.checksum_sha256(), Some(format!("{expected}-2").as_str()));
    assert_eq!(done.checksum_type(), Some(&ChecksumType::Composite));
}

fn crc_like() -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [0; 32])
}

#[tokio::test]
async fn small_parts_missing_checksums_and_aborts() {
    let fixture = Fixture::new().await;
    let (admin, writer) = (fixture.client(Role::Admin), fixture.client(Role::Writer));
    let create = || admin.create_multipart_upload().bucket(BUCKET).key("big");
    let upload = create().send().await.unwrap().upload_id.unwrap();
    let bare = writer.upload_part().bucket(BUCKET).key("big").upload_id(&upload).part_number(1);
    assert_eq!(outcome(bare.body(ByteStream::from_static(b"x")).send().await), "InvalidRequest");
    let one = part(&writer, &upload, 1, b"small").await;
    let two = part(&writer, &upload, 2, b"last").await;
    let complete =
        |parts| admin.complete_multipart_upload().bucket(BUCKET).key("big").upload_id(&upload).multipart_upload(parts);
    assert_eq!(outcome(complete(list(&[&one, &two])).send().await), "EntityTooSmall");
    assert_eq!(outcome(complete(list(&[])).send().await), "MalformedXML");
    let abort = |client: &Client| client.abort_multipart_upload().bucket(BUCKET).key("big").upload_id(&upload).send();
    assert_eq!(outcome(abort(&writer).await), "AccessDenied");
    assert_eq!(outcome(abort(&admin).await), "ok");
    assert_eq!(outcome(complete(list(&[&two])).send().await), "NoSuchUpload");
    assert_eq!(std::fs::read_dir(fixture.store().join("uploads")).unwrap().count(), 0);
    let odd = create().checksum_algorithm(ChecksumAlgorithm::Sha256).checksum_type(ChecksumType::FullObject);
    assert_eq!(outcome(odd.send().await), "InvalidRequest");

    let upload = create().send().await.unwrap().upload_id.unwrap();
    let only = part(&writer, &upload, 7, b"one small part is the last").await;
    let complete = admin.complete_multipart_upload().bucket(BUCKET).key("big").upload_id(&upload);
    let complete = complete.multipart_upload(list(&[&only])).if_none_match("*");
    assert_eq!(outcome(complete.clone().send().await), "ok");
    let upload = create().send().await.unwrap().upload_id.unwrap();
    let again = part(&writer, &upload, 7, b"again").await;
    let again = complete.upload_id(&upload).multipart_upload(list(&[&again]));
    assert_eq!(outcome(again.send().await), "PreconditionFailed");
}

#[tokio::test]
async fn unfinished_uploads_are_listed_page_by_page() {
    let fixture = Fixture::new().await;
    let admin = fixture.client(Role::Admin);
    let mut begun = Vec::new();
    for key in ["b", "a/x", "a/y", "a/x", "c"] {
        let made = admin.create_multipart_upload().bucket(BUCKET).key(key).send().await.unwrap();
        begun.push((key.to_owned(), made.upload_id.unwrap()));
    }
    let gone = begun.pop().unwrap();
    admin.abort_multipart_upload().bucket(BUCKET).key(&gone.0).upload_id(&gone.1).send().await.unwrap();
    begun.sort();
    for (size, prefix) in [(1, ""), (3, ""), (1000, ""), (1, "a/")] {
        let (mut found, mut marker) = (Vec::new(), (None, None));
        loop {
            let list = admin.list_multipart_uploads().bucket(BUCKET).prefix(prefix).max_uploads(size);
            let page = list.set_key_marker(marker.0).set_upload_id_marker(marker.1).send().await.unwrap();
            let pair = |upload: &aws_sdk_s3::types::MultipartUpload| {
                (upload.key().unwrap().to_owned(), upload.upload_id().unwrap().to_owned())
            };
            found.extend(page.uploads().iter().map(pair));
            marker = (page.next_key_marker, page.next_upload_id_marker);
            if page.is_truncated != Some(true) {
                break;
            }
        }
        let expected: Vec<_> = begun.iter().filter(|(key, _)| key.starts_with(prefix)).cloned().collect();
        assert_eq!(found, expected, "{size} {prefix:?}");
    }
    // As asked for where names may hold what XML cannot carry.
    admin.create_multipart_upload().bucket(BUCKET).key("z/+ ü").send().await.unwrap();
    let list = admin.list_multipart_uploads().bucket(BUCKET).prefix("z/").encoding_type(EncodingType::Url);
    let encoded = list.send().await.unwrap();
    assert_eq!(encoded.uploads()[0].key(), Some("z/%2B%20%C3%BC"));
}
