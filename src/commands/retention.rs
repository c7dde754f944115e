//! How long backups are kept.

pub(super) mod acting;
pub mod apply;
pub mod extend;
mod gather;
pub mod hold;
pub mod plan;

pub use acting::Scope;
pub use gather::{Gathered, Superseded, gather};
