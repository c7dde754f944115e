//! A PostgreSQL of one's own on loopback, gone with its handle: for the demo, tests and drills. Made from nothing
//! ([`Server::start`]), or from a data directory that was restored or copied ([`Server::open`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Child;

use super::conninfo::Environment;
use super::users::{self, User};
use super::{ConnInfo, Error, Result, Session};

mod by_hand;
mod create;
mod files;
mod launch;
mod log;
mod options;
mod phase;
mod signals;
mod standby;

pub use by_hand::{ByHand, shell_word};
pub use options::{OpenOptions, ServerOptions};
pub use phase::Phase;
pub use signals::Stop;
pub use standby::{hand_over, make_standby};

/// How long a new server may take to answer.
const START_PATIENCE: Duration = Duration::from_secs(crate::limits::SERVER_START_SECONDS_MAX);

/// A server and its process. Dropping it stops it the hard way.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: log::Log,
    launch: launch::Launch,
    port: u16,
    user: String,
    password: Option<secrecy::SecretString>,
    session_options: Option<String>,
}

impl Server {
    /// Where `initdb` and `postgres` are: the newest of the distribution's directories, or along `PATH`. `None` if
    /// PostgreSQL is not installed.
    pub fn find_bin_dir(env: &Environment) -> Option<PathBuf> {
        let path: Vec<PathBuf> = env.get("PATH").map(|list| std::env::split_paths(list).collect()).unwrap_or_default();
        let all = super::programs::versioned_dirs().into_iter().chain(path);
        all.into_iter().find(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file())
    }

    /// Creates the cluster, starts it and waits until it takes connections. As root it runs as an unprivileged user,
    /// since PostgreSQL refuses root.
    pub async fn start(options: &ServerOptions) -> Result<Self> {
        let bin_dir = options.bin_dir.clone().or_else(|| Self::find_bin_dir(&Environment::default()));
        let bin_dir = bin_dir.ok_or_else(|| Error::ProgramMissing {
            program: "initdb".into(),
            looked: super::programs::versioned_dirs(),
        })?;
        let owner = unprivileged()?;
        create::create(options, &bin_dir, owner.as_ref()).await?;
        let launch = launch::Launch {
            dir: options.dir.clone(),
            data_dir: options.dir.join("data"),
            bin_dir,
            owner,
            settings: Vec::new(),
            env: options.env.clone(),
            tcp: options.tcp,
        };
        let mut server = Self::launch(launch, None, "postgres", options.password.clone()).await?;
        server.wait_writable(START_PATIENCE).await?;
        Ok(server)
    }

    /// Starts a server in an existing data directory. Returns when the process runs, whatever becomes of it: see
    /// [`wait_open`](Self::wait_open), [`wait_for`](Self::wait_for) and [`wait_ended`](Self::wait_ended).
    pub async fn open(options: &OpenOptions) -> Result<Self> {
        let absolute = |path: &Path| {
            std::path::absolute(path).map_err(|e| Error::File { path: path.to_owned(), what: e.to_string() })
        };
        let (data_dir, dir) = (absolute(&options.data_dir)?, absolute(&options.dir)?);
        let owner = standby::owner_of(&data_dir)?;
        let bin_dir = match &options.bin_dir {
            Some(dir) => dir.clone(),
            None => server_programs(options.major()?, None).await?,
        };
        let made = files::make_dir(&dir, owner.as_ref());
        made.map_err(|e| Error::Server { dir: dir.clone(), what: format!("create it: {e}") })?;
        let (settings, env) = (options.settings.clone(), options.env.clone());
        let launch = launch::Launch { dir, data_dir, bin_dir, owner, settings, env, tcp: options.tcp };
        let mut server = Self::launch(launch, options.port, &options.user, options.password.clone()).await?;
        server.session_options.clone_from(&options.session_options);
        Ok(server)
    }

    async fn launch(
        launch: launch::Launch,
        port: Option<u16>,
        user: &str,
        password: Option<secrecy::SecretString>,
    ) -> Result<Self> {
        let (child, log, port) = launch.start(port).await?;
        Ok(Self { child, log, launch, port, user: user.to_owned(), password, session_options: None })
    }

    /// Connection settings of the superuser for this database, over TCP, without TLS unless asked for.
    pub fn conninfo(&self, dbname: &str) -> Result<ConnInfo> {
        let text = format!("host=127.0.0.1 port={} sslmode=disable", self.port);
        let info = ConnInfo::resolve(&text, &Environment::default())?.with_dbname(dbname);
        Ok(info.with_user(&self.user, self.password.clone()))
    }

    /// Connection settings over the Unix socket.
    pub fn socket_conninfo(&self, dbname: &str) -> Result<ConnInfo> {
        let dir = files::conninfo_value(&self.launch.dir.display().to_string());
        let options = self.session_options.as_deref().map(files::conninfo_value);
        let options = options.map(|options| format!(" options={options}")).unwrap_or_default();
        let text = format!("host={dir} port={}{options}", self.port);
        let info = ConnInfo::resolve(&text, &Environment::default())?.with_dbname(dbname);
        Ok(info.with_user(&self.user, self.password.clone()))
    }

    /// TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its programs are.
    pub fn bin_dir(&self) -> &Path {
        &self.launch.bin_dir
    }

