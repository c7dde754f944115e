//! The contract of a store: one suite, run against every server there is, and there are two independent ones (PAINS D12).
//!
//! A server that does not enforce a part of it is listed in [`LACKS`] with the capability's name, and the same list is in
//! `localstack/README.md`. A case whose capability is lacking must fail there: one that passes is struck off the list.

mod buckets;
mod listing;
mod locks;
mod network;
mod objects;
mod prune;
mod rules;

use std::error::Error as StdError;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_s3::config::{Credentials, Region};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret as _;
use stonewal::store::embedded::{Options as EmbeddedOptions, Server};
use stonewal::store::roles::Role;
use stonewal::store::{Append as _, Lock, LockMode, ObjectKey, Put, Read as _, S3, S3Options, VersionId};

use crate::support::servers::LocalStack;
use crate::support::{options, skip};

/// What a server may leave unenforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Capability {
    /// A wrong secret key is noticed.
    SignaturesChecked,
    /// A locked PUT without a checksum header is refused.
    ChecksumDemanded,
    /// A checksum header that does not match the body is refused.
    ChecksumVerified,
    /// Checksums are kept and shown again.
    ChecksumKept,
    /// A lock that ends in the past is refused.
    PastLockRefused,
    /// A COMPLIANCE lock cannot be shortened.
    ComplianceNotShortened,
    /// A GOVERNANCE lock cannot be shortened without bypass.
    GovernanceNotShortened,
    /// COMPLIANCE cannot become GOVERNANCE.
    ModeNotWeakened,
    /// Locks are refused where the bucket has no Object Lock.
    LockNeedsLockBucket,
    /// Keys may hold control characters.
    ControlCharacters,
    /// A lock on a version that does not exist is refused as such.
    MissingVersionNamed,
    /// Deleting a version that is gone succeeds, as the repetition of a delete whose answer was lost.
    RepeatedDelete,
}

/// What each server is known not to do (`localstack/README.md` says the same).
const LACKS: &[(&str, &[Capability])] = &[(
    "localstack",
    &[
        Capability::SignaturesChecked,
        Capability::ChecksumDemanded,
        Capability::PastLockRefused,
        Capability::LockNeedsLockBucket,
        Capability::RepeatedDelete,
    ],
)];

type Outcome = Result<(), Box<dyn StdError + Send + Sync>>;
type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// One rule of the contract.
struct Case {
    name: &'static str,
    needs: Option<Capability>,
    run: fn(Arc<Target>) -> Running,
}

/// `case!(f)` and `case!(f, needs Capability)`.
macro_rules! case {
    ($run:path) => {
        $crate::contract::Case { name: stringify!($run), needs: None, run: |target| Box::pin($run(target)) }
    };
    ($run:path, needs $capability:ident) => {
        $crate::contract::Case {
            name: stringify!($run),
            needs: Some($crate::contract::Capability::$capability),
            run: |target| Box::pin($run(target)),
        }
    };
}
pub(crate) use case;

/// Fails the case with a message.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+).into());
        }
    };
}
pub(crate) use ensure;

/// A server under test.
struct Target {
    /// For cases that need clients of their own.
    options: S3Options,
    ca_file: Option<PathBuf>,
    /// A fresh bucket with Object Lock.
    store: S3,
    keys: AtomicU32,
}

impl Target {
    /// Connects as a user who may do everything, and creates the bucket.
    async fn new(options: S3Options, ca_file: Option<PathBuf>) -> Result<Self, Box<dyn StdError + Send + Sync>> {
        let store = S3::connect(options.clone()).await?;
        store.create_bucket(true).await?;
        Ok(Self { options, ca_file, store, keys: AtomicU32::new(0) })
    }

    /// The AWS SDK's own client, for what ours leaves out on purpose.
    fn raw_client(&self) -> Result<aws_sdk_s3::Client, Box<dyn StdError + Send + Sync>> {
        let credentials = self.options.credentials.as_ref().ok_or("fixed credentials")?;
        let secret = credentials.secret_key.expose_secret();
        let config = aws_sdk_s3::Config::builder()
            .behavior_version_latest()
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(self.options.endpoint.clone().unwrap_or_default())
            .region(Region::from_static("us-east-1"))
            .force_path_style(true)
            .credentials_provider(Credentials::new(&credentials.access_key, secret, None, None, "test"))
            .build();
        Ok(aws_sdk_s3::Client::from_conf(config))
    }

