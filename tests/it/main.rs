//! Tests against real servers, one module per subject.

#![cfg(test)]
#![expect(clippy::similar_names, reason = "names of tests are local")]

mod base;
mod contract;
mod embedded;
mod fail;
mod faulty;
mod flow;
mod infra;
mod postgres;
mod replication;
mod stream;
mod support;
mod wal;
mod wire;
