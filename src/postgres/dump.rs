//! The main stream of a logical backup: pg_dump under an exported snapshot, watched from all sides.
//!
//! Three things must go well: pg_dump ends with exit status 0 and its closing line, the session that holds the
//! snapshot lives to the end, and the counts succeed. The first thing that goes wrong ends all others, and leaves no
//! backend behind (PAINS A1, A2, C5, C6).

use std::path::Path;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::child::Child;
use super::connect::terminate_backends;
use super::counts::{self, Digests, TableCount, Tally};
use super::facts::Facts;
use super::programs::{Program, Search};
use super::rows::TableName;
use super::{ConnInfo, Error, Result, Session, token};
use crate::pipeline::stage::SourceReceipt;

mod trailer;

pub use trailer::Trailer;

/// What to dump. Patterns are psql's, as for pg_dump.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are pg_dump's own switches")]
pub struct DumpOptions {
    /// Only these schemas.
    pub schemas: Vec<String>,
    /// Not these schemas.
    pub exclude_schemas: Vec<String>,
    /// Only these tables.
    pub tables: Vec<String>,
    /// Not these tables.
    pub exclude_tables: Vec<String>,
    /// The definition of these tables, but not their rows.
    pub exclude_table_data: Vec<String>,
    /// No ownership.
    pub no_owner: bool,
    /// No GRANT and REVOKE.
    pub no_privileges: bool,
    /// No tablespace assignments.
    pub no_tablespaces: bool,
    /// Count rows exactly.
    pub counts: bool,
    /// Take digests of the rows of these tables.
    pub digests: Vec<String>,
    /// Give up when a lock is not had within this many milliseconds.
    pub lock_timeout_millis: Option<u64>,
}

impl DumpOptions {
    fn arguments(&self, snapshot: &str, extra: Option<&str>) -> Vec<String> {
        let mut args = vec!["--format=plain".to_owned(), "--no-password".into(), format!("--snapshot={snapshot}")];
        let lists = [
            ("schema", &self.schemas),
            ("exclude-schema", &self.exclude_schemas),
            ("table", &self.tables),
            ("exclude-table", &self.exclude_tables),
            ("exclude-table-data", &self.exclude_table_data),
        ];
        for (name, list) in lists {
            args.extend(list.iter().map(|value| format!("--{name}={value}")));
        }
        let switches = [
            ("no-owner", self.no_owner),
            ("no-privileges", self.no_privileges),
            ("no-tablespaces", self.no_tablespaces),
        ];
        args.extend(switches.iter().filter(|(_, on)| *on).map(|(name, _)| format!("--{name}")));
        args.extend(self.lock_timeout_millis.map(|millis| format!("--lock-wait-timeout={millis}")));
        args.extend(extra.map(|conninfo| format!("--dbname={conninfo}")));
        args
    }
}

/// Proof and product of a finished dump.
#[derive(Debug)]
#[must_use]
pub struct DumpReceipt {
    /// For the commit.
    pub source: SourceReceipt,
    /// About the source.
    pub facts: Facts,
    /// Rows per table, if asked for.
    pub counts: Option<Vec<TableCount>>,
    /// Digests of chosen tables, if asked for.
    pub digests: Option<Digests>,
    /// Which of the relations of both are materialised views, if either was asked for.
    pub materialised: Option<Vec<TableName>>,
    /// Whether the stream begins with `\restrict`, so that older psql cannot load it (PAINS B7).
    pub restrict: bool,
    /// Version of the pg_dump that wrote it.
    pub program_version: String,
}

/// A running dump. Read it to the end and [`Dump::finish`] it, or [`Dump::abort`] it; merely dropping it kills pg_dump,
/// but a backend that waits for a lock would then stay until it gets it.
#[derive(Debug)]
#[must_use]
pub struct Dump {
    child: Child,
    trailer: Trailer,
    session: Session,
    counting: JoinSet<Result<Tally>>,
    counted: Tally,
    facts: Facts,
    program: Program,
    cleanup: Cleanup,
    /// Whether everything was ended and the sessions are known to be gone, once that was tried.
    cleaned: Option<bool>,
    cancel: CancellationToken,
}

/// What is needed to leave nothing behind.
#[derive(Debug, Clone)]
struct Cleanup {
    info: ConnInfo,
    application_name: String,
}

impl Dump {
    /// Connects, checks versions, exports a snapshot and starts pg_dump and the counting.
    ///
    /// Safe to cancel through the token at any point; when it fails, nothing is left running.
    pub async fn start(
        info: &ConnInfo,
        options: DumpOptions,
        search: &Search,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let application_name = format!("stonewal dump {}", token::random()?);
        let cleanup = Cleanup { info: info.clone(), application_name };
        let session = tokio::select! {
            session = Session::connect(info, &cleanup.application_name) => session?,
            () = cancel.cancelled() => return Err(Error::Cancelled),
        };
        let started = tokio::select! {
            started = Self::launch(session, &cleanup, options, search, cancel) => started,
            () = cancel.cancelled() => Err(Error::Cancelled),
        };
        if started.is_err() {
            cleanup.run().await;
        }
        started
    }

