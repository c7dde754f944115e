//! The replication client against real servers: every major version found.

mod base;
mod commands;
mod faults;
mod login;
mod stream;

use std::path::PathBuf;

use stonewal::format::Lsn;
use stonewal::postgres::replication::{Client, Fault};
use stonewal::postgres::server::{Server, ServerOptions};
use stonewal::postgres::{ConnInfo, Environment, Error, Session};

use crate::support::majors::Installed;
use crate::support::proxy::{Proxy, Weather};

/// A running server, and the directory around it.
struct Ground {
    server: Server,
    // Dropped after the server.
    dir: tempfile::TempDir,
}

impl Ground {
    async fn new(installed: &Installed, change: impl FnOnce(&mut ServerOptions)) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let passable = std::fs::Permissions::from_mode(0o711);
        let dir = tempfile::Builder::new().prefix("sw").permissions(passable).tempdir().unwrap();
        let mut options = ServerOptions::new(dir.path().join("pg"));
        options.bin_dir = Some(installed.bin_dir.clone());
        options.settings.push(("autovacuum".into(), "off".into()));
        change(&mut options);
        Self { server: crate::support::clusters::start(&options).await.unwrap(), dir }
    }

    /// A connection of the superuser.
    async fn client(&self) -> Client {
        Client::connect(&self.server.conninfo("postgres").unwrap(), "stonewal test").await.unwrap()
    }

    async fn session(&self) -> Session {
        Session::connect(&self.server.conninfo("postgres").unwrap(), "test").await.unwrap()
    }

    async fn execute(&self, sql: &str) {
        self.server.execute("postgres", sql).await.unwrap();
    }

    /// One value as text.
    async fn value(&self, sql: &str) -> String {
        let session = self.session().await;
        let row = session.client().query_one(&format!("SELECT ({sql})::pg_catalog.text"), &[]).await.unwrap();
        row.get(0)
    }

    async fn lsn(&self, sql: &str) -> Lsn {
        self.value(sql).await.parse().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// A connection of the superuser through a proxy.
async fn through_proxy(ground: &Ground) -> (Proxy, Client) {
    let proxy = Proxy::start(([127, 0, 0, 1], ground.server.port()).into(), Weather::Fair).await;
    let client = Client::connect(&behind(&proxy), "stonewal test").await.unwrap();
    (proxy, client)
}

/// Settings of the superuser behind a proxy.
fn behind(proxy: &Proxy) -> ConnInfo {
    let text = format!("host=127.0.0.1 port={} user=postgres dbname=postgres sslmode=disable", proxy.port());
    ConnInfo::resolve(&text, &Environment::default()).unwrap()
}

/// The meaning of a refusal.
#[track_caller]
fn fault(error: &Error) -> Fault {
    match error {
        Error::Replication { failure, .. } => failure.fault.clone(),
        other => panic!("not refused by the server: {other:?}"),
    }
}
