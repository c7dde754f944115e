//! PostgreSQL, as seen from a backup: connection settings the way libpq resolves them, sessions over TLS, pg_dump and
//! psql as children whose end of file means exit status 0, and a disposable server. In reading order:
//!
//! - [`conninfo`]: URI, key=value, `PG*`, service file and password file resolved into one [`ConnInfo`].
//! - [`connect`], `tls`: a [`Session`] with libpq's `sslmode` semantics, pinned to the server that answered.
//! - [`programs`]: which pg_dump, pg_dumpall and psql to run, and whether they are new enough.
//! - [`child`]: a child process that never passes off a failure as an end of file.
//! - [`facts`], [`counts`]: what is recorded about the source under the dump's own view of the data.
//! - [`digest`]: what the rows of a table come to, before a dump and after its restore.
//! - [`dump`], [`globals`]: the two streams of a logical backup.
//! - [`target`], [`load`]: the way back, in one transaction that a cut stream can never commit.
//! - [`tables`]: some tables of a dump out of the whole stream.
//! - [`replication`]: base backups and WAL, over a connection of our own.
//! - [`slot`]: what SQL knows about a replication slot.
//! - [`control`]: the watched session beside a base backup.
//! - [`wal_facts`]: what the server says of its WAL, its slots and its archiver.
//! - [`inspect`]: what a restored database is like.
//! - [`rows`]: the rows of a table, one after the other.
//! - [`server`]: a PostgreSQL of one's own, for the demo, the tests and drills.

pub mod child;
pub mod connect;
pub mod conninfo;
pub mod control;
pub mod counts;
pub mod digest;
pub mod dump;
pub mod error;
pub mod facts;
pub mod globals;
pub mod inspect;
pub mod load;
mod pattern;
pub mod programs;
pub mod replication;
pub mod rows;
pub mod server;
pub mod slot;
mod source;
mod sql;
pub mod tables;
pub mod target;
mod tls;
mod token;
pub mod users;
pub mod wal_facts;

pub use connect::Session;
pub use conninfo::{ConnInfo, Environment};
pub use error::{Error, Result};