    async fn launch(
        session: Session,
        cleanup: &Cleanup,
        options: DumpOptions,
        search: &Search,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let name = &cleanup.application_name;
        let needs = format!("the server is PostgreSQL {}", session.major());
        let program = search.find("pg_dump", session.major(), &needs).await?;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL row_security = off";
        let failed = |e| Error::sql("begin the dump's transaction", e);
        session.client().batch_execute(begin).await.map_err(failed)?;
        let row = session.client().query_one("SELECT pg_catalog.pg_export_snapshot()", &[]).await;
        let snapshot: String = row.map_err(|e| Error::sql("export the dump's view of the data", e))?.get(0);
        let facts = session.facts().await?;
        let wanted = counts::wanted(session.client(), &options).await?;
        let env = session.info().child_env(name);
        let child = Child::spawn(&program.path, &options.arguments(&snapshot, env.extra_conninfo()), &env)?;
        let mut counting = JoinSet::new();
        if let Some(wanted) = wanted {
            let client = session.client_shared();
            counting.spawn(async move { counts::tally(&client, wanted).await });
        }
        let cleanup = Cleanup { info: session.info().clone(), ..cleanup.clone() };
        let trailer = Trailer::of_a_dump();
        Ok(Self {
            child,
            trailer,
            session,
            counting,
            counted: Tally::default(),
            facts,
            program,
            cleanup,
            cleaned: None,
            cancel: cancel.clone(),
        })
    }

    /// Facts about the source, known from the start.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The pg_dump in use.
    pub fn program(&self) -> &Path {
        &self.program.path
    }

    /// Process id of pg_dump, while it runs.
    pub fn child_id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The `application_name` of both sessions in `pg_stat_activity`.
    pub fn application_name(&self) -> &str {
        &self.cleanup.application_name
    }

    /// Reads some bytes; 0 only after pg_dump ended well and said so. After an error everything has been cleaned up.
    /// Safe to drop and call again; `buffer` must not be empty.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self.read_watched(buffer).await {
            Ok(count) => Ok(count),
            Err(error) => {
                self.clean_up().await;
                Err(error)
            }
        }
    }

    async fn read_watched(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            let count = tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(Error::Cancelled),
                lost = self.session.closed() => return Err(self.explain(lost).await),
                Some(joined) = self.counting.join_next() => {
                    self.counted = flatten(joined)?;
                    continue;
                }
                count = self.child.read(buffer) => count?,
            };
            if count == 0 {
                self.trailer.check("pg_dump", self.child.bytes())?;
            }
            self.trailer.push(&buffer[..count]);
            return Ok(count);
        }
    }

    /// When the server goes away both connections break; pg_dump often knows the better reason.
    async fn explain(&mut self, lost: Error) -> Error {
        let mut scratch = vec![0; 64 << 10];
        let drain = async {
            loop {
                match self.child.read(&mut scratch).await {
                    Ok(0) => return None,
                    Ok(_) => {}
                    Err(error) => return Some(error),
                }
            }
        };
        let said = tokio::time::timeout(std::time::Duration::from_millis(300), drain).await;
        match (lost, said) {
            (Error::Lost { target, what }, Ok(Some(child))) => Error::Lost { target, what: format!("{what}; {child}") },
            (lost, _) => lost,
        }
    }

    /// Waits for the counts and closes the transaction. Only after [`Dump::read`] returned 0.
    pub async fn finish(mut self) -> Result<DumpReceipt> {
        match self.settle().await {
            Ok(Tally { counts, digests, materialised }) => {
                let restrict = self.trailer.has_restrict();
                let Self { child, facts, program, .. } = self;
                let (source, program_version) = (child.finish()?, program.version);
                Ok(DumpReceipt { source, facts, counts, digests, materialised, restrict, program_version })
            }
            Err(error) => {
                self.clean_up().await;
                Err(error)
            }
        }
    }

    async fn settle(&mut self) -> Result<Tally> {
        if !self.child.has_ended() {
            return Err(Error::Incomplete { program: "pg_dump".into(), bytes: self.child.bytes() });
        }
        while !self.counting.is_empty() {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(Error::Cancelled),
                lost = self.session.closed() => return Err(lost),
                Some(joined) = self.counting.join_next() => self.counted = flatten(joined)?,
            }
        }
        let end = self.session.client().batch_execute("COMMIT").await;
        end.map_err(|e| Error::sql("close the dump's transaction", e))?;
        Ok(std::mem::take(&mut self.counted))
    }

    /// Ends pg_dump and both backends, and waits until they are gone. True if they are; false if the server could not
    /// be asked.
    pub async fn abort(mut self) -> bool {
        self.clean_up().await
    }

    async fn clean_up(&mut self) -> bool {
        if let Some(gone) = self.cleaned {
            return gone;
        }
        self.counting.shutdown().await;
        // The backends first: pg_dump waits for its own in vain while that waits for a lock.
        let gone = self.cleanup.run().await;
        self.child.terminate().await;
        self.cleaned = Some(gone);
        gone
    }
}

impl Cleanup {
    async fn run(&self) -> bool {
        match terminate_backends(&self.info, &self.application_name).await {
            Ok(gone) => gone,
            Err(error) => {
                tracing::warn!(%error, "sessions of the abandoned dump could not be terminated");
                false
            }
        }
    }
}

fn flatten(joined: Result<Result<Tally>, tokio::task::JoinError>) -> Result<Tally> {
    joined.map_err(|e| Error::Unsupported { what: format!("the counting stopped: {e}") })?
}
