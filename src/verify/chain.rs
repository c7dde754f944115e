//! Hash chains: tables in which every row holds the hash of its content and of the row before it.
//!
//! What is hashed is described, not programmed ([`Definition`]), so that it agrees to the byte with whatever program
//! wrote the rows; texts of JSON follow JavaScript's rules. Rows stream past once, in the order of the table; memory does
//! not depend on how many they are. In reading order:
//!
//! - `json`, `value`: values of the database as JavaScript prints them.
//! - `text`: the hashed text and its digest.
//! - `examine`: does a row's content agree with its hash, and by which rule for nulls?
//! - `ties`: rows of one moment are put in the order of their links.
//! - `links`: does every row name the one before it?
//! - `check`: the rows of a real table.

mod check;
mod definition;
mod examine;
mod json;
mod links;
mod report;
#[cfg(test)]
mod tests;
mod text;
mod ties;
mod value;

pub use check::{Error, check};
pub use definition::{Algorithm, Definition, Encoding, Field, Form, KnownHead, Nulls, Shape};
pub use report::{Break, BreakKind, ChainReport, Head, Rules};
