//! A PostgreSQL of one's own on loopback, gone with its handle: for the demo, tests and drills. Made from nothing
//! ([`Server::start`]), or from a data directory that was restored or copied ([`Server::open`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Child;

use super::conninfo::Environment;
use super::users::{self, User};
use super::{ConnInfo, Error, Result, Session};

mod create;
mod files;
mod launch;
mod log;
mod options;
mod phase;
mod signals;
mod standby;

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
            None => bin_dir_of(options.major()?).await?,
        };
        let made = files::make_dir(&dir, owner.as_ref());
        made.map_err(|e| Error::Server { dir: dir.clone(), what: format!("create it: {e}") })?;
        let (settings, env) = (options.settings.clone(), options.env.clone());
        let launch = launch::Launch { dir, data_dir, bin_dir, owner, settings, env };
        Self::launch(launch, options.port, &options.user, options.password.clone()).await
    }

    async fn launch(
        launch: launch::Launch,
        port: Option<u16>,
        user: &str,
        password: Option<secrecy::SecretString>,
    ) -> Result<Self> {
        let (child, log, port) = launch.start(port).await?;
        Ok(Self { child, log, launch, port, user: user.to_owned(), password })
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
        let text = format!("host={dir} port={}", self.port);
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

/// The programs of this major version: no other runs the cluster.
async fn bin_dir_of(major: u32) -> Result<PathBuf> {
    let looked = super::programs::versioned_dirs();
    for dir in looked.iter().filter(|dir| dir.join("postgres").is_file()) {
        let search = super::programs::Search { chosen: Some(dir.clone()), path: Vec::new() };
        if search.find("postgres", 0, "").await.is_ok_and(|program| program.major == major) {
            return Ok(dir.clone());
        }
    }
    Err(Error::ProgramMissing { program: format!("postgres {major}"), looked })
}
