//! What the S3 client sends, and what it makes of answers: against a scripted server.

mod answers;
mod clock;
mod deletes;
mod environment;
#[cfg(feature = "kms")]
mod kms;
mod reading;
mod retries;
mod sending;

use std::time::Duration;

use bytes::Bytes;
use stonewal::store::{ListQuery, Lock, LockMode, ObjectKey, Put, S3, S3Options, VersionId};

use crate::support::scripted::Scripted;

const SECRET: &str = "wire-secret-0123456789";

fn options(server: &Scripted) -> S3Options {
    S3Options {
        deadline: Duration::from_secs(20),
        attempts: 12,
        ..crate::support::options(server.endpoint(), "vault", "AKIAWIRE", SECRET)
    }
}

async fn client(server: &Scripted) -> S3 {
    S3::connect(options(server)).await.expect("client")
}

fn key() -> ObjectKey {
    ObjectKey::new("a/b")
}

fn version() -> VersionId {
    VersionId::new("v1")
}

fn lock() -> Lock {
    Lock { mode: LockMode::Compliance, retain_until: "2031-02-03T04:05:06.5Z".parse().expect("time") }
}

fn locked_put(body: impl Into<Bytes>) -> Put {
    Put { key: key(), body: body.into(), lock: Some(lock()) }
}

fn everything() -> ListQuery {
    ListQuery { prefix: String::new(), by_folder: false }
}
