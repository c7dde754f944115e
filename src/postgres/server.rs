//! A disposable PostgreSQL: made in a directory, run on loopback, gone with its handle. For the demo, tests and drills.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::conninfo::Environment;
use super::users::{self, User};
use super::{ConnInfo, Error, Result, Session};

mod files;

/// How the server is to be.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Directory to build it in; must not exist or be empty.
    pub dir: PathBuf,
    /// Directory of `initdb` and `postgres`; searched for if not given.
    pub bin_dir: Option<PathBuf>,
    /// Password of the superuser `postgres`, asked for by SCRAM on TCP; trusted if not given.
    pub password: Option<secrecy::SecretString>,
    /// Further settings, as in `postgresql.conf`.
    pub settings: Vec<(String, String)>,
    /// Lines put before the default ones in `pg_hba.conf`.
    pub hba: Vec<String>,
    /// Certificate and key (PEM) for TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whether to survive a power cut; off is faster.
    pub fsync: bool,
}

impl ServerOptions {
    /// A fast server without password in this directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            bin_dir: None,
            password: None,
            settings: Vec::new(),
            hba: Vec::new(),
            tls: None,
            fsync: false,
        }
    }
}

/// A running server. Dropping it stops it the hard way.
#[derive(Debug)]
pub struct Server {
    child: Child,
    dir: PathBuf,
    bin_dir: PathBuf,
    port: u16,
    password: Option<secrecy::SecretString>,
    owner: Option<User>,
}

impl Server {
    /// Where `initdb` and `postgres` are: the newest of the distribution's directories, or along `PATH`. `None` if
    /// PostgreSQL is not installed.
    pub fn find_bin_dir(env: &Environment) -> Option<PathBuf> {
        let path: Vec<PathBuf> = env.get("PATH").map(|list| std::env::split_paths(list).collect()).unwrap_or_default();
        let all = super::programs::versioned_dirs().into_iter().chain(path);
        all.into_iter().find(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file())
    }

    /// Creates the cluster and starts it. As root it runs as an unprivileged user, since PostgreSQL refuses root.
    pub async fn start(options: &ServerOptions) -> Result<Self> {
        let failed = |what: String| Error::Server { dir: options.dir.clone(), what };
        let bin_dir = options.bin_dir.clone().or_else(|| Self::find_bin_dir(&Environment::default()));
        let bin_dir = bin_dir.ok_or_else(|| Error::ProgramMissing {
            program: "initdb".into(),
            looked: super::programs::versioned_dirs(),
        })?;
        let owner = if rustix::process::geteuid().is_root() {
            let user = users::named("postgres").or_else(|| users::named("nobody"));
            Some(user.ok_or_else(|| failed("this host has neither a user postgres nor nobody".into()))?)
        } else {
            None
        };
        files::create(options, owner.as_ref()).map_err(|e| failed(format!("create it: {e}")))?;
        initdb(options, &bin_dir, owner.as_ref()).await?;
        files::configure(options, owner.as_ref()).map_err(|e| failed(format!("configure it: {e}")))?;
        // Another process may take the free port before the server does: then try another.
        let mut last = None;
        for _ in 0..5 {
            let port = free_port().map_err(|e| failed(format!("find a free port: {e}")))?;
            let child =
                run(&options.dir, &bin_dir, port, owner.as_ref()).map_err(|e| failed(format!("start it: {e}")))?;
            let password = options.password.clone();
            let mut server = Self {
                child,
                dir: options.dir.clone(),
                bin_dir: bin_dir.clone(),
                port,
                password,
                owner: owner.clone(),
            };
            match server.ready().await {
                Ok(()) => return Ok(server),
                Err(error) if error.to_string().contains("Address already in use") => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| failed("no free port".into())))
    }

    /// Connection settings of the superuser for this database, over TCP, without TLS unless asked for.
    pub fn conninfo(&self, dbname: &str) -> Result<ConnInfo> {
        let text = format!("host=127.0.0.1 port={} user=postgres sslmode=disable", self.port);
        let info = ConnInfo::resolve(&text, &Environment::default())?.with_dbname(dbname);
        Ok(info.with_user("postgres", self.password.clone()))
    }

