//! Why there is no plan.

use crate::format::manifest::Kind;

/// Result of planning.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A policy that must not be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing to recover from would be left.
    #[error("the policy would let every verified {kind} of cluster {cluster} expire, {count} of them")]
    ExpiresAll {
        /// The cluster.
        cluster: String,
        /// Kind of the backups.
        kind: Kind,
        /// How many there are.
        count: usize,
    },
    /// A rule keeps for longer than anything may be locked.
    #[error("{key} keeps for up to {needed_days} days, retention.max is {max_days} days")]
    BeyondMax {
        /// The key of the rule.
        key: &'static str,
        /// How long it keeps.
        needed_days: i64,
        /// The bound.
        max_days: i64,
    },
}

impl Error {
    /// What the operator should do.
    pub fn hint(&self) -> String {
        match self {
            Self::ExpiresAll { .. } => {
                "nothing was changed. Raise retention.min_redundancy, retention.keep_last_dumps or retention.keep_last_bases; to stop keeping backups of a kind, delete them by hand once their locks have ended".into()
            }
            Self::BeyondMax { needed_days, key, .. } => {
                format!("if {key} is meant, set retention.max = \"{needed_days}d\": locks as long as that cannot be taken back")
            }
        }
    }
}
