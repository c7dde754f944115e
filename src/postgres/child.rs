//! Child processes whose end of file means exit status 0 (invariant I1, PAINS A1).

use std::ffi::OsStr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::task::JoinSet;

use super::conninfo::ChildEnv;
use super::{Error, Result};
use crate::limits::{CHILD_TERMINATE_SECONDS_MAX, STDERR_BYTES_MAX};
use crate::pipeline::stage::SourceReceipt;

/// A running child in a process group of its own, so that Ctrl-C in the terminal reaches us and not it; its standard
/// error is drained all the time. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    child: tokio::process::Child,
    stderr_task: JoinSet<Vec<u8>>,
    stderr: Option<String>,
}

impl Process {
    pub(super) fn spawn(program: &Path, args: &[impl AsRef<OsStr>], env: &ChildEnv, stdin: Stdio) -> Result<Self> {
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        let mut command = Command::new(program);
        env.apply(command.as_std_mut());
        command.args(args).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => {
                Error::ProgramMissing { program: name.clone(), looked: vec![program.into()] }
            }
            _ => Error::ChildIo { program: name.clone(), what: "start it".into(), source },
        })?;
        let mut stderr_task = JoinSet::new();
        if let Some(pipe) = child.stderr.take() {
            stderr_task.spawn(tail_of(pipe));
        }
        Ok(Self { name, child, stderr_task, stderr: None })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn take_stdout(&mut self) -> Result<ChildStdout> {
        self.child.stdout.take().ok_or_else(|| self.io("take its output", std::io::ErrorKind::BrokenPipe.into()))
    }

    pub(super) fn take_stdin(&mut self) -> Result<ChildStdin> {
        self.child.stdin.take().ok_or_else(|| self.io("take its input", std::io::ErrorKind::BrokenPipe.into()))
    }

    pub(super) fn io(&self, what: &str, source: std::io::Error) -> Error {
        Error::ChildIo { program: self.name.clone(), what: what.into(), source }
    }

    /// Waits for the end: exit status 0 or an error with the end of its standard error. Safe to drop and call again.
    pub(super) async fn wait(&mut self) -> Result<()> {
        let status = self.child.wait().await.map_err(|e| self.io("wait for its end", e))?;
        let stderr = self.stderr().await;
        if status.success() {
            return Ok(());
        }
        Err(Error::ChildFailed { program: self.name.clone(), status: in_words(status), stderr })
    }

    /// What it said on standard error. A grandchild that keeps the pipe open is not waited for.
    async fn stderr(&mut self) -> String {
        if self.stderr.is_none() {
            let joined = tokio::time::timeout(Duration::from_secs(1), self.stderr_task.join_next()).await;
            let bytes = joined.ok().flatten().and_then(Result::ok).unwrap_or_default();
            self.stderr = Some(String::from_utf8_lossy(&bytes).into_owned());
        }
        self.stderr.clone().unwrap_or_default()
    }

    /// Kills it without waiting; for `Drop`.
    pub(super) fn kill_now(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.start_kill();
    }

    /// SIGTERM, a few seconds of grace, SIGKILL; returns when the process is gone and reaped.
    pub(super) async fn terminate(&mut self) {
        if let Some(pid) =
            self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
        {
            // An error means that it has ended already.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let grace = Duration::from_secs(CHILD_TERMINATE_SECONDS_MAX);
        if tokio::time::timeout(grace, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }

    /// Kills it at once and reaps it.
    pub(super) async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

/// Reads to the end and keeps the last [`STDERR_BYTES_MAX`] bytes.
async fn tail_of(mut pipe: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = vec![0; 4096];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..count]);
        if kept.len() > 2 * STDERR_BYTES_MAX {
            kept.drain(..kept.len() - STDERR_BYTES_MAX);
        }
    }
    let excess = kept.len().saturating_sub(STDERR_BYTES_MAX);
    kept.drain(..excess);
    kept
}

fn in_words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

/// A child as a source of bytes.
#[derive(Debug)]
pub struct Child {
    process: Process,
    stdout: ChildStdout,
    bytes: u64,
    ended: bool,
}

