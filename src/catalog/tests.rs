//! The catalog over a bucket in memory: attackers, crashes, failing stores.

mod attack;
mod audit;
mod copies;
mod evidence;
mod ground;
mod order;
mod restore;
mod roster;
mod sides;
mod sim;
mod wal;
mod world;
