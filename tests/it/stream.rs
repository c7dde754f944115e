//! `wal stream`: a real server, the embedded store, and the program as an operator runs it.

mod coverage;
mod stage;
mod status;
mod status_slots;