impl Child {
    /// Starts the program with nothing on its standard input.
    pub fn spawn(program: &Path, args: &[impl AsRef<OsStr>], env: &ChildEnv) -> Result<Self> {
        let mut process = Process::spawn(program, args, env, Stdio::null())?;
        let stdout = process.take_stdout()?;
        Ok(Self { process, stdout, bytes: 0, ended: false })
    }

    /// Reads some bytes; 0 only after the child ended with exit status 0. Anything else is an error that carries the
    /// end of its standard error. Safe to drop and call again; `buffer` must not be empty.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.ended {
            return Ok(0);
        }
        let read = self.stdout.read(buffer).await;
        let count = read.map_err(|e| self.process.io("read its output", e))?;
        if count > 0 {
            self.bytes += count as u64;
            return Ok(count);
        }
        self.process.wait().await?;
        self.ended = true;
        Ok(0)
    }

    /// Whether [`Child::read`] has returned 0.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Bytes delivered so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// File name of the program.
    pub fn name(&self) -> &str {
        self.process.name()
    }

    /// Process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// The proof that the child ended well, after [`Child::read`] returned 0; an error before that.
    pub fn finish(self) -> Result<SourceReceipt> {
        if self.ended {
            return Ok(SourceReceipt::earned(self.bytes));
        }
        Err(Error::Incomplete { program: self.process.name().to_owned(), bytes: self.bytes })
    }

    /// Ends the child early and waits until it is gone.
    pub async fn terminate(&mut self) {
        self.process.terminate().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::{ConnInfo, Environment};

    fn shell(script: &str) -> Child {
        let env = ConnInfo::resolve("host=h user=u", &Environment::default()).unwrap().child_env("test");
        Child::spawn(Path::new("/bin/sh"), &["-c", script], &env).unwrap()
    }

    async fn drain(child: &mut Child) -> Result<u64> {
        let mut buffer = vec![0; 7000];
        while child.read(&mut buffer).await? > 0 {}
        Ok(child.bytes())
    }

    #[tokio::test]
    async fn i01_exit_zero_is_the_only_end_of_file() {
        let mut good = shell("printf abc; exit 0");
        assert_eq!(drain(&mut good).await.unwrap(), 3);
        assert_eq!(good.finish().unwrap().bytes(), 3);
        let said = drain(&mut shell("printf abc; echo broken >&2; exit 7")).await.unwrap_err().to_string();
        assert!(said.contains("exit status 7") && said.contains("broken"), "{said}");
        let said = drain(&mut shell("printf abc; kill -9 $$")).await.unwrap_err().to_string();
        assert!(said.contains("signal 9"), "{said}");
    }

    #[tokio::test]
    async fn i01_an_early_finish_earns_nothing() {
        let mut child = shell("printf abc; sleep 30");
        let mut buffer = [0; 3];
        assert_eq!(child.read(&mut buffer).await.unwrap(), 3);
        child.terminate().await;
        assert!(matches!(child.finish(), Err(Error::Incomplete { bytes: 3, .. })));
    }

    #[tokio::test]
    async fn a_flood_on_standard_error_blocks_nothing_and_is_bounded() {
        let flood = "i=0; while [ $i -lt 3000 ]; do echo 'line of noise that is rather long, to fill the pipe' >&2; i=$((i+1)); done; echo LAST >&2; echo out; exit 1";
        let Err(Error::ChildFailed { stderr, .. }) = drain(&mut shell(flood)).await else { panic!("must fail") };
        assert!(stderr.len() <= STDERR_BYTES_MAX && stderr.trim_end().ends_with("LAST"));
    }

    #[tokio::test]
    async fn terminate_reaps_even_a_child_that_ignores_sigterm() {
        let mut child = shell("trap '' TERM; echo up; while :; do sleep 0.1; done");
        let mut buffer = [0; 16];
        child.read(&mut buffer).await.unwrap();
        let pid = child.id().unwrap();
        child.terminate().await;
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "reaped");
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let env = ConnInfo::resolve("", &Environment::default()).unwrap().child_env("test");
        let error = Child::spawn(Path::new("/nonexistent/pg_dump"), &[""], &env).unwrap_err();
        assert!(matches!(error, Error::ProgramMissing { .. }) && error.hint().is_some());
    }
}
