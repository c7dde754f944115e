//! What one kind of backup has of its own.

use std::time::Duration;

/// How long backups of one kind are kept, where that is not the common rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KindRetention {
    /// So far back recovery from them stays possible.
    pub window: Option<Duration>,
    /// So many days keep their first one.
    pub daily: Option<u32>,
    /// The same of ISO weeks.
    pub weekly: Option<u32>,
    /// The same of months.
    pub monthly: Option<u32>,
    /// The same of years.
    pub yearly: Option<u32>,
    /// So many verified ones never expire.
    pub min_redundancy: Option<u32>,
}
