//! Base backups and recovery, as an operator runs them: the program, real servers, the embedded store.

mod altered;
mod archive;
mod bring;
mod broken;
mod copies;
mod delta;
mod drill;
mod expiry;
mod frozen;
mod pitr;
mod planted;
mod playbooks;
mod recopied;
mod refusals;
mod rehearsals;
mod replicas;
mod report;
mod retention;
mod roundtrip;
mod sources;
mod stops;
mod tails;
mod unlocking;
mod world;
