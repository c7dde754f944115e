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

/// The container runs the version and the services that the tests run in host mode.
#[test]
fn the_compose_file_starts_what_the_host_mode_script_starts() {
    let local = |name: &str| std::fs::read_to_string(infra("../localstack").join(name)).unwrap();
    let (compose, script) = (local("compose.yaml"), local("localstack-up.sh"));
    let after = |text: &str, start: &str| {
        let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("no {start}"));
        rest.split(['\n', ' ', '}']).next().unwrap_or_default().to_owned()
    };
    assert_eq!(after(&compose, "image: localstack/localstack:"), after(&script, "version=${LOCALSTACK_VERSION:-"));
    assert_eq!(after(&compose, "SERVICES: "), after(&script, "SERVICES="));
    assert!(compose.contains("./init:/etc/localstack/init/ready.d") && script.contains("init/buckets.py"));
    assert!(compose.contains("127.0.0.1:4566:4566"), "on this machine only");
}
