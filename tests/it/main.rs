//! Tests against real servers, one module per subject.

#![cfg(test)]
#![expect(clippy::print_stdout, reason = "tests say what they skip and what a server lacks")]

mod contract;
mod embedded;
mod faulty;
mod support;
mod wire;
