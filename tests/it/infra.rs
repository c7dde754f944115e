//! The cloud ground as code: policies that follow the list of roles, Terraform that is whole, a template that deploys.

mod cloudformation;
mod policies;
mod terraform;

use std::path::PathBuf;

/// A file below `infra/`.
fn infra(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("infra").join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(infra(path)).unwrap_or_else(|error| panic!("infra/{path}: {error}"))
}
