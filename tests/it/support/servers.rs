//! LocalStack, the independent S3 server, started by the script in `localstack/`.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::variable;

/// Outputs of a stack, by name.
pub(crate) type Outputs = BTreeMap<String, String>;

/// A running server. One that we started is stopped when this is dropped.
pub(crate) struct LocalStack {
    pub(crate) endpoint: String,
    /// CA of its https side, which is on the same port.
    pub(crate) ca_file: Option<PathBuf>,
    started_in: Option<TempDir>,
}

impl LocalStack {
    /// The one that `STONEWAL_TEST_S3` names, or one started now. `Err` says why there is none. Nothing is installed unless
    /// everything must run.
    pub(crate) fn find() -> Result<Self, String> {
        if let Some(endpoint) = variable("STONEWAL_TEST_S3") {
            let ca_file = variable("STONEWAL_TEST_S3_CA").map(PathBuf::from);
            return Ok(Self { endpoint, ca_file, started_in: None });
        }
        let must = variable("REQUIRE_ALL").is_some_and(|value| value == "1");
        if !must && !succeeds(script("localstack-up.sh").arg("--installed")) {
            return Err("not installed; `localstack/localstack-up.sh DIR` installs and starts it".into());
        }
        let dir = TempDir::new().map_err(|error| error.to_string())?;
        let port = free_port();
        let mut up = script("localstack-up.sh");
        let output = up.arg(dir.path()).arg(port.to_string()).output().map_err(|error| error.to_string())?;
        // From here on, dropping the server stops what may be running.
        let server = Self {
            endpoint: format!("http://127.0.0.1:{port}"),
            ca_file: Some(dir.path().join("tls/ca.pem")),
            started_in: Some(dir),
        };
        if output.status.success() { Ok(server) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }
}

impl LocalStack {
    /// Deploys a CloudFormation template and returns its outputs.
    pub(crate) fn deploy(&self, region: &str, stack: &str, template: &Path, parameters: &[String]) -> Outputs {
        let python = variable("STONEWAL_TEST_PYTHON").unwrap_or_else(|| {
            let output = script("localstack-up.sh").arg("--python").output().expect("localstack-up.sh");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        });
        let mut command = Command::new(python);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("localstack/deploy.py"));
        let output = command.args([&self.endpoint, region, stack]).arg(template).args(parameters).output().unwrap();
        assert!(output.status.success(), "{stack}: {}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().filter_map(|line| line.split_once('=')).map(|(name, v)| (name.to_owned(), v.to_owned())).collect()
    }
}

impl Drop for LocalStack {
    fn drop(&mut self) {
        if let Some(dir) = &self.started_in {
            let stopped = succeeds(script("s3-down.sh").arg(dir.path()));
            assert!(stopped || std::thread::panicking(), "LocalStack is not stopped");
        }
    }
}

fn script(name: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("localstack").join(name))
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Free a moment ago; the script needs a number.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}
