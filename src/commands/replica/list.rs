//! `stonewal replica list`: which replicas there are, and whether they could be read.

use futures::future::join_all;
use serde::Serialize;

use super::{Ends, Identity};
use crate::commands::{RepositoryOptions, Result};
use crate::observe::chain;
use crate::store::BucketState;

/// One replica.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The operator's name for it.
    pub replica: String,
    /// Bucket and prefix.
    pub location: String,
    /// Where requests go.
    pub endpoint: String,
    /// Versioning and Object Lock.
    pub bucket: Option<BucketState>,
    /// Whose record it holds.
    pub identity: Option<Identity>,
    /// Why that is not known.
    pub failure: Option<String>,
}

/// All of them, by name.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The replicas.
    pub replicas: Vec<Row>,
}

/// Looks at each replica's bucket and record.
pub async fn run(options: RepositoryOptions) -> Result<Outcome> {
    Ok(Outcome { replicas: rows(&options).await? })
}

/// The same for `doctor`.
pub(in crate::commands) async fn rows(options: &RepositoryOptions) -> Result<Vec<Row>> {
    let rows = options.replicas.iter().map(|replica| row(options, &replica.name));
    join_all(rows).await.into_iter().collect()
}

async fn row(options: &RepositoryOptions, name: &str) -> Result<Row> {
    let ends = Ends::of(options, name).await?;
    let mut row = Row {
        replica: ends.name.clone(),
        location: ends.location.clone(),
        endpoint: ends.there.endpoint().to_owned(),
        bucket: None,
        identity: None,
        failure: None,
    };
    match ends.there.bucket_state().await {
        Ok(state) => row.bucket = Some(state),
        Err(error) => row.failure = Some(chain(&error)),
    }
    if row.failure.is_none() {
        match ends.identity().await {
            Ok(identity) => row.identity = Some(identity),
            Err(error) => row.failure = Some(chain(&error)),
        }
    }
    Ok(row)
}
