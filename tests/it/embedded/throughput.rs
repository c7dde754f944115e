//! Memory that does not depend on the size of objects; figures for throughput.

use std::sync::Arc;
use std::time::Instant;

use aws_sdk_s3::primitives::ByteStream;
use stonewal::store::roles::Role;

use super::durability::{ChildServer, prepare};
use super::{BUCKET, Fixture, SigningClock, client, crc64, put};

const MIB: usize = 1 << 20;

/// Peak resident memory of a process in bytes (`VmHWM` of proc(5)).
fn peak_memory(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn memory_is_independent_of_object_size() {
    let folder = tempfile::tempdir().unwrap();
    let admin = prepare(folder.path()).await;
    let server = ChildServer::start(folder.path()).await;
    let client = client(&server.endpoint, "us-east-1", &admin, None, SigningClock(Arc::default()));
    let body = (0..=250_u8).collect::<Vec<_>>().repeat(256 * MIB / 251);
    put(&client, "big", &body).send().await.unwrap();
    let mut got = client.get_object().bucket(BUCKET).key("big").send().await.unwrap().body;
    let mut at = 0;
    while let Some(piece) = got.next().await {
        let piece = piece.unwrap();
        assert!(body[at..].starts_with(&piece), "differs after {at}");
        at += piece.len();
    }
    assert_eq!(at, body.len());
    let peak = peak_memory(server.child.id());
    println!("peak memory of the server: {} MiB for an object of 256 MiB", peak / MIB);
    assert!(peak < 96 * MIB, "{} MiB", peak / MIB);
}

/// Figures, not a test: `cargo test --test it -- --ignored --nocapture throughput_figures`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures"]
async fn throughput_figures() {
    let fixture = Fixture::new().await;
    let writer = fixture.client(Role::Writer);
    let body = bytes::Bytes::from((0..=255_u8).collect::<Vec<_>>().repeat(32 * MIB / 256));
    let crc = crc64(&body);
    let mut sent = 0;
    let start = Instant::now();
    let mut uploads = tokio::task::JoinSet::new();
    for n in 0..32 {
        if uploads.len() == 3 {
            uploads.join_next().await.unwrap().unwrap();
        }
        let (writer, body, crc) = (writer.clone(), body.clone(), crc.clone());
        sent += body.len();
        uploads.spawn(async move {
            let put = writer.put_object().bucket(BUCKET).key(format!("{n}")).checksum_crc64_nvme(crc);
            put.body(ByteStream::from(body)).send().await.unwrap();
        });
    }
    uploads.join_all().await;
    report("PUT, 32 MiB, 3 in flight", sent, start);
    let start = Instant::now();
    let mut got = 0;
    for n in 0..32 {
        let object = writer.get_object().bucket(BUCKET).key(format!("{n}")).send().await.unwrap();
        got += object.body.collect().await.unwrap().into_bytes().len();
    }
    report("GET, 32 MiB, one at a time", got, start);
    let start = Instant::now();
    for n in 0..100 {
        super::put_version(&writer, &format!("small/{n}"), b"small").await;
    }
    println!("PUT, 5 bytes, one at a time: {:.1} ms each", start.elapsed().as_secs_f64() * 10.0);
}

fn report(what: &str, bytes: usize, start: Instant) {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let speed = bytes as f64 / 1e6 / start.elapsed().as_secs_f64();
    println!("{what}: {speed:.0} MB/s");
}
