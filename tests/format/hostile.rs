//! Hostile vectors: the golden ones, bent. Each must fail with the error that names its fault, and nothing past the
//! fault may be released.

mod bases;
mod chunks;
mod keys;
mod manifests;
mod pinned;
mod wal;
mod writer;

use stonewal::format::Error;
use stonewal::pipeline;

use crate::support::set::Set;
use crate::support::{run, sql};

/// What a fault must be reported as.
type Expected = fn(&Error) -> bool;

/// Reads the bent set. At most `before` frames may come out, as they went in, and then the error expected.
fn refuses(case: &str, set: &Set, before: usize, expected: Expected, lengths: &[usize]) {
    let (released, end) = run(set.read());
    let whole = sql(lengths.iter().sum());
    let limit: usize = lengths[..before].iter().sum();
    assert!(released.len() <= limit && whole.starts_with(&released), "{case}: {} bytes released", released.len());
    match end {
        Err(pipeline::Error::Format { source, .. }) => assert!(expected(&source), "{case}: {source:?}"),
        other => panic!("{case}: {other:?}"),
    }
}
