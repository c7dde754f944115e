//! `wal stream`: a real server, the embedded store, and the program as an operator runs it.

mod coverage;
mod elsewhere;
mod failover;
mod gaps;
mod kills;
mod majors;
mod outage;
mod ready;
mod restores;
mod setback;
mod stage;
mod status;
mod status_slots;
mod status_standby;
mod synchronous;
mod tail;
