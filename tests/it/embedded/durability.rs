//! A server killed with SIGKILL in the middle of uploads, again and again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::ObjectLockMode;
use stonewal::store::embedded::{Credentials, Options, Server};
use stonewal::store::roles::Role;

use super::{BUCKET, DateTime, SigningClock, client, crc64, put};

const WANTED: &str = "child-server-wanted";

/// Not a test: the body of the child process. It serves `store` in its working directory until it is killed.
#[tokio::test]
#[ignore = "runs inside the child process of the tests below"]
async fn child_server() {
    let here = std::env::current_dir().unwrap();
    if !here.join(WANTED).exists() {
        return;
    }
    let server = Server::start(Options::new(here.join("store"))).await.unwrap();
    std::fs::write(here.join("endpoint.tmp"), server.endpoint()).unwrap();
    std::fs::rename(here.join("endpoint.tmp"), here.join("endpoint")).unwrap();
    tokio::time::sleep(Duration::from_mins(10)).await;
}

/// A server in a process of its own.
pub(super) struct ChildServer {
    pub(super) child: Child,
    pub(super) endpoint: String,
}

impl ChildServer {
    pub(super) async fn start(folder: &Path) -> Self {
        std::fs::write(folder.join(WANTED), "").unwrap();
        let endpoint = folder.join("endpoint");
        let _ = std::fs::remove_file(&endpoint);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "embedded::durability::child_server", "--ignored"])
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut this = Self { child, endpoint: String::new() };
        for _ in 0..500 {
            if let Ok(endpoint) = std::fs::read_to_string(&endpoint) {
                this.endpoint = endpoint;
                return this;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the child server did not start");
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for ChildServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server in `folder` once, for its buckets and users.
pub(super) async fn prepare(folder: &Path) -> Credentials {
    let server = Server::start(Options::new(folder.join("store"))).await.unwrap();
    let admin = server.credentials(Role::Admin).unwrap();
    let client = client(&server.endpoint(), server.region(), &admin, None, SigningClock(Arc::default()));
    client.create_bucket().bucket(BUCKET).object_lock_enabled_for_bucket(true).send().await.unwrap();
    server.stop().await;
    admin
}

/// Different for each key, and cheap, so that a kill finds the server at work and not the test.
fn body_of(key: &str) -> Vec<u8> {
    let seed = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, key.as_bytes());
    let length = usize::try_from(seed % 3_000_000).unwrap();
    let mut body = seed.to_be_bytes().repeat(length / 8);
    body.extend_from_slice(key.as_bytes());
    body
}

async fn upload_until_killed(
    client: Client,
    name: String,
    until: DateTime,
    count: Arc<AtomicUsize>,
) -> Vec<(String, String)> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        let key = format!("{name}/{n}");
        let locked = put(&client, &key, &body_of(&key))
            .object_lock_mode(ObjectLockMode::Compliance)
            .object_lock_retain_until_date(until);
        match locked.send().await {
            Ok(stored) => {
                acknowledged.push((key, stored.version_id.unwrap()));
                count.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => break,
        }
    }
    acknowledged
}

#[tokio::test]
async fn killed_servers_lose_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let admin = prepare(folder.path()).await;
    let until = DateTime::from_secs(4_000_000_000);
    let mut acknowledged = BTreeMap::new();
    for round in 0..6 {
        let server = ChildServer::start(folder.path()).await;
        let client = client(&server.endpoint, "us-east-1", &admin, None, SigningClock(Arc::default()));
        let (mut uploads, count) = (tokio::task::JoinSet::new(), Arc::new(AtomicUsize::new(0)));
        for writer in 0..4 {
            uploads.spawn(upload_until_killed(client.clone(), format!("{round}/{writer}"), until, count.clone()));
        }
        tokio::time::sleep(Duration::from_millis(150 + 97 * round)).await;
        // However busy the machine is: somewhere in the middle of the work.
        while count.load(Ordering::Relaxed) < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.kill();
        acknowledged.extend(uploads.join_all().await.into_iter().flatten());
    }
    let files =
        |name: &str| std::fs::read_dir(folder.path().join("store/buckets").join(BUCKET).join(name)).unwrap().count();
    println!("{} bodies and {} records after the last kill", files("data"), files("meta"));
    assert!(acknowledged.len() >= 24, "only {} uploads were acknowledged", acknowledged.len());
    // Remnants of every kind of interruption that a kill can leave.
    let bucket = folder.path().join("store/buckets").join(BUCKET);
    std::fs::write(bucket.join("data/half"), "half a body").unwrap();
    std::fs::write(bucket.join("meta/.tmp-half"), "{").unwrap();

    let server = Server::start(Options::new(folder.path().join("store"))).await.unwrap();
    let client = client(&server.endpoint(), server.region(), &admin, None, SigningClock(Arc::default()));
    let mut listed = BTreeMap::new();
    let (mut key, mut version) = (None, None);
    loop {
        let page = client.list_object_versions().bucket(BUCKET).set_key_marker(key).set_version_id_marker(version);
        let page = page.send().await.unwrap();
        for version in page.versions() {
            listed.insert(version.key().unwrap().to_owned(), version.version_id().unwrap().to_owned());
        }
        if page.is_truncated() != Some(true) {
            break;
        }
        (key, version) = (page.next_key_marker, page.next_version_id_marker);
    }
    for (key, id) in &acknowledged {
        assert_eq!(listed.get(key), Some(id), "{key} was acknowledged");
    }
    for (key, id) in &listed {
        let got = client.get_object().bucket(BUCKET).key(key).version_id(id).send().await.unwrap();
        assert_eq!(got.object_lock_retain_until_date().unwrap().secs(), until.secs(), "{key}");
        let body = got.body.collect().await.unwrap().to_vec();
        assert_eq!(crc64(&body), crc64(&body_of(key)), "{key} is whole");
    }
    println!("{} acknowledged, {} stored", acknowledged.len(), listed.len());
    assert_eq!((files("data"), files("meta")), (listed.len(), listed.len()), "no left-overs");
}

#[tokio::test]
async fn a_dropped_server_can_be_opened_again_and_damage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let admin = prepare(folder.path()).await;
    let server = Server::start(Options::new(folder.path().join("store"))).await.unwrap();
    let client = client(&server.endpoint(), server.region(), &admin, None, SigningClock(Arc::default()));
    super::put_version(&client, "k", b"123456").await;
    drop(server);
    let data = folder.path().join("store/buckets").join(BUCKET).join("data");
    let body: PathBuf = std::fs::read_dir(data).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&body, "123").unwrap();
    let mut opened = Server::start(Options::new(folder.path().join("store"))).await;
    // The dropped server's last connections may hold the folder for a moment.
    for _ in 0..100 {
        match &opened {
            Err(stonewal::store::embedded::Error::InUse { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            _ => break,
        }
        opened = Server::start(Options::new(folder.path().join("store"))).await;
    }
    let error = opened.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("the body of k version"), "{source}");
    assert!(error.hint().unwrap().contains("lost data"));
}
