//! What `--keep` leaves: the restored files, a stopped server, and scripts that run it with the drill's settings. Started
//! otherwise it would be its source again: it would listen, archive and subscribe as that does.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use serde::Serialize;

use super::measure::Restored;
use super::workplace::Workplace;
use crate::commands::{Error, Result};
use crate::postgres::server::Stop;

/// The server of a drill that was kept.
#[derive(Debug, Serialize)]
pub struct KeptServer {
    /// All of it: to be removed when it is not needed any more.
    pub directory: PathBuf,
    /// A script that starts it and prints `connect`.
    pub start: PathBuf,
    /// A script that stops it.
    pub stop: PathBuf,
    /// Connection string for psql and pg_dump, while it runs.
    pub connect: String,
}

impl Restored {
    /// Stops the server and writes down how to run it.
    pub(super) async fn leave(&mut self, place: &Workplace) -> Result<KeptServer> {
        self.server.shut_down(Stop::Fast).await?;
        let by_hand = self.server.by_hand(&self.database);
        let left = KeptServer {
            directory: place.dir().to_owned(),
            start: place.path("start"),
            stop: place.path("stop"),
            connect: by_hand.connect,
        };
        for (path, text) in [(&left.start, by_hand.start), (&left.stop, by_hand.stop)] {
            let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(path);
            let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
            written.map_err(|error| Error::File { path: path.clone(), why: error.to_string() })?;
        }
        Ok(left)
    }
}
