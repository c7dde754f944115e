//! How WAL is streamed.

use super::super::failure::{Failure, Result};
use crate::commands::parts::Lsn;
use crate::commands::wal_stream::Mode;
use crate::config::WalMode;

/// When WAL is flushed.
pub(in crate::cli) fn wal_mode(mode: WalMode) -> Mode {
    match mode {
        WalMode::Auto => Mode::Auto,
        WalMode::Interval => Mode::Interval,
        WalMode::Synchronous => Mode::Synchronous,
    }
}

/// A position in the WAL.
pub(in crate::cli) fn lsn(text: &str) -> Result<Lsn> {
    let lsn: Result<Lsn, _> = text.parse();
    lsn.map_err(|error| Failure::usage(format!("--until-lsn: {error}"), "copy it as PostgreSQL prints it"))
}
