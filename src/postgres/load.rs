//! psql as a sink that never commits a cut stream.
//!
//! psql takes the end of its input for success: with `--single-transaction` it would COMMIT whatever it got when we are
//! killed. So we open the transaction ourselves, and send the COMMIT only after the caller has seen the authenticated
//! end of the stream. A deferred constraint that is violated until then makes every other COMMIT fail too. A ROLLBACK is refused;
//! behind one that hides from the look for it psql commits nothing by itself, and that the constraint is gone is told at the end.

use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, ChildStdout};
use tokio_util::sync::CancellationToken;

use super::child::Process;
use super::connect::terminate_backends;
use super::programs::Program;
use super::{ConnInfo, Error, Result, token};

mod rewrite;

use rewrite::Rewriter;

const GUARD: &str = "pg_temp.stonewal_unfinished";

/// Proof of a committed restore.
#[derive(Debug)]
#[must_use]
pub struct LoadReceipt {
    bytes: u64,
}

impl LoadReceipt {
    /// Bytes of the stream that were loaded.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A running restore. [`Load::commit`] it or [`Load::abort`] it; dropping it kills psql and so rolls back.
#[derive(Debug)]
#[must_use]
pub struct Load {
    process: Process,
    /// Closed only after the COMMIT.
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    rewriter: Rewriter,
    scratch: Vec<u8>,
    bytes: u64,
    info: ConnInfo,
    application_name: String,
    marker: String,
    /// Key under which psql obeys no command of the stream.
    lock: Option<String>,
    cancel: CancellationToken,
}

impl Load {
    /// Starts psql and opens the transaction. `info` should be that of a [`super::Session`] whose target was checked.
    pub async fn start(info: &ConnInfo, program: &Program, cancel: &CancellationToken) -> Result<Self> {
        let marker = token::random()?;
        let application_name = format!("stonewal restore {marker}");
        let env = info.child_env(&application_name);
        let mut process = Process::spawn(&program.path, &arguments(env.extra_conninfo()), &env, Stdio::piped())?;
        let (stdin, stdout) = (Some(process.take_stdin()?), process.take_stdout()?);
        let mut load = Self {
            process,
            stdin,
            stdout,
            rewriter: Rewriter::default(),
            scratch: Vec::new(),
            bytes: 0,
            info: info.clone(),
            application_name,
            marker,
            lock: None,
            cancel: cancel.clone(),
        };
        // Time limits of the role or the database must not end a restore that waits for the store.
        let guard = format!(
            "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name IN ('statement_timeout', \
             'lock_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout');\n\
             SET default_transaction_read_only = off;\nBEGIN;\n\\set AUTOCOMMIT off\nCREATE TEMPORARY TABLE stonewal_unfinished (restore int CONSTRAINT stonewal_restore_is_unfinished UNIQUE \
             DEFERRABLE INITIALLY DEFERRED) ON COMMIT DROP;\nINSERT INTO {GUARD} VALUES (1), (1);\n"
        );
        load.send(guard.as_bytes()).await?;
        Ok(load)
    }

    /// From here on psql obeys no command of the stream, wherever one hides: for a stream that anybody may have written. Needs
    /// a psql that [`knows_restrict`].
    pub async fn lock(&mut self) -> Result<()> {
        let key = token::random()?;
        self.send(format!("\\restrict {key}\n").as_bytes()).await?;
        self.rewriter.lock();
        self.lock = Some(key);
        Ok(())
    }

    /// Sends a part of the stream: SQL as pg_dump writes it, cut anywhere. When psql stopped, the error is psql's own
    /// message. Not to be dropped half-way, except together with the whole restore.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        self.rewriter.push(bytes, &mut out);
        if let Some(text) = self.rewriter.refused() {
            let kind = if text.starts_with('\\') { "a command to psql" } else { "an end of the restore's transaction" };
            let what = format!("the stream holds {kind}, which pg_dump never writes: {text:?}");
            return Err(Error::LoadFailed { what });
        }
        let sent = self.send(&out).await;
        self.scratch = out;
        sent
    }

    /// The stream is complete: waits until everything has been executed, then commits. Success is psql's exit status 0
    /// and our own marker after the COMMIT. Cancelling works up to the COMMIT, not after.
    pub async fn commit(mut self) -> Result<LoadReceipt> {
        let done = self.settle().await;
        match done {
            Ok(()) => Ok(LoadReceipt { bytes: self.bytes }),
            Err(error) => {
                self.abort().await;
                Err(error)
            }
        }
    }

