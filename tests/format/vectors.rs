//! Golden vectors: files made once by `UPDATE_VECTORS=1` and from then on only read, so that every backup ever written
//! stays readable. Their secrets guard nothing.

mod audit;
mod backups;
mod evidence;
mod streams;
mod wal;

pub(crate) use backups::golden_bucket;
pub(crate) use streams::golden;
pub(crate) use wal::{golden_wal, is_golden_plain};

use std::path::PathBuf;

use crate::support::variable;

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

/// Whether the files are to be made anew.
fn updating() -> bool {
    variable("UPDATE_VECTORS").is_some_and(|value| value == "1")
}
