//! Tests against real servers, in one binary.

mod postgres;
mod support;
