//! The stored format from outside: golden vectors good and hostile, properties, and the reader printed in docs/FORMAT.md.

#![expect(clippy::unwrap_used, reason = "in a test, a failure is a panic")]
#![expect(clippy::print_stdout, reason = "tests say what they skip")]

mod bounds;
mod hostile;
mod properties;
mod reader;
mod support;
mod vectors;
