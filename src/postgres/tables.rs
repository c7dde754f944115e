//! Some tables out of a plain dump, without loading the rest.
//!
//! The stream is read twice: up to its first rows, to learn which tables there are and what is a partition of what
//! ([`Outline`]), and then as a whole ([`Picker`]). What is picked is decided by what a statement says, never by the comment
//! above it, so that no name can pass for something else. Definitions are held one statement at a time; rows pass through.

mod outline;
mod parse;
mod pick;
mod rename;
mod scan;
mod statement;
mod target;

pub use outline::{Outline, Selection};
pub use pick::{Form, Need, Picked, Picker, Piece};
pub use rename::Rename;
