//! How long what is stored must stay: a plan made from facts, a policy and the store's time. Pure; whoever acts on it
//! asks it about every object by its name.
//!
//! Nothing here trusts what a host says of itself: ages are the store's, only backups whose manifest is authentic and
//! whose objects are listed count, and what arrived "in the future" counts for nothing (PAINS A8, A17).

mod backups;
mod doubt;
mod error;
mod facts;
mod item;
mod lines;
mod needs;
mod periods;
mod plan;
mod policy;
mod reason;
#[cfg(test)]
mod tests;

pub use error::{Error, Result};
pub use facts::{BackupFact, Facts, TimelineFact, UnfinishedFact, UnreadFact, Verified};
pub use item::Item;
pub use periods::Period;
pub use plan::{BackupDecision, Ground, Plan, UnfinishedDecision, Verdict, WalDecision, plan};
pub use policy::{Own, Policy};
pub use reason::Reason;
