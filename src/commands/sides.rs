//! Reading from a repository and its replicas as one.

use std::sync::Arc;
use std::time::Duration;

use super::{Error, Replica, RepositoryOptions, Result};
use crate::catalog::{Access, Finding, FindingKind, Repository};
use crate::format::names::Names;
use crate::limits::{SIDE_ATTEMPTS_MAX, SIDE_DEADLINE_SECONDS_MAX, SIDE_WAITED_ATTEMPTS_MAX, SIDE_WAITED_SHARE};
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
        Self::connect(options, hasty, |side| side).await
    }

    /// The same where someone waits for so long and no longer: a side that keeps silent leaves time to ask the others.
    pub(super) async fn within(options: &RepositoryOptions, deadline: Duration) -> Result<Self> {
        let sides = u32::try_from(options.replicas.len()).unwrap_or(u32::MAX).saturating_add(1);
        let share = deadline / SIDE_WAITED_SHARE.saturating_mul(sides);
        Self::connect(options, |s3| waited_for(s3, share), Side::once).await
    }

    async fn connect(
        options: &RepositoryOptions,
        patience: impl Fn(&S3Options) -> S3Options,
        side: impl Fn(Side) -> Side,
    ) -> Result<Self> {
        let names = Names::new(&options.prefix)?;
        let location = format!("s3://{}/{}", options.bucket().bucket, names.prefix());
        if options.replicas.is_empty() || options.from_replica.is_some() {
            let store = Arc::new(S3::connect(options.bucket().clone()).await?);
            return Ok(Self { store, names, location, sides: None });
        }
        let here = Arc::new(S3::connect(patience(&options.s3)).await?);
        let mut sides = vec![side(Side::new(location.trim_end_matches('/'), here.clone()))];
        for replica in &options.replicas {
            let there = Arc::new(S3::connect(patience(&replica.s3)).await?);
            check_other(&here, &there, replica)?;
            sides.push(side(Side::new(format!("replica {}", replica.name), there)));
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

/// Refuses the repository as its own replica: it would be a copy that is lost with it. Both lie below the same prefix.
pub(super) fn check_other(here: &S3, there: &S3, replica: &Replica) -> Result<()> {
    if !here.is_same_bucket(there) {
        return Ok(());
    }
    Err(Error::SameReplica {
        name: replica.name.clone(),
        bucket: there.bucket().to_owned(),
        endpoint: there.endpoint().to_owned(),
    })
}

/// A side that is given up after a share of the time there is.
fn waited_for(s3: &S3Options, share: Duration) -> S3Options {
    let s3 = hasty(s3);
    S3Options {
        attempts: s3.attempts.min(SIDE_WAITED_ATTEMPTS_MAX),
        stall: s3.stall.min(share.max(Duration::from_millis(1))),
        ..s3
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
