//! Physical replication: base backups and WAL over a connection of our own, because the driver for SQL speaks neither the
//! replication startup nor streaming in both directions. In reading order:
//!
//! - [`wire`], [`login`], [`wal::core`], [`base::core`]: the protocol, sans I/O: bytes and messages in, events and bytes out.
//! - `transport`, `link`: sockets, TLS, and reads and writes that can be interrupted.
//! - [`Client`]: a logged-in connection and its short commands.
//! - [`wal`], [`base`]: a stream of WAL, a base backup.
//! - [`failure`]: what the server's refusals mean.
//!
//! Reads come straight from the socket into one buffer: what is not read stays with the server (back-pressure).

pub mod base;
mod client;
mod commands;
pub mod failure;
mod link;
pub mod login;
mod server_message;
#[cfg(test)]
mod tests;
mod transport;
pub mod wal;
pub mod wire;

pub use base::{BaseBackup, BaseBackupOptions, BaseEnd, BaseEvent, ManifestChecksums, Tablespace};
pub use client::{Client, Refused};
pub use commands::{SlotPosition, System, TimelineHistory};
pub use failure::{Failure, Fault};
pub use server_message::{Notice, ServerMessage};
pub use wal::{StatusWriter, WalEvent, WalReader, WalStream};
