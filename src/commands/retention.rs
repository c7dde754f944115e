//! How long backups are kept.

pub(super) mod acting;
pub mod apply;
mod copies;
pub mod extend;
pub(super) mod firsts;
mod gather;
pub mod hold;
pub mod locks;
pub mod plan;
pub(super) mod price;
mod reach;

pub use crate::retention::Own;
pub use acting::Scope;
pub(super) use acting::pinned;
pub use gather::{Gathered, Superseded, gather};
