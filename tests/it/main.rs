//! Tests against real servers, one module per subject.

mod contract;
mod embedded;
mod support;
mod wire;
