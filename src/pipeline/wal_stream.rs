//! Continuous WAL on its way into the bucket: the decisions, without any I/O.
//!
//! Bytes come in as the server sends them; [`Flow`] says what is to be stored next, takes acknowledgements in any order
//! and knows how far the WAL is durable (invariant I8). [`plan_start`] and [`plan_skip`] decide where streaming begins,
//! after any crash of ours, any failover of the server and any loss of WAL. Connections, timers and the store belong
//! to the command.

mod assembler;
mod cut;
mod flow;
mod start;
mod window;

pub use assembler::Disorder;
pub use cut::{Cut, CutKind, Ticket};
pub use flow::{Flow, Pace};
pub use start::{Leg, Skip, Start, Stored, plan_skip, plan_start};

#[cfg(test)]
mod tests;
