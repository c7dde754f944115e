//! A repository that was founded once, and backups made in copies of it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;

use crate::catalog::{
    Access, BackupKeys, Committed, Draft, FinishedStream, Repository, commit, found, publish_certificate,
};
use crate::format::Place;
use crate::format::manifest::{Kind, SealedPart};
use crate::format::names::Names;
use crate::format::{BackupId, ClusterName, Codec, StreamName};
use crate::keys::{self, Bundle, Identity, RecoveryFile, WriterFile};
use crate::observe::Progress;
use crate::pipeline::stage::{Source, SourceReceipt};
use crate::pipeline::{Encoding, PumpError, StreamWriter, Target, pump};
use crate::store::memory::Memory;
use crate::store::{Append, Lock, LockMode, ObjectKey, Read, VersionId};

pub(super) const PASSPHRASE: &str = "granite does not burn";

/// What founding left: it costs an scrypt, so it is done once.
struct Ground {
    objects: Vec<(ObjectKey, VersionId, Bytes)>,
    recovery: String,
    writer: String,
}

static GROUND: OnceLock<Ground> = OnceLock::new();

pub(super) fn secret(text: &str) -> SecretString {
    SecretString::from(text.to_owned())
}

pub(super) fn names() -> Names {
    Names::new("pg").unwrap()
}

pub(super) fn cluster() -> ClusterName {
    "main".parse().unwrap()
}

pub(super) fn lock() -> Lock {
    let retain_until = Memory::default().clock().now() + SignedDuration::from_hours(24);
    Lock { mode: LockMode::Governance, retain_until }
}

async fn lay_ground() -> Ground {
    let store = Memory::default();
    let offline = Identity::generate();
    let recipients = vec![offline.recipient()];
    let bundle = Bundle::generate(keys::repository_id().unwrap(), recipients, Timestamp::UNIX_EPOCH).unwrap();
    let bundle = Arc::new(bundle);
    let stored = found(&store, &names(), &bundle, secret(PASSPHRASE), None).await.unwrap();
    let fingerprint = names().fingerprint_of(stored.as_str()).unwrap();
    let (host, certificate) = WriterFile::generate(&bundle, fingerprint, "db1").unwrap();
    publish_certificate(&store, &names(), &bundle, &certificate, None).await.unwrap();
    let (repository, root) = (bundle.repository, *bundle.writer.public());
    let recovery = RecoveryFile { repository, root, identity: offline, former: Vec::new() }.encode();
    let text = |secret: &SecretString| secret.expose_secret().to_owned();
    Ground { objects: store.dump(), recovery: text(&recovery), writer: text(&host.encode().unwrap()) }
}

fn ground() -> &'static Ground {
    GROUND.get_or_init(|| run(lay_ground()))
}

/// A fresh copy of the founded bucket.
pub(super) fn bucket(page: usize) -> Memory {
    let store = Memory::paged(page);
    for (key, version, body) in &ground().objects {
        store.load(key, version.clone(), body.clone());
    }
    store
}

/// As the operator who has nothing but the recovery file.
pub(super) fn recovery() -> Access {
    Access::Recovery(RecoveryFile::decode(&secret(&ground().recovery)).unwrap())
}

/// As a backup host.
pub(super) fn host() -> Access {
    Access::Writer(Box::new(WriterFile::decode(&secret(&ground().writer)).unwrap()))
}

pub(super) async fn open(store: Arc<dyn Read>, access: Access) -> crate::catalog::Result<Repository> {
    Repository::open(store, names(), access, "a test").await
}

pub(super) fn run<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    // A thread of its own, so that it may be asked for inside another runtime.
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::spawn(move || runtime().block_on(work)).join().unwrap()
}

/// Why a source of the tests failed.
#[derive(Debug)]
pub(super) struct Broken;

/// A stream from memory, with the ways in which a child process can end.
#[derive(Clone, Debug)]
pub(super) struct Scripted {
    pub(super) plain: Vec<u8>,
    pub(super) at: usize,
    /// A read fails here.
    pub(super) breaks_at: Option<usize>,
    /// The exit status that follows the last byte.
    pub(super) succeeds: bool,
    /// The token is cancelled when this much has been read.
    pub(super) cancels_at: Option<(usize, CancellationToken)>,
}

