//! PostgreSQL backups set in stone.
//!
//! Streams pg_dump output through compression and authenticated encryption straight into Object-Locked S3 buckets and
//! back into psql. The bucket is the only state. In reading order:
//!
//! - [`limits`]: every bound, with the memory budget.
//! - [`mod@format`]: the stored bytes; no I/O, no clock, no randomness.
//! - [`keys`]: secrets, recipients, identities, writer keys; wrapping and unwrapping.
//! - [`store`]: the bucket behind capability traits; the S3 client; the embedded server.
//! - [`kms`]: AWS KMS, which opens what is wrapped to its keys; the client behind the feature `kms`.
//! - [`pipeline`]: stages and receipts; uploading and downloading streams.
//! - [`postgres`]: connection settings, child processes, SQL, a disposable server.
//! - [`catalog`]: opening a repository, discovering backups, committing manifests.
//! - [`retention`]: how long what is stored must stay, as a plan.
//! - [`verify`]: the levels of verification and what they find.
//! - [`commands`]: one use case per file, without printing.
//! - [`config`]: file, environment and flags resolved into options.
//! - [`cli`]: clap, output, exit codes: the only place that prints.
//! - [`observe`]: logs, progress, the clock.

pub mod catalog;
pub mod cli;
pub mod commands;
pub mod config;
pub mod format;
pub mod keys;
pub mod kms;
pub mod limits;
pub mod observe;
pub mod pipeline;
pub mod postgres;
pub mod retention;
pub mod store;
pub mod verify;
