//! `stonewal demo`: the whole promise on one machine in under a minute. A disposable PostgreSQL, the embedded store, an
//! attacker with every right but lock bypass, and a restore that is compared with the source.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Error, Immutability, RepositoryOptions, Result, Which};
use crate::catalog::Access;
use crate::format::{ClusterName, Codec};
use crate::keys::{WriterFile, tag};
use crate::limits::{CHUNK_BYTES_MIN, DOWNLOADS_DEFAULT, UPLOADS_DEFAULT};
use crate::observe::Progress;
use crate::observe::clock::Stopwatch;
use crate::pipeline::Encoding;
use crate::postgres::dump::DumpOptions;
use crate::postgres::globals::GlobalsMode;
use crate::postgres::programs::Search;
use crate::postgres::server::{Server as Postgres, ServerOptions};
use crate::store::embedded::{self, Server as Store};
use crate::store::roles::Role;
use crate::store::{LockMode, S3Options, StaticCredentials};
use crate::{postgres, verify};

mod attacker;
mod data;
mod moment;

use super::{backup_dump, init, restore_dump, verify as verify_command, writer};

const SOURCE: &str = "accounting";
const TARGET: &str = "accounting_restored";

/// How to run it.
#[derive(Debug)]
pub struct Options {
    /// Where PostgreSQL's programs are; `None` = found by themselves.
    pub bin_dir: Option<PathBuf>,
    /// `PATH` and the like.
    pub environment: postgres::Environment,
}

/// What the demonstration has to say.
#[derive(Clone, Debug)]
pub enum Event {
    /// A new part of the story.
    Chapter(&'static str),
    /// One thing that happened.
    Line(String),
}

/// Listens to the story.
pub type Listener<'a> = &'a (dyn Fn(Event) + Send + Sync);

/// How it ended.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Tables compared.
    pub tables: usize,
    /// Rows compared.
    pub rows: u64,
    /// Attempts to destroy that the store refused.
    pub attacks_refused: u64,
    /// Objects overwritten, hidden or planted.
    pub attacks_accepted: u64,
    /// Traces of the attack that `verify` reported.
    pub findings: u64,
    /// Whole seconds, servers included.
    pub seconds: u64,
}

/// Runs it; everything it makes is gone afterwards.
pub async fn run(options: Options, tell: Listener<'_>, cancel: &CancellationToken) -> Result<Outcome> {
    let watch = Stopwatch::start();
    // An unprivileged PostgreSQL must be able to pass through.
    let passable = std::fs::Permissions::from_mode(0o711);
    let folder = tempfile::Builder::new().prefix("stonewal-demo-").permissions(passable).tempdir();
    let folder = folder.map_err(|e| init::file_error(Path::new("temporary directory"), &e))?;
    tell(Event::Chapter("A PostgreSQL and a store"));
    let mut server = ServerOptions::new(folder.path().join("postgres"));
    server.bin_dir.clone_from(&options.bin_dir);
    server.fsync = true;
    let server = Postgres::start(&server).await?;
    tell(Event::Line(format!("PostgreSQL listens on 127.0.0.1:{}", server.port())));
    let store = Store::start(embedded::Options::new(folder.path().join("store"))).await?;
    tell(Event::Line(format!("the embedded store listens on {}", store.endpoint())));
    let stage = Stage { folder: folder.path().to_owned(), server, store, options, cancel: cancel.clone() };
    let played = Box::pin(stage.play(tell)).await;
    stage.store.stop().await;
    let stopped = stage.server.stop().await;
    let mut outcome = played?;
    stopped?;
    outcome.seconds = watch.elapsed().as_secs();
    Ok(outcome)
}

struct Stage {
    folder: PathBuf,
    server: Postgres,
    store: Store,
    options: Options,
    cancel: CancellationToken,
}

impl Stage {
    async fn play(&self, tell: Listener<'_>) -> Result<Outcome> {
        let before = data::make(&self.server, SOURCE).await?;
        for (table, digest) in &before {
            tell(Event::Line(format!("{table}: {} rows", digest.rows)));
        }
        let passphrase = SecretString::from(tag()?.to_string());
        self.found(&passphrase, tell).await?;
        let backup = Box::pin(self.back_up(tell)).await?;
        let moment = Box::pin(self.accident(self.writer()?, self.writer()?, tell)).await?;

        tell(Event::Chapter("The attacker has every right except lock bypass"));
        let harm = attacker::attack(&self.repository(Role::Attacker)?, &cluster()?, &backup).await?;
        harm.tell(tell);

        tell(Event::Chapter("The restore"));
        let after = self.restore(&passphrase, tell).await?;
        if before != after {
            return Err(Error::Demo(format!("the restored tables differ: {before:?} became {after:?}")));
        }
        let rows = before.values().map(|digest| digest.rows).sum();
        tell(Event::Line(format!("all {} tables and {rows} rows are the same, digest by digest", before.len())));
        data::check_chain(&self.server, TARGET).await?;
        tell(Event::Line("the hash chain of audit_logs holds from the first row to the last".into()));
        Box::pin(self.recover(&moment, &passphrase, tell)).await?;
        let findings = self.verify(&passphrase, tell).await?;
        Ok(Outcome {
            tables: before.len(),
            rows,
            attacks_refused: harm.refused(),
            attacks_accepted: harm.accepted(),
            findings,
            seconds: 0,
        })
    }

