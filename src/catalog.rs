//! What is in the repository: found by listing, believed by signature, made visible by one last object.
//!
//! The first version of an object wins (invariant I4): names are random and fresh, so whoever wrote a name first is the
//! one who made it; later versions and delete markers are noise and are reported as [`Finding`]s.

mod audit;
mod bundle;
mod commit;
mod coverage;
mod discover;
mod diverging;
mod error;
mod evidence;
mod finding;
mod footing;
mod foundation;
mod keys;
mod listing;
mod open;
pub mod plan;
mod renew;
mod roster;
mod versions;
mod wal;

pub use crate::store::Pages;
pub use audit::{AuditEntry, AuditFound, AuditListing, AuditSeen, AuditTrail};
pub use bundle::{Root, open_bundle};
pub use commit::{BackupKeys, Committed, Draft, FinishedStream, commit, lock_record};
pub use coverage::{Leg, Link, Partial, Stretch, TimelineCoverage, WalCatalog, merge_ranges};
pub use discover::Backup;
pub use diverging::{Branch, Diverging};
pub use error::{Error, Result};
pub use evidence::{KeptEvidence, publish_evidence};
pub use finding::{Finding, FindingKind};
pub use footing::{Footing, Foundation};
pub use foundation::{found, outlive, publish_certificate, put_bundle, put_record};
pub use listing::each_entry;
pub use open::{Access, Repository};
pub use roster::{newest_roster, publish_roster};
pub use wal::{ClusterIdentity, Kept, WalObject, cluster_record, keep_wal, outlive_wal, record_gap};

#[cfg(test)]
mod tests;
