//! The sections `replica.NAME`.

use std::time::Duration;

use super::section::Section;
use super::{Reader, any};
use crate::config::error::{Error, Result};
use crate::config::key;
use crate::config::named::REPLICA;
use crate::config::settings::{Checksum, ReplicaSettings, RepositoryUrl, S3Settings};
use crate::config::values;
use crate::limits::SIDES_MAX;

/// Checksums by name.
pub(super) const CHECKSUMS: [(&str, Checksum); 4] = [
    ("crc64nvme", Checksum::Crc64Nvme),
    ("sha256", Checksum::Sha256),
    ("crc32c", Checksum::Crc32c),
    ("md5", Checksum::Md5),
];

const SECOND: Duration = Duration::from_secs(1);
const MONTH: Duration = Duration::from_hours(31 * 24);

/// All replicas, by name. What a section leaves out is not taken from `s3`: a replica lies elsewhere.
pub(super) fn settings(
    read: &Reader<'_>,
    repository: Option<&RepositoryUrl>,
    s3: &S3Settings,
) -> Result<Vec<ReplicaSettings>> {
    let names = read.layers.names(&REPLICA);
    if names.len() >= SIDES_MAX {
        let at = read.layers.origin_in(REPLICA.path);
        let problem = format!("there are {} replicas", names.len());
        return Err(Error::Conflict { at, problem, way_out: format!("name fewer than {SIDES_MAX}") });
    }
    names.iter().map(|name| replica(&Section::new(read, &REPLICA, name), repository, s3)).collect()
}

fn replica(section: &Section<'_>, repository: Option<&RepositoryUrl>, s3: &S3Settings) -> Result<ReplicaSettings> {
    let url = section.required("repository", values::repository)?;
    if let Some(primary) = repository {
        if url.prefix != primary.prefix {
            let problem = format!("{url} has another prefix than the repository {primary}: objects keep their names");
            return Err(section.wrong("repository", problem));
        }
        let endpoint = section.optional("endpoint", values::endpoint)?;
        if url == *primary && endpoint == s3.endpoint {
            return Err(section.wrong("repository", format!("{url} is the repository itself")));
        }
    }
    let checksum = section.optional("checksum", |text| values::choice(text, &CHECKSUMS))?;
    Ok(ReplicaSettings {
        name: section.name.to_owned(),
        max_lag: section.or("max_lag", "1h", |text| values::duration(text, SECOND, MONTH))?,
        url,
        s3: S3Settings {
            endpoint: section.optional("endpoint", values::endpoint)?,
            region: section.optional("region", any)?,
            profile: section.optional("profile", any)?,
            path_style: section.optional("path_style", values::boolean)?,
            ca_file: section.path_value("ca_file")?,
            checksum: checksum.unwrap_or(s3.checksum),
            deadline: s3.deadline,
            attempts: s3.attempts,
        },
    })
}

/// The replica that is read instead of the repository, if one is named.
pub(super) fn chosen(read: &Reader<'_>, replicas: &[ReplicaSettings]) -> Result<Option<String>> {
    read.optional(&key::FROM_REPLICA, |text| {
        let known: Vec<&str> = replicas.iter().map(|replica| replica.name.as_str()).collect();
        match (known.contains(&text), known.is_empty()) {
            (true, _) => Ok(text.to_owned()),
            (false, true) => Err(format!("{text:?}: there is no section replica.{text}")),
            (false, false) => Err(format!("{text:?} is none of {}", known.join(", "))),
        }
    })
}
