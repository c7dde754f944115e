//! The `stonewal` binary: parse, run, exit code.

fn main() {}
