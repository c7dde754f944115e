//! Base backups and recovery, as an operator runs them: the program, real servers, the embedded store.

mod roundtrip;
mod world;
