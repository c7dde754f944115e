//! Starting the postmaster: as whom, with which environment, on which port.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::process::{Child, Command};

use super::log::Log;
use crate::postgres::users::User;
use crate::postgres::{Error, Result};

/// The environment of every server.
pub(super) const CLEAN: [(&str, &str); 3] = [("PATH", "/usr/bin:/bin"), ("LC_ALL", "C"), ("TZ", "UTC")];

/// Where nobody listens on TCP, the port is but a part of the socket's name: that which clients look for by themselves.
const SOCKET_PORT: u16 = 5432;

/// Everything that a start needs, kept for the next one.
#[derive(Debug, Clone)]
pub(super) struct Launch {
    /// Of log and socket.
    pub(super) dir: PathBuf,
    pub(super) data_dir: PathBuf,
    pub(super) bin_dir: PathBuf,
    pub(super) owner: Option<User>,
    pub(super) settings: Vec<(String, String)>,
    pub(super) env: Vec<(String, SecretString)>,
    pub(super) tcp: bool,
}

impl Launch {
    /// Starts it on this port, or on a free one.
    pub(super) async fn start(&self, port: Option<u16>) -> Result<(Child, Log, u16)> {
        let io = |what: &str, e: std::io::Error| Error::Server { dir: self.dir.clone(), what: format!("{what}: {e}") };
        let tries = if port.is_some() { 1 } else { 5 };
        let mut attempt = 1;
        loop {
            let any = || if self.tcp { free_port() } else { Ok(SOCKET_PORT) };
            let number = port.map_or_else(any, Ok).map_err(|e| io("find a free port", e))?;
            let log = Log::begin(&self.dir).map_err(|e| io("open its log", e))?;
            let mut child = self.spawn(number, &log).map_err(|e| io("start it", e))?;
            // Another process may take the free port before the server does: then try another.
            let lost =
                self.ended_before_listening(&mut child, number).await && log.text().contains("Address already in use");
            if !lost || attempt == tries {
                return Ok((child, log, number));
            }
            attempt += 1;
        }
    }

    /// The Unix socket is made after the TCP one.
    async fn ended_before_listening(&self, child: &mut Child, port: u16) -> bool {
        let socket = self.dir.join(format!(".s.PGSQL.{port}"));
        for _ in 0..1500 {
            if !matches!(child.try_wait(), Ok(None)) {
                return true;
            }
            if socket.exists() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    fn spawn(&self, port: u16, log: &Log) -> std::io::Result<Child> {
        let mut command = clean_command(&self.bin_dir.join("postgres"), &self.dir, self.owner.as_ref());
        command.envs(self.env.iter().map(|(name, value)| (name, value.expose_secret())));
        command.arg("-D").arg(&self.data_dir).args(self.arguments(port));
        let output = log.writer()?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        command.process_group(0).spawn()
    }

    /// What the postmaster is told besides its data directory.
    pub(super) fn arguments(&self, port: u16) -> Vec<OsString> {
        // A restored cluster may log into files of its own.
        let log_here = [("logging_collector", "off"), ("log_destination", "stderr")];
        let mut all = Vec::new();
        for (name, value) in log_here.into_iter().chain(self.settings.iter().map(|(n, v)| (n.as_str(), v.as_str()))) {
            all.extend(["-c".into(), format!("{name}={value}").into()]);
        }
        let addresses = if self.tcp { "127.0.0.1" } else { "" };
        all.extend(["-p", &port.to_string(), "-h", addresses, "-k"].map(OsString::from));
        all.push(self.dir.clone().into());
        all
    }
}

/// A program with an environment that tells it nothing about us.
pub(super) fn clean_command(program: &Path, dir: &Path, owner: Option<&User>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).env_clear().envs(CLEAN);
    if let Some(user) = owner {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
