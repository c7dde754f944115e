//! The program against its own embedded store, and against a store that never answers.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const PASSPHRASE: &str = "sentinel: a long sentence for tests";

fn stonewal(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stonewal"));
    std::fs::write(folder.join("stonewal.toml"), "").unwrap();
    command
        .env_clear()
        .env("HOME", folder)
        .env("PATH", "/usr/bin:/bin")
        .env("USER", "nobody")
        .env("STONEWAL_CONFIG", folder.join("stonewal.toml"))
        .env("BACKUP_PASSPHRASE", PASSPHRASE)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "sentinel")
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// `stonewal store serve`, killed when dropped.
struct Served {
    child: Child,
    folder: tempfile::TempDir,
}

impl Served {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut serve = stonewal(folder.path());
        serve.args(["store", "serve", "--root", "store", "--listen", "127.0.0.1:0", "--json"]);
        let mut child = serve.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let document: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(document["endpoint"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{document}");
        Self { child, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program as a user with `role`, its variables taken from the file that the server wrote.
    fn command(&self, role: &str) -> Command {
        let file = self.path("store/env").join(role);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(file).unwrap();
        let pairs = text.trim().trim_start_matches("export ").split(' ').map(|pair| pair.split_once('=').unwrap());
        let mut command = stonewal(self.folder.path());
        command.envs(pairs).env("STONEWAL_REPOSITORY", "s3://backups/prod");
        command
    }

    fn run(&self, role: &str, arguments: &[&str]) -> Output {
        self.run_with(role, arguments, &[])
    }

    fn run_with(&self, role: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let output = self.command(role).envs(variables.iter().copied()).args(arguments).output().unwrap();
        let printed = [&output.stdout[..], &output.stderr].concat();
        assert!(!String::from_utf8_lossy(&printed).contains("sentinel"), "a secret is printed (invariant I13)");
        output
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn expect(output: &Output, code: i32, words: &[&str]) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    for word in words {
        assert!(out.contains(word) || err.contains(word), "{word:?} is not in\n{out}{err}");
    }
}

#[test]
fn a_repository_is_made_and_looked_at() {
    let served = Served::start();
    expect(&served.run("reader", &["list"]), 1, &["bucket backups does not exist", "stonewal init"]);
    let made = served.run("admin", &["init", "--recovery-file", "recovery.txt"]);
    expect(&made, 0, &["s3://backups/prod/ created", "two places", "recovery.txt, offline", "prod/identities/"]);
    expect(&served.run("admin", &["init"]), 0, &["exists and opens"]);
    expect(&served.run("admin", &["init", "--recovery-file", "more.txt"]), 2, &["exists already"]);
    expect(&served.run("reader", &["list"]), 0, &["no backups at s3://backups/prod/"]);
    expect(&served.run("reader", &["list", "--json"]), 0, &["\"backups\":[]"]);
    // Where a replica's bucket is missing, `init` would put another repository in its place.
    let variables = std::fs::read_to_string(served.path("store/env/admin")).unwrap();
    let endpoint = variables.split_whitespace().find_map(|pair| pair.strip_prefix("AWS_ENDPOINT_URL_S3=")).unwrap();
    let section =
        format!("[replica.far]\nrepository = \"s3://far/prod\"\nendpoint = \"{endpoint}\"\nregion = \"us-east-1\"\n");
    std::fs::write(served.path("far.toml"), section).unwrap();
    let there = [("STONEWAL_CONFIG", "far.toml")];
    let words =
        ["replica far: bucket far does not exist", "versioning and Object Lock (infra/), not with `stonewal init`"];
    expect(&served.run_with("writer", &["replica", "copy", "far"], &there), 2, &words);
    expect(&served.run("reader", &["show"]), 1, &["cluster main has no backup", "hint: "]);
    expect(&served.run("reader", &["verify"]), 3, &["there was no backup to verify"]);
    let keyless = [("BACKUP_PASSPHRASE", "")];
    expect(&served.run_with("reader", &["list", "--identity-file", "recovery.txt"], &keyless), 0, &["no backups"]);
    expect(&served.run("admin", &["keys", "writer", "--name", "db1", "--out", "db1.writer"]), 0, &["host db1"]);
    expect(&served.run_with("writer", &["list", "--writer-file", "db1.writer"], &keyless), 0, &["no backups"]);
    let unfit = served.run_with("writer", &["verify", "--level", "decrypt", "--writer-file", "db1.writer"], &keyless);
    expect(&unfit, 2, &["a writer file cannot read data"]);
}

#[test]
fn what_a_store_refuses_is_said_by_name() {
    let served = Served::start();
    expect(&served.run("writer", &["init"]), 1, &["is denied", "hint: allow s3:CreateBucket"]);
    let brief = [("BACKUP_PASSPHRASE", "brief")];
    expect(&served.run_with("admin", &["init"], &brief), 3, &["fewer than 16", "one recipient only"]);
    expect(&served.run("reader", &["list"]), 4, &["the passphrase does not open the identity bundle"]);
    let wrong = [("AWS_SECRET_ACCESS_KEY", "wrong")];
    expect(&served.run_with("reader", &["list"], &wrong), 1, &["does not accept the credentials"]);
    let second = stonewal(served.folder.path()).args(["store", "serve", "--root", "store"]).output().unwrap();
    expect(&second, 1, &["in use"]);
}

#[test]
fn the_doctor_proves_that_locks_hold() {
    let served = Served::start();
    expect(&served.run("admin", &["init", "--recovery-file", "recovery.txt"]), 0, &[]);
    let healthy = served.run("writer", &["doctor"]);
    expect(&healthy, 0, &["ok    worm: delete", "ok    worm: shorten", "ok    worm: bypass"]);
    let powerful = served.run("attacker", &["doctor", "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&powerful.stdout).unwrap();
    let hide = document["checks"].as_array().unwrap().iter().find(|check| check["name"] == "worm: hide").unwrap();
    assert_eq!((powerful.status.code(), &hide["status"]), (Some(3), &"warn".into()), "{document}");
}

#[test]
fn a_server_that_is_told_to_stop_has_done_its_work() {
    for stop in [Signal::TERM, Signal::INT] {
        let mut served = Served::start();
        signal(&served.child, stop);
        assert_eq!(served.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn an_interrupted_run_ends_soon_and_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    for (arguments, stop) in
        [(&["list"][..], Signal::TERM), (&["list"], Signal::HUP), (&["backup", "dump"], Signal::INT)]
    {
        let mut command = stonewal(folder.path());
        command.args(arguments).args(["--repository", "s3://backups", "--endpoint", &endpoint]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        // The request is here: signals are listened to, and nobody will answer.
        let _open = listener.accept().unwrap();
        let since = Instant::now();
        signal(&child, stop);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{arguments:?}");
        assert!(since.elapsed() < Duration::from_secs(20), "{arguments:?}: {:?}", since.elapsed());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(said.ends_with("error: interrupted; nothing was published or committed\n"), "{said}");
    }
}

#[test]
fn a_second_interrupt_ends_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut command = stonewal(folder.path());
    command.args(["backup", "dump", "--repository", "s3://backups", "--endpoint", &endpoint]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let _open = listener.accept().unwrap();
    let since = Instant::now();
    signal(&child, Signal::INT);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut String::new()).unwrap();
    signal(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let served = Served::start();
    expect(&served.run("admin", &["init", "--recovery-file", "recovery.txt"]), 0, &[]);
    for arguments in ["--help", "list"] {
        let mut command = served.command("reader");
        let mut child = command.arg(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{arguments}");
    }
}
