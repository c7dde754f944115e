//! `wal push`, `wal fetch`, `wal verify` as PostgreSQL and an operator run them: the program, real servers, the embedded store.

mod archive;
mod attack;
mod budget;
mod commits;
mod copies;
mod faults;
mod holes;
#[cfg(feature = "kms")]
mod kms;
mod push;
mod recovery;
mod roster;
mod world;
