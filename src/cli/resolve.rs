//! Settings to command options.

mod access;
mod audit;
mod database;
mod drill;
mod recovery;
mod replica;
mod repository;
mod retention;
mod stream;
mod verify;

use crate::commands::Which;
use crate::commands::parts::{BackupId, ClusterName, Level, Percent};
use crate::config::{Origin, Settings, key};

use super::failure::{Failure, Result};

pub(super) use access::{Purpose, access, access_if_any, bundle, kms, recipients, signer};
pub(super) use audit::{Recording, UNSIGNED, recording};
pub(super) use database::{
    connection, dump_options, encoding, environment, globals, names_replication, names_source, refuse_password,
    restore_target, search, tables,
};
pub(super) use drill::{drill_goal, drill_words, evidence_id, evidence_signer, kind, pick, scheduler, sql_checks};
pub(super) use recovery::{
    action, aws_variables, fast_checkpoint, mapping, moment, rate, recovery, replication, thaw, wal_source,
};
pub(super) use replica::{acknowledged, bytes_per_second, duration, lock_max};
pub(super) use repository::{reading, repository};
pub(super) use retention::{acting, day, policy, prices, wal_until};
pub(super) use stream::{lsn, wal_mode};
pub(super) use verify::{backend, expected, guard, heads, restored_database};

/// How much to read.
pub(super) fn sample(text: &str) -> Result<Percent> {
    text.parse().map_err(|problem| Failure::usage(format!("--sample: {problem}"), "give a part of all, such as 5%"))
}

/// The cluster that is meant.
pub(super) fn cluster(settings: &Settings) -> Result<ClusterName> {
    Ok(settings.cluster.parse().map_err(crate::commands::Error::from)?)
}

/// The cluster that someone named, or `None` for all.
pub(super) fn cluster_or_all(settings: &Settings, all: bool) -> Result<Option<ClusterName>> {
    let named = settings.origin(&key::CLUSTER) != Origin::Default;
    if all || !named { Ok(None) } else { cluster(settings).map(Some) }
}

/// `latest` or an id.
pub(super) fn which(text: &str) -> Result<Which> {
    if text == "latest" {
        return Ok(Which::Latest);
    }
    let way_out = "give latest, or an id as `stonewal list` shows it";
    text.parse().map(Which::Id).map_err(|_| Failure::usage(format!("{text:?} is not the id of a backup"), way_out))
}

/// An id.
pub(super) fn backup(text: &str) -> Result<BackupId> {
    let way_out = "give an id as `stonewal list` shows it";
    text.parse().map_err(|_| Failure::usage(format!("{text:?} is not the id of a backup"), way_out))
}

/// How deep to verify.
pub(super) fn level(text: &str) -> Result<Level> {
    text.parse().map_err(|problem| Failure::Usage {
        what: format!("--level: {problem}"),
        way_out: Some("`stonewal verify --help` explains the levels".into()),
    })
}
