//! Tests against real servers, one module per subject.

#[cfg(test)]
mod embedded;
