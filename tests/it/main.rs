//! Integration tests: one binary, one module per subject.

mod contract;
mod support;
mod wire;
