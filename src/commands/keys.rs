//! `stonewal keys …`: who can read, and who could. Nothing that is stored is ever rewritten: bundles, wraps and rosters are
//! added, and the newest roster counts.

pub mod add;
mod change;
pub mod check;
mod every;
pub mod list;
pub mod revoke;
pub mod rewrap;
pub mod rotate;

pub use change::Holder;
