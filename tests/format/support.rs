//! What the format tests stand on: streams sealed frame by frame, whole backups, and a second implementation of the seal.

pub(crate) mod backup;
pub(crate) mod base;
pub(crate) mod second;
pub(crate) mod set;

use secrecy::SecretString;
use stonewal::format::Place;
use stonewal::format::{BackupId, RepositoryId, StreamName, names::Names};

/// One variable of the environment of the test run.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment what must exist")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Reports a test that cannot run here. Where everything must run, that is a failure.
pub(crate) fn skip(what: &str, why: &str) {
    assert!(variable("REQUIRE_ALL").is_none_or(|v| v != "1"), "{what} cannot run, and REQUIRE_ALL=1: {why}");
    println!("skipped: {what}: {why}");
}

pub(crate) fn secret(text: &str) -> SecretString {
    SecretString::from(text.to_owned())
}

pub(crate) fn name(text: &str) -> StreamName {
    text.parse().unwrap()
}

/// A backup's place in repository `repository`, with a fixed id.
pub(crate) fn place(repository: RepositoryId) -> Place {
    let backup: BackupId = "20261124T031500Z-5b0c6f2e".parse().unwrap();
    Place { names: Names::new("pg/").unwrap(), repository, cluster: "main".parse().unwrap(), backup }
}

/// Text like a dump's, `bytes` long, the same every time.
pub(crate) fn sql(bytes: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes + 80);
    for i in 0.. {
        if text.len() >= bytes {
            break;
        }
        text.extend_from_slice(format!("INSERT INTO stones VALUES ({}, 'granite', true);\n", i % 64).as_bytes());
    }
    text.truncate(bytes);
    text
}

/// An asynchronous test body on a runtime of its own.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}
