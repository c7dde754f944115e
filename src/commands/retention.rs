//! How long backups are kept.

mod gather;
pub mod plan;

pub use gather::{Gathered, Superseded, gather};