    /// Directory of its log and Unix socket.
    pub fn dir(&self) -> &Path {
        &self.launch.dir
    }

    /// Its data directory.
    pub fn data_dir(&self) -> &Path {
        &self.launch.data_dir
    }

    /// Process id of the postmaster; `None` once it is known to have ended.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// What it has logged since its last start.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Settings that the next [`restart`](Self::restart) overrides on the command line.
    pub fn set(&mut self, name: &str, value: &str) {
        self.launch.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Makes a directory that the server may write to, such as for a tablespace.
    pub fn make_dir(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir().join(name);
        let made = files::make_dir(&path, self.launch.owner.as_ref());
        made.map_err(|e| self.failed(format!("create {name}: {e}")))?;
        Ok(path)
    }

    /// Lowers the priority of the postmaster, and so of all that it starts from now on: 0 as everybody, 19 the lowest. A lower
    /// one stays, and a server that has ended already needs none.
    pub fn renice(&self, nice: i32) -> std::io::Result<()> {
        use rustix::process::{Pid, getpriority_process, setpriority_process};
        let pid = self.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { return Ok(()) };
        let lowered = match getpriority_process(Some(pid)) {
            Ok(now) if now >= nice => Ok(()),
            Ok(_) => setpriority_process(Some(pid), nice),
            Err(error) => Err(error),
        };
        match lowered {
            Err(error) if error != rustix::io::Errno::SRCH => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Creates a tablespace in a directory of the server's, see [`make_dir`](Self::make_dir).
    pub async fn create_tablespace(&self, name: &str, dir: &Path) -> Result<()> {
        let (name, dir) = (super::sql::quote_identifier(name), super::sql::quote_literal(&dir.display().to_string()));
        self.execute("postgres", &format!("CREATE TABLESPACE {name} LOCATION {dir}")).await
    }

    /// Runs one statement on its own in a database, with the usual `search_path`.
    pub async fn execute(&self, dbname: &str, sql: &str) -> Result<()> {
        let session = Session::connect(&self.socket_conninfo(dbname)?, "stonewal").await?;
        let client = session.client();
        client.batch_execute("RESET search_path").await.map_err(|e| Error::sql("prepare the session", e))?;
        client.batch_execute(sql).await.map_err(|e| Error::sql("run a statement", e))
    }
}

/// Whom to run new servers as: PostgreSQL refuses root. `None` for the user we are.
fn unprivileged() -> Result<Option<User>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let user = users::named("postgres").or_else(|| users::named("nobody"));
    let missing = || Error::Unsupported { what: "this host has neither a user postgres nor nobody".into() };
    user.map(Some).ok_or_else(missing)
}

/// The directory of the server programs of this major version, the one that was chosen if it is: no other runs a cluster of
/// that version.
pub async fn server_programs(major: u32, chosen: Option<&Path>) -> Result<PathBuf> {
    match installed(chosen).await.into_iter().find(|(number, _)| *number == major) {
        Some((_, dir)) => Ok(dir),
        None => Err(Error::ServerMissing { major, found: majors(chosen).await }),
    }
}

/// The same for a server that loads a dump of this major version: that version, or else the next newer one.
pub async fn loading_programs(major: u32, chosen: Option<&Path>) -> Result<PathBuf> {
    let fitting = installed(chosen).await.into_iter().filter(|(number, _)| *number >= major);
    match fitting.min_by_key(|(number, _)| *number) {
        Some((_, dir)) => Ok(dir),
        None => Err(Error::ServerMissing { major, found: majors(chosen).await }),
    }
}

async fn majors(chosen: Option<&Path>) -> Vec<u32> {
    installed(chosen).await.into_iter().map(|(number, _)| number).collect()
}

/// Directories with a `postgres` in them, and their versions; the chosen one first.
async fn installed(chosen: Option<&Path>) -> Vec<(u32, PathBuf)> {
    let dirs = chosen.map(Path::to_owned).into_iter().chain(super::programs::versioned_dirs());
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for dir in dirs.filter(|dir| dir.join("postgres").is_file()) {
        let search = super::programs::Search { chosen: Some(dir.clone()), path: Vec::new() };
        if let Ok(program) = search.find("postgres", 0, "").await {
            found.push((program.major, dir));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// PAINS B17: a drill says which package is missing before it fetches anything.
    #[tokio::test]
    async fn a_missing_major_is_named_with_its_package() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("postgres");
        std::fs::write(&program, "#!/bin/sh\necho 'postgres (PostgreSQL) 97.1'\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let chosen = Some(dir.path());
        assert_eq!(server_programs(97, chosen).await.unwrap(), dir.path());
        assert_eq!(loading_programs(96, chosen).await.unwrap(), dir.path(), "the next newer one loads it");
        for error in [server_programs(96, chosen).await.unwrap_err(), loading_programs(98, chosen).await.unwrap_err()] {
            let (text, hint) = (error.to_string(), error.hint().unwrap());
            assert!(text.contains("are not installed here (there is ") && text.contains("97"), "{text}");
            assert!(hint.contains("Debian: postgresql-96") || hint.contains("Debian: postgresql-98"), "{hint}");
        }
    }
}
