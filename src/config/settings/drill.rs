//! How drills are carried out: the section `drill`.

use std::path::PathBuf;
use std::time::Duration;

/// How drills are carried out.
#[derive(Clone, Debug)]
pub struct DrillSettings {
    /// In here each makes a directory of its own.
    pub dir: PathBuf,
    /// Longest time to a checked database.
    pub rto: Option<Duration>,
    /// Longest time between the newest commit that comes back and the moment wanted.
    pub rpo: Option<Duration>,
    /// Files with queries that must be true.
    pub sql: Vec<PathBuf>,
    /// For all of it.
    pub timeout: Duration,
    /// Superuser of a base backup's cluster.
    pub user: String,
    /// Database of a base backup that is checked; `None` = the only one.
    pub database: Option<String>,
    /// Libraries that a base backup's cluster loads when it starts.
    pub preload: Vec<String>,
    /// Memory that the server shares, in bytes.
    pub shared_buffers: u64,
    /// Workers of one query.
    pub parallel: u32,
    /// Priority of the server, 0 to 19.
    pub nice: i32,
    /// So old may one be that a checklist counts.
    pub max_age: Duration,
}