    async fn settle(&mut self) -> Result<()> {
        let mut rest = Vec::new();
        let rewriter = std::mem::take(&mut self.rewriter);
        if !rewriter.finish(&mut rest) {
            return Err(Error::LoadFailed {
                what: "the stream ends in the middle of a statement or of COPY data".into(),
            });
        }
        let (loaded, committed) = (format!("loaded {}", self.marker), format!("committed {}", self.marker));
        if let Some(key) = &self.lock {
            rest.extend_from_slice(format!("\n\\unrestrict {key}").as_bytes());
        }
        // psql flushes what \echo writes only at its end; closing an output file flushes at once.
        rest.extend_from_slice(format!("\n\\o /dev/stdout\n\\qecho {loaded}\n\\o /dev/null\n").as_bytes());
        self.send(&rest).await?;
        tokio::select! {
            biased;
            () = self.cancel.clone().cancelled_owned() => return Err(Error::Cancelled),
            seen = seen(&mut self.stdout, &loaded) => if !seen { return Err(self.failure().await) },
        }
        let end = format!("DELETE FROM {GUARD};\nCOMMIT;\n\\echo {committed}\n");
        // From here on the outcome is the server's: no cancelling.
        let Some(mut stdin) = self.stdin.take() else { return Err(self.failure().await) };
        let sent = stdin.write_all(end.as_bytes()).await;
        drop(stdin);
        let confirmed = sent.is_ok() && seen(&mut self.stdout, &committed).await;
        match self.process.wait().await {
            Ok(()) if confirmed => Ok(()),
            Ok(()) => Err(Error::OutcomeUnknown { what: "psql ended without confirming the COMMIT".into() }),
            Err(error) => Err(after_commit(error)),
        }
    }

    /// Gives up: kills psql before its input closes, ends its backend. True if the backend is known to be gone.
    pub async fn abort(mut self) -> bool {
        self.process.kill().await;
        match terminate_backends(&self.info, &self.application_name).await {
            Ok(gone) => gone,
            Err(error) => {
                tracing::warn!(%error, "the session of the abandoned restore could not be terminated");
                false
            }
        }
    }

    /// The `application_name` of the restoring session in `pg_stat_activity`.
    pub fn application_name(&self) -> &str {
        &self.application_name
    }

    /// Process id of psql, while it runs.
    pub fn child_id(&self) -> Option<u32> {
        self.process.id()
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(stdin) = &mut self.stdin else { return Err(self.failure().await) };
        let sent = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err(Error::Cancelled),
            sent = stdin.write_all(bytes) => sent,
        };
        match sent {
            Ok(()) => Ok(()),
            // psql has stopped reading; what matters is why.
            Err(_) => Err(self.failure().await),
        }
    }

    /// Why psql stopped.
    async fn failure(&mut self) -> Error {
        match self.process.wait().await {
            Ok(()) => Error::LoadFailed { what: "psql ended before the stream did".into() },
            Err(error) => load_failed(error),
        }
    }
}

impl Drop for Load {
    /// psql dies before its input closes, so that it cannot take the end of its input for the end of the stream.
    fn drop(&mut self) {
        self.process.kill_now();
    }
}

fn arguments(extra: Option<&str>) -> Vec<String> {
    let fixed = ["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--output=/dev/null", "--file=-"];
    let mut args: Vec<String> = fixed.iter().map(|arg| (*arg).to_owned()).collect();
    args.extend(extra.map(|conninfo| format!("--dbname={conninfo}")));
    args
}

/// Reads until the marker's line or the end.
async fn seen(stdout: &mut ChildStdout, marker: &str) -> bool {
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stdout.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..count]);
        if String::from_utf8_lossy(&kept).lines().any(|line| line == marker) {
            return true;
        }
        let excess = kept.len().saturating_sub(4096);
        kept.drain(..excess);
    }
    false
}

/// The server's word that the COMMIT failed is a rollback; a lost connection says nothing. That our own table is not there to be
/// emptied says that the transaction is another one by now.
fn after_commit(error: Error) -> Error {
    match load_failed(error) {
        Error::LoadFailed { what } if what.contains(GUARD) => Error::Escaped,
        Error::LoadFailed { what } if !what.contains("ERROR:") => Error::OutcomeUnknown { what },
        error => error,
    }
}

/// The first complaint about a statement in what psql said.
fn load_failed(error: Error) -> Error {
    let Error::ChildFailed { status, stderr, .. } = error else { return error };
    let complaint = ["ERROR:", "FATAL:", "PANIC:", "psql: error:", "invalid command"];
    let at = stderr.lines().position(|line| complaint.iter().any(|mark| line.contains(mark))).unwrap_or(0);
    let said: Vec<_> = stderr.lines().skip(at).take(12).collect();
    let what = if said.is_empty() { format!("psql {status}") } else { said.join("\n") };
    Error::LoadFailed { what }
}

/// Whether this psql understands `\restrict`, which newer dumps begin with (PAINS B7). Connects to the target.
pub async fn knows_restrict(info: &ConnInfo, program: &Program) -> Result<bool> {
    let env = info.child_env("stonewal check");
    let mut process = Process::spawn(&program.path, &arguments(env.extra_conninfo()), &env, Stdio::piped())?;
    let mut stdin = process.take_stdin()?;
    // psql that stops at the first line closes the pipe; its exit status tells.
    let _ = stdin.write_all(b"\\restrict stonewal\n\\unrestrict stonewal\n").await;
    drop(stdin);
    match process.wait().await {
        Ok(()) => Ok(true),
        Err(Error::ChildFailed { stderr, .. }) if stderr.contains("restrict") => Ok(false),
        Err(error) => Err(load_failed(error)),
    }
}