    /// A key that no other case uses.
    fn key(&self, name: &str) -> ObjectKey {
        ObjectKey::new(format!("contract/{:04}-{name}", self.keys.fetch_add(1, Ordering::Relaxed)))
    }

    async fn put(&self, key: &ObjectKey, body: impl Into<Bytes>) -> Result<VersionId, stonewal::store::Error> {
        let put = Put { key: key.clone(), body: body.into(), lock: None };
        Ok(self.store.put(put).await?.version)
    }

    async fn put_locked(&self, key: &ObjectKey, lock: Lock) -> Result<VersionId, stonewal::store::Error> {
        let put = Put { key: key.clone(), body: Bytes::from_static(b"locked"), lock: Some(lock) };
        Ok(self.store.put(put).await?.version)
    }

    /// A lock that ends so many minutes from now, by the store's clock.
    fn lock(&self, mode: LockMode, minutes: i64) -> Lock {
        Lock { mode, retain_until: self.later(minutes) }
    }

    fn later(&self, minutes: i64) -> Timestamp {
        let until = self.store.clock().now() + SignedDuration::from_mins(minutes);
        Timestamp::from_second(until.as_second()).expect("in range")
    }
}

fn cases() -> Vec<&'static Case> {
    [objects::CASES, locks::CASES, rules::CASES, prune::CASES, listing::CASES, buckets::CASES, network::CASES]
        .into_iter()
        .flatten()
        .collect()
}

/// Runs all cases, one after the other, and reports all that fail.
async fn keep_the_contract(server: &str, target: Target) {
    let lacks = LACKS.iter().find(|(known, _)| *known == server).map_or(&[][..], |(_, lacks)| *lacks);
    let target = Arc::new(target);
    let mut broken = Vec::new();
    for Case { name, needs, run } in cases() {
        let lacking = needs.filter(|capability| lacks.contains(capability));
        match (run(target.clone()).await, lacking) {
            (Ok(()), None) => println!("kept: {name}"),
            (Err(error), Some(lacking)) => println!("lacks {lacking:?}: {name}: {error}"),
            (Ok(()), Some(lacking)) => broken.push(format!("{name}: passes now: strike {lacking:?} off the list")),
            (Err(error), None) => broken.push(format!("{name}: {error}")),
        }
    }
    assert!(broken.is_empty(), "the contract is broken:\n  {}", broken.join("\n  "));
}

#[tokio::test]
async fn localstack_keeps_the_contract() {
    let server = match LocalStack::find() {
        Ok(server) => server,
        Err(why) => return skip("the contract against LocalStack", &why),
    };
    // Another run may have used the same server.
    let bucket = format!("contract-{}", std::process::id());
    let target = Target::new(options(&server.endpoint, &bucket, "test", "test"), server.ca_file.clone()).await;
    keep_the_contract("localstack", target.expect("a lock bucket")).await;
}

/// The store that development and all other tests stand on keeps all of it.
#[tokio::test]
async fn the_embedded_store_keeps_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(EmbeddedOptions::new(folder.path().join("store"))).await.expect("a server");
    let admin = server.credentials(Role::Admin).expect("an administrator");
    let options = options(&server.endpoint(), "contract", &admin.access_key, admin.secret_key.expose_secret());
    keep_the_contract("embedded", Target::new(options, None).await.expect("a lock bucket")).await;
}

/// The lists in the code and in the README for people are the same.
#[test]
fn the_readme_lists_what_servers_lack() {
    let readme = include_str!("../../localstack/README.md");
    for (server, lacks) in LACKS {
        let heading = format!("## Not enforced by {server}");
        let (_, section) = readme.split_once(&heading).unwrap_or_else(|| panic!("no section {heading}"));
        let section = section.split("\n## ").next().unwrap_or(section);
        let listed: Vec<_> = section.lines().filter_map(|line| line.strip_prefix("- `")?.split('`').next()).collect();
        let known: Vec<_> = lacks.iter().map(|capability| format!("{capability:?}")).collect();
        assert_eq!(listed, known, "{heading}");
    }
}
