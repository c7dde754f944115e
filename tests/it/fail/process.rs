//! One run of the program: how it is started, what it printed, what it left.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use stonewal::store::roles::Role;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use super::world::World;

/// No run may take longer; one that does is killed and fails its test.
const RUN_MAX: Duration = Duration::from_mins(3);

/// A run that has not started.
pub(super) struct Run {
    command: Command,
    /// What stands for what in the output.
    names: Vec<(String, &'static str)>,
}

impl Run {
    /// `line` is split at blanks.
    pub(super) fn new(line: &str, folder: &Path, names: Vec<(String, &'static str)>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stonewal"));
        command.args(line.split_whitespace()).env_clear().current_dir(folder).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, names }
    }

    /// Sets a variable.
    pub(super) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes a variable.
    pub(super) fn unset(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// As another user of the store.
    pub(super) fn role(self, world: &World, role: Role) -> Self {
        let credentials = world.store.credentials(role).unwrap();
        let secret = secrecy::ExposeSecret::expose_secret(&credentials.secret_key).to_owned();
        self.env("AWS_ACCESS_KEY_ID", credentials.access_key).env("AWS_SECRET_ACCESS_KEY", secret)
    }

    pub(super) fn start(mut self) -> Running {
        let child = self.command.spawn().unwrap();
        let pid = i32::try_from(child.id().unwrap()).ok().and_then(Pid::from_raw).unwrap();
        Running { child, pid, names: self.names, since: Instant::now() }
    }

    pub(super) async fn end(self) -> Finished {
        self.start().end().await
    }
}

/// A run under way; dropping it kills it.
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) pid: Pid,
    names: Vec<(String, &'static str)>,
    since: Instant,
}

impl Running {
    pub(super) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Reads what it prints to the end, and waits.
    pub(super) async fn end(mut self) -> Finished {
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let read = async {
            tokio::join!(
                async {
                    let mut text = Vec::new();
                    if let Some(mut pipe) = stdout {
                        pipe.read_to_end(&mut text).await.unwrap();
                    }
                    text
                },
                async {
                    let mut text = Vec::new();
                    if let Some(mut pipe) = stderr {
                        pipe.read_to_end(&mut text).await.unwrap();
                    }
                    text
                },
                self.child.wait(),
            )
        };
        let ended = tokio::time::timeout(RUN_MAX, read).await;
        let (stdout, stderr, status) = ended.expect("the program ends in time");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let stderr = self.names.iter().fold(text(stderr), |text, (value, name)| text.replace(value, name));
        let took = self.since.elapsed();
        Finished { status: status.unwrap(), stdout: text(stdout), stderr, took }
    }
}

/// What came of a run.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    /// With what differs between runs replaced.
    pub(super) stderr: String,
    pub(super) took: Duration,
}

impl Finished {
    /// Exit code and standard error, line by line; `[..]` stands for anything within a line.
    #[track_caller]
    pub(super) fn is(&self, code: i32, transcript: &str) {
        let (want, got) = (transcript.trim(), self.stderr.trim());
        let same = want.lines().count() == got.lines().count()
            && want.lines().zip(got.lines()).all(|(want, got)| matches(want.trim_end(), got.trim_end()));
        assert!(
            same && self.status.code() == Some(code),
            "expected exit code {code} and\n{want}\nbut it is {} and\n{got}\nwith standard output\n{}",
            self.status,
            self.stdout
        );
        assert!(self.stdout.is_empty(), "a failure prints no data: {}", self.stdout);
    }

    /// It went well.
    #[track_caller]
    pub(super) fn good(self) -> Self {
        assert!(self.status.success(), "{}\n{}\n{}", self.status, self.stderr, self.stdout);
        self
    }

    /// It did its work, and warns.
    #[track_caller]
    pub(super) fn is_warned(&self, of: &str) {
        assert_eq!(self.status.code(), Some(3), "{}", self.stderr);
        assert!(self.stderr.starts_with("warning: ") && self.stderr.contains(of), "{}", self.stderr);
    }

    /// Standard output is exactly one JSON document on one line.
    #[track_caller]
    pub(super) fn json(&self) -> serde_json::Value {
        assert_eq!(self.stdout.lines().count(), 1, "one document: {}\n{}", self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// Whether `text` is `pattern`, in which `[..]` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once("[..]") else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = rest.split("[..]").collect();
    let (last, middle) = parts.split_last().unwrap();
    for part in middle {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

/// A process that was started by a run in `folder`, the run itself included.
#[derive(Debug)]
pub(super) struct Descendant {
    pub(super) program: String,
    pub(super) arguments: String,
    pub(super) environment: String,
}

/// All of them: `HOME` is a folder of this test alone, and children inherit it.
pub(super) fn descendants(folder: &Path) -> Vec<Descendant> {
    let home = format!("HOME={}", folder.display());
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let read = |pid: u32, what: &str| {
        Some(String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{what}")).ok()?).into_owned())
    };
    let describe = |pid| {
        let environment = read(pid, "environ")?;
        let ours = environment.split('\0').any(|variable| variable == home);
        let program = read(pid, "comm")?.trim().to_owned();
        ours.then_some(Descendant { program, arguments: read(pid, "cmdline")?, environment })
    };
    pids.filter_map(describe).collect()
}

/// Waits until a child with this name runs.
pub(super) async fn child_called(folder: &Path, name: &str) -> Descendant {
    let found = || descendants(folder).into_iter().find(|process| process.program == name);
    eventually(&format!("{name} runs"), 30, found).await
}

/// Waits until no child runs.
pub(super) async fn no_descendants(folder: &Path) {
    let gone = || descendants(folder).is_empty().then_some(());
    let left: PathBuf = folder.into();
    eventually(&format!("all children in {} are gone", left.display()), 10, gone).await;
}

/// Asks until there is an answer.
pub(super) async fn eventually<T>(what: &str, seconds: u64, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < Duration::from_secs(seconds), "not within {seconds} s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn transcripts_match_with_gaps_only_where_they_say_so() {
    for (pattern, text, same) in [
        ("a b", "a b", true),
        ("a b", "a c", false),
        ("a [..] c", "a b c", true),
        ("a [..] c", "a b", false),
        ("[..]x[..]y", "1x2y", true),
        ("[..]x[..]y", "1y2x", false),
        ("a[..]", "a", true),
        ("aa[..]aa", "aaa", false),
    ] {
        assert_eq!(matches(pattern, text), same, "{pattern} {text}");
    }
}