    /// Makes the bucket, the repository, and keys for a host that must not decrypt.
    async fn found(&self, passphrase: &SecretString, tell: Listener<'_>) -> Result<()> {
        tell(Event::Chapter("A repository whose backup host cannot read it"));
        let repository = self.repository(Role::Admin)?;
        let made = init::run(init::Options {
            repository: repository.clone(),
            passphrase: passphrase.clone(),
            recipients: Vec::new(),
            recovery_file: Some(self.folder.join("recovery.txt")),
            lifecycle: None,
        })
        .await?;
        tell(Event::Line(format!("{}: versions and Object Lock, repository {}", made.location, made.repository)));
        let (name, out) = ("db1".to_owned(), self.folder.join("db1.writer"));
        let writer =
            writer::run(writer::Options { repository, passphrase: passphrase.clone(), bundle: None, name, out })
                .await?;
        tell(Event::Line(format!("host db1 gets writer {}: it can publish and not decrypt", writer.writer)));
        Ok(())
    }

    async fn back_up(&self, tell: Listener<'_>) -> Result<crate::format::BackupId> {
        tell(Event::Chapter("The backup"));
        let watch = Stopwatch::start();
        let done = Box::pin(backup_dump::run(
            backup_dump::Options {
                repository: self.repository(Role::Writer)?,
                access: self.writer()?,
                cluster: cluster()?,
                source: self.server.conninfo(SOURCE)?,
                programs: self.programs(),
                dump: DumpOptions { counts: true, ..DumpOptions::default() },
                globals: GlobalsMode::Full,
                encoding: Encoding { codec: Codec::Gzip, level: Codec::Gzip.default_level() },
                chunk_bytes: CHUNK_BYTES_MIN,
                uploads: UPLOADS_DEFAULT,
                read_back: None,
            },
            &Progress::new(),
            &self.cancel,
        ))
        .await?;
        tell(Event::Line(format!(
            "{}: {} became {} in {} locked objects, {:.1} s, no byte on a local disk",
            done.backup,
            bytesize::ByteSize(done.plain_bytes),
            bytesize::ByteSize(done.stored_bytes),
            done.chunks,
            watch.elapsed().as_secs_f64()
        )));
        Ok(done.backup)
    }

    /// What the backup host may do.
    fn writer(&self) -> Result<Access> {
        let path = self.folder.join("db1.writer");
        let text = std::fs::read_to_string(&path).map_err(|e| init::file_error(&path, &e))?;
        Ok(Access::Writer(Box::new(WriterFile::decode(&SecretString::from(text))?)))
    }

    async fn restore(&self, passphrase: &SecretString, tell: Listener<'_>) -> Result<data::Digests> {
        self.server.execute("postgres", &format!("CREATE DATABASE {TARGET}")).await?;
        let watch = Stopwatch::start();
        let target = restore_dump::DatabaseTarget {
            info: self.server.conninfo(TARGET)?,
            programs: self.programs(),
            confirm: restore_dump::Confirm::Given,
            globals: true,
        };
        let done = restore_dump::run(
            restore_dump::Options {
                tables: None,
                repository: self.repository(Role::Reader)?,
                access: Access::Passphrase(passphrase.clone()),
                cluster: cluster()?,
                which: Which::Latest,
                target: restore_dump::RestoreTarget::Database(Box::new(target)),
                downloads: DOWNLOADS_DEFAULT,
            },
            &Progress::new(),
            &self.cancel,
        )
        .await?;
        let seconds = watch.elapsed().as_secs_f64();
        tell(Event::Line(format!("latest = {}, restored in {seconds:.1} s", done.backup)));
        data::digests(&self.server, TARGET).await
    }

    async fn verify(&self, passphrase: &SecretString, tell: Listener<'_>) -> Result<u64> {
        let done = verify_command::run(
            verify_command::Options {
                repository: self.repository(Role::Reader)?,
                access: Access::Passphrase(passphrase.clone()),
                cluster: None,
                which: None,
                level: verify::Level::Decrypt,
                sample: None,
                seed: None,
                downloads: DOWNLOADS_DEFAULT,
            },
            &Progress::new(),
        )
        .await?;
        if done.has_damage() {
            return Err(Error::Demo("verify found damage where there is none".into()));
        }
        let mut all = done.beside;
        done.backups.into_iter().for_each(|backup| all.merge(backup.findings));
        let traces: Vec<_> = all.counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        if traces.is_empty() {
            return Err(Error::Demo("verify did not notice the attack".into()));
        }
        tell(Event::Line(format!("verify: every frame opens; it reports {}", traces.join(", "))));
        Ok(all.total())
    }

    fn repository(&self, role: Role) -> Result<RepositoryOptions> {
        let credentials = self.store.credentials(role)?;
        let mut s3 = S3Options::new("stone");
        s3.endpoint = Some(self.store.endpoint());
        s3.region = Some(self.store.region().to_owned());
        s3.credentials = Some(StaticCredentials {
            access_key: credentials.access_key,
            secret_key: credentials.secret_key,
            session_token: None,
        });
        let retain = std::time::Duration::from_hours(24 * 35);
        let immutability = Immutability::ObjectLock { mode: LockMode::Governance, retain };
        let (prefix, lock_max) = ("demo".into(), retain * 2);
        let (replicas, from_replica, require_worm) = (Vec::new(), None, false);
        Ok(RepositoryOptions { s3, prefix, immutability, require_worm, lock_max, replicas, from_replica })
    }

    fn programs(&self) -> Search {
        Search::new(&self.options.environment, Some(self.server.bin_dir().to_owned()))
    }
}

fn cluster() -> Result<ClusterName> {
    Ok("main".parse()?)
}
