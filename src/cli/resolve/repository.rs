//! The bucket: where it is, how to reach it, how to lock what is put there.

use crate::commands::parts::{Checksum, LockMode, S3Options};
use crate::commands::{Immutability, RepositoryOptions};
use crate::config::{self, Settings};

use super::Result;

/// The configured repository.
pub(in crate::cli) fn repository(settings: &Settings) -> Result<RepositoryOptions> {
    let url = settings.repository()?;
    let s3 = &settings.s3;
    let checksum = match s3.checksum {
        config::Checksum::Crc64Nvme => Checksum::Crc64Nvme,
        config::Checksum::Sha256 => Checksum::Sha256,
        config::Checksum::Crc32c => Checksum::Crc32c,
        config::Checksum::Md5 => Checksum::Md5,
    };
    let immutability = match settings.immutability {
        config::Immutability::ObjectLock { mode, retain } => {
            let mode = match mode {
                config::LockMode::Governance => LockMode::Governance,
                config::LockMode::Compliance => LockMode::Compliance,
            };
            Immutability::ObjectLock { mode, retain }
        }
        config::Immutability::None => Immutability::None,
    };
    Ok(RepositoryOptions {
        s3: S3Options {
            endpoint: s3.endpoint.clone(),
            region: s3.region.clone(),
            profile: s3.profile.clone(),
            path_style: s3.path_style,
            ca_file: s3.ca_file.clone(),
            checksum,
            deadline: s3.deadline,
            attempts: s3.attempts,
            ..S3Options::new(&url.bucket)
        },
        prefix: url.prefix.clone(),
        immutability,
    })
}
