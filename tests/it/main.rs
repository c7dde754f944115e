//! Tests against real servers, one module per subject.

#![cfg(test)]
#![expect(clippy::print_stdout, reason = "tests say what they skip and what a server lacks")]
#![expect(
    clippy::unwrap_used,
    clippy::similar_names,
    reason = "a test that cannot go on shall stop, and names are local"
)]

mod contract;
mod embedded;
mod faulty;
mod flow;
mod postgres;
mod support;
mod wire;