    /// Connection settings over the Unix socket.
    pub fn socket_conninfo(&self, dbname: &str) -> Result<ConnInfo> {
        let text = format!("host={} port={} user=postgres", self.dir.display(), self.port);
        Ok(ConnInfo::resolve(&text, &Environment::default())?.with_dbname(dbname))
    }

    /// TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its programs are.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Process id of the postmaster.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Makes a directory that the server may write to, such as for a tablespace.
    pub fn make_dir(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        let made = files::make_dir(&path, self.owner.as_ref());
        made.map_err(|e| Error::Server { dir: self.dir.clone(), what: format!("create {name}: {e}") })?;
        Ok(path)
    }

    /// Runs one statement on its own in a database, with the usual `search_path`.
    pub async fn execute(&self, dbname: &str, sql: &str) -> Result<()> {
        let session = Session::connect(&self.socket_conninfo(dbname)?, "stonewal").await?;
        let client = session.client();
        client.batch_execute("RESET search_path").await.map_err(|e| Error::sql("prepare the session", e))?;
        client.batch_execute(sql).await.map_err(|e| Error::sql("run a statement", e))
    }

    /// Fast shutdown: sessions are ended, the cluster is left clean.
    pub async fn stop(mut self) -> Result<()> {
        self.signal(rustix::process::Signal::INT);
        let ended = tokio::time::timeout(Duration::from_mins(1), self.child.wait()).await;
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            _ => Err(Error::Server { dir: self.dir.clone(), what: format!("it does not stop{}", log_tail(&self.dir)) }),
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        // An error means that it has ended already.
        let _ = pid.map(|pid| rustix::process::kill_process(pid, signal));
    }

    async fn ready(&mut self) -> Result<()> {
        let info = self.socket_conninfo("postgres")?;
        let mut last = String::new();
        for _ in 0..300 {
            if let Ok(Some(status)) = self.child.try_wait() {
                let what = format!("it ended at once ({status}){}", log_tail(&self.dir));
                return Err(Error::Server { dir: self.dir.clone(), what });
            }
            match Session::connect(&info, "stonewal start").await {
                Ok(_) => return Ok(()),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(Error::Server { dir: self.dir.clone(), what: format!("it does not answer: {last}{}", log_tail(&self.dir)) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Immediate shutdown: the postmaster takes its children along, which SIGKILL would not make it do at once.
        self.signal(rustix::process::Signal::QUIT);
        for _ in 0..250 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.start_kill();
    }
}

async fn initdb(options: &ServerOptions, bin_dir: &Path, owner: Option<&User>) -> Result<()> {
    let mut command = command(&bin_dir.join("initdb"), &options.dir, owner);
    command.args([
        "--pgdata",
        "data",
        "--username=postgres",
        "--encoding=UTF8",
        "--locale=C",
        "--auth-local=trust",
        "--no-sync",
    ]);
    if options.password.is_some() {
        command.args(["--auth-host=scram-sha-256", "--pwfile=password"]);
    } else {
        command.arg("--auth-host=trust");
    }
    let output = command.output().await;
    let output =
        output.map_err(|source| Error::ChildIo { program: "initdb".into(), what: "start it".into(), source })?;
    files::forget_password(&options.dir);
    if output.status.success() {
        return Ok(());
    }
    let what = format!("initdb: {}", String::from_utf8_lossy(&output.stderr).trim());
    Err(Error::Server { dir: options.dir.clone(), what })
}

fn run(dir: &Path, bin_dir: &Path, port: u16, owner: Option<&User>) -> std::io::Result<Child> {
    let log = std::fs::File::create(dir.join("log"))?;
    let mut command = command(&bin_dir.join("postgres"), dir, owner);
    command.args(["-D", "data", "-p", &port.to_string(), "-h", "127.0.0.1", "-k"]).arg(dir);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.process_group(0).spawn()
}

fn command(program: &Path, dir: &Path, owner: Option<&User>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").env("TZ", "UTC");
    if let Some(user) = owner {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn log_tail(dir: &Path) -> String {
    let text = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(15).collect();
    if lines.is_empty() {
        String::new()
    } else {
        format!(":\n{}", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }
}
