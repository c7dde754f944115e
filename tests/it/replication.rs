//! The replication client against real servers: every major version found.

mod commands;

use std::path::PathBuf;

use stonewal::postgres::replication::Client;

use crate::support::fixture::Fixture;

/// A connection of the superuser.
async fn client(fixture: &Fixture) -> Client {
    Client::connect(&fixture.server.conninfo("postgres").unwrap(), "stonewal test").await.unwrap()
}

/// A server of this version, set up for replication.
async fn server(test: &str, bin_dir: PathBuf) -> Fixture {
    let fixture = Fixture::with(test, |options| {
        options.bin_dir = Some(bin_dir);
        options.settings.retain(|(name, _)| name != "allow_in_place_tablespaces");
    });
    fixture.await.unwrap()
}
