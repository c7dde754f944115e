//! The bucket and its replicas: where they are, how to reach them, how to lock what is put there.

use crate::commands::parts::{Checksum, LockMode, S3Options};
use crate::commands::{Immutability, Replica, RepositoryOptions};
use crate::config::{self, RepositoryUrl, S3Settings, Settings, key};

use super::super::failure::{Failure, Result};

/// The configured repository, for commands that write to it or judge it.
pub(in crate::cli) fn repository(settings: &Settings) -> Result<RepositoryOptions> {
    if settings.from_replica.is_some() {
        let what = format!("{}: this command works on the repository itself", settings.origin(&key::FROM_REPLICA));
        let way_out = "leave it out; list, show, verify, restore, drill, keys check, wal fetch and wal verify can read a replica alone";
        return Err(Failure::usage(what, way_out));
    }
    configured(settings)
}

/// Where to read from: the repository with its replicas, or the one replica that was chosen.
pub(in crate::cli) fn reading(settings: &Settings) -> Result<RepositoryOptions> {
    Ok(RepositoryOptions { from_replica: settings.from_replica.clone(), ..configured(settings)? })
}

/// The same, whatever is read instead of it.
pub(super) fn configured(settings: &Settings) -> Result<RepositoryOptions> {
    let url = settings.repository()?;
    let replica = |replica: &config::ReplicaSettings| Replica {
        name: replica.name.clone(),
        s3: replica_options(replica),
        max_lag: replica.max_lag,
    };
    Ok(RepositoryOptions {
        s3: s3_options(url, &settings.s3),
        prefix: url.prefix.clone(),
        immutability: immutability(settings),
        require_worm: settings.require_worm,
        lock_max: settings.retention.max,
        replicas: settings.replicas.iter().map(replica).collect(),
        from_replica: None,
    })
}

/// A profile of its own counts alone: the usual variables are for the repository.
fn replica_options(replica: &config::ReplicaSettings) -> S3Options {
    S3Options { profile_only: replica.s3.profile.is_some(), ..s3_options(&replica.url, &replica.s3) }
}

fn s3_options(url: &RepositoryUrl, s3: &S3Settings) -> S3Options {
    let checksum = match s3.checksum {
        config::Checksum::Crc64Nvme => Checksum::Crc64Nvme,
        config::Checksum::Sha256 => Checksum::Sha256,
        config::Checksum::Crc32c => Checksum::Crc32c,
        config::Checksum::Md5 => Checksum::Md5,
    };
    S3Options {
        endpoint: s3.endpoint.clone(),
        region: s3.region.clone(),
        profile: s3.profile.clone(),
        path_style: s3.path_style,
        ca_file: s3.ca_file.clone(),
        checksum,
        deadline: s3.deadline,
        attempts: s3.attempts,
        ..S3Options::new(&url.bucket)
    }
}

fn immutability(settings: &Settings) -> Immutability {
    match settings.immutability {
        config::Immutability::ObjectLock { mode, retain } => {
            let mode = match mode {
                config::LockMode::Governance => LockMode::Governance,
                config::LockMode::Compliance => LockMode::Compliance,
            };
            Immutability::ObjectLock { mode, retain }
        }
        config::Immutability::None => Immutability::None,
    }
}
