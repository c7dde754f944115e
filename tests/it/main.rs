//! Integration tests: one binary, one module per subject.

#![expect(clippy::print_stdout, reason = "tests say what they skip and what a server lacks")]

mod contract;
mod faulty;
mod support;
mod wire;
