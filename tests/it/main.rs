//! Tests against real servers, one module per subject.

mod embedded;