impl Scripted {
    pub(super) fn good(plain: Vec<u8>) -> Self {
        Self { plain, at: 0, breaks_at: None, succeeds: true, cancels_at: None }
    }

    fn finish(self) -> Result<SourceReceipt, Broken> {
        if self.succeeds && self.at == self.plain.len() {
            Ok(SourceReceipt::earned(self.at as u64))
        } else {
            Err(Broken)
        }
    }
}

impl Source for Scripted {
    type Error = Broken;

    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Broken> {
        if self.breaks_at.is_some_and(|at| self.at >= at) {
            return Err(Broken);
        }
        if let Some((at, token)) = &self.cancels_at
            && self.at >= *at
        {
            token.cancel();
        }
        let piece = (self.plain.len() - self.at).min(buffer.len()).min(100_000);
        buffer[..piece].copy_from_slice(&self.plain[self.at..self.at + piece]);
        self.at += piece;
        Ok(piece)
    }
}

/// Why a backup was not made.
#[derive(Debug)]
#[expect(dead_code, reason = "read by Debug, in the message of a failed test")]
pub(super) enum Failure {
    Catalog(crate::catalog::Error),
    Pipeline(crate::pipeline::Error),
    Source,
    Interrupted,
}

/// One backup of one stream, step by step as `commands::backup_dump` does it.
pub(super) async fn back_up<S: Read + Append + 'static>(
    store: &Arc<S>,
    repository: &Repository,
    source: Scripted,
    uploads: usize,
    cancel: &CancellationToken,
) -> Result<Committed, Failure> {
    let (keys, draft, stream) = streamed(store, repository, source, uploads, cancel).await?;
    commit(&**store, repository, keys, draft, vec![stream]).await.map_err(Failure::Catalog)
}

/// The same up to the commit.
pub(super) async fn streamed<S: Read + Append + 'static>(
    store: &Arc<S>,
    repository: &Repository,
    mut source: Scripted,
    uploads: usize,
    cancel: &CancellationToken,
) -> Result<(BackupKeys, Draft, FinishedStream), Failure> {
    let started_at = store.clock().now();
    let lock = Some(lock());
    let keys = BackupKeys::store(&**store, repository, lock).await.map_err(Failure::Catalog)?;
    let backup = BackupId::new(started_at, keys::backup_suffix().unwrap());
    let place = Place { names: names(), repository: repository.id(), cluster: cluster(), backup };
    let (chunk_bytes, progress) = (1_200_000, Progress::new());
    let target = Target { store: store.clone(), place: place.clone(), lock, chunk_bytes, uploads, progress };
    let stream: StreamName = "dump".parse().unwrap();
    let encoding = Encoding { codec: Codec::None, level: 1 };
    let writer = StreamWriter::new(Arc::new(target), stream, encoding, keys.payload()).map_err(Failure::Pipeline)?;
    let writer = pump(&mut source, writer, cancel).await.map_err(|error| match error {
        PumpError::Source(Broken) => Failure::Source,
        PumpError::Stream(error) => Failure::Pipeline(error),
        PumpError::Interrupted => Failure::Interrupted,
    })?;
    let receipt = source.finish().map_err(|Broken| Failure::Source)?;
    if cancel.is_cancelled() {
        return Err(Failure::Interrupted);
    }
    let (sealed, stored) = writer.finish().await.map_err(Failure::Pipeline)?;
    let stream = FinishedStream::new(receipt, sealed, stored).map_err(Failure::Catalog)?;
    let draft = Draft {
        place,
        kind: Kind::Dump,
        system_identifier: Some(7),
        started_at,
        server_version: "15.14".into(),
        timeline: None,
        lsn: None,
        base: None,
        copy_of: None,
        lock,
        sealed: SealedPart::default(),
    };
    Ok((keys, draft, stream))
}

/// Text that differs from seed to seed.
pub(super) fn plain(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.alphanumeric() as u8).take(bytes).collect()
}
