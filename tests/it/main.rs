//! Tests against real servers, in one binary.

#![expect(
    clippy::unwrap_used,
    clippy::similar_names,
    reason = "a test that cannot go on shall stop, and names are local"
)]

mod postgres;
mod support;
