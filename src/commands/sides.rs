//! Reading from a repository and its replicas as one.

use std::sync::Arc;
use std::time::Duration;

use super::{RepositoryOptions, Result};
use crate::catalog::{Access, Finding, FindingKind, Repository};
use crate::format::names::Names;
use crate::limits::{SIDE_ATTEMPTS_MAX, SIDE_DEADLINE_SECONDS_MAX};
use crate::store::{Read, S3, S3Options, Side, Sides};

/// Where a restore reads: the bucket, and any replica for what the bucket does not give.
pub(super) struct Source {
    store: Arc<dyn Read>,
    names: Names,
    location: String,
    sides: Option<Arc<Sides>>,
}

impl Source {
    /// Connects; asks nothing yet.
    pub(super) async fn of(options: &RepositoryOptions) -> Result<Self> {
        let names = Names::new(&options.prefix)?;
        let location = format!("s3://{}/{}", options.bucket().bucket, names.prefix());
        if options.replicas.is_empty() || options.from_replica.is_some() {
            let store = Arc::new(S3::connect(options.bucket().clone()).await?);
            return Ok(Self { store, names, location, sides: None });
        }
        let bucket = Arc::new(S3::connect(hasty(&options.s3)).await?);
        let mut sides = vec![Side::new(location.trim_end_matches('/'), bucket)];
        for replica in &options.replicas {
            let bucket = Arc::new(S3::connect(hasty(&replica.s3)).await?);
            sides.push(Side::new(format!("replica {}", replica.name), bucket));
        }
        let sides = Arc::new(Sides::new(sides));
        Ok(Self { store: sides.clone(), names, location, sides: Some(sides) })
    }

    /// Opens the repository.
    pub(super) async fn open(&self, access: Access) -> Result<Repository> {
        Ok(Repository::open(self.store.clone(), self.names.clone(), access, &self.location).await?)
    }

    /// The same without a look at its record.
    pub(super) async fn open_lightly(&self, access: Access) -> Result<Repository> {
        Ok(Repository::open_lightly(self.store.clone(), self.names.clone(), access, &self.location).await?)
    }

    /// Sides that did not answer, for people.
    pub(super) fn warnings(&self) -> Vec<String> {
        let failing = self.sides.iter().flat_map(|sides| sides.failing());
        let tell = |failing: crate::store::Failing| {
            let times = if failing.times == 1 { "once".to_owned() } else { format!("{} times", failing.times) };
            format!("{} failed {times}, so other sides were asked: {}", failing.side, failing.last)
        };
        failing.map(tell).collect()
    }

    /// Objects that one side has with other bytes than it should.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let altered = self.sides.iter().flat_map(|sides| sides.altered());
        let tell = |altered: crate::store::Altered| {
            let detail = format!("{} gave other bytes, so other sides were asked: {}", altered.side, altered.what);
            Finding::new(FindingKind::Altered, altered.key, None, detail)
        };
        altered.map(tell).collect()
    }
}

/// Where another side can be asked, none is waited for as long as the only one is.
pub(super) fn hasty(s3: &S3Options) -> S3Options {
    S3Options {
        attempts: s3.attempts.min(SIDE_ATTEMPTS_MAX),
        deadline: s3.deadline.min(Duration::from_secs(SIDE_DEADLINE_SECONDS_MAX)),
        ..s3.clone()
    }
}
