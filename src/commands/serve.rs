//! `stonewal store serve`: the embedded store as a server of its own, for development.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::init::file_error;
use super::{Error, Result};
use crate::store::embedded::{self, Server};
use crate::store::roles::Role;

/// How to serve.
#[derive(Debug)]
pub struct Options {
    /// Where everything is kept.
    pub root: PathBuf,
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Where to append one JSON line per request.
    pub request_log: Option<PathBuf>,
}

/// Where it serves and how to become one of its users.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Base URL.
    pub endpoint: String,
    /// Region that requests must be signed for.
    pub region: String,
    /// Per role, a file that a shell can read: `. ROOT/env/writer`.
    pub environments: Vec<PathBuf>,
}

/// Starts; the server runs until it is stopped or dropped. Whoever can connect finds the files of the roles complete.
pub async fn start(options: Options) -> Result<(Server, Outcome)> {
    let mut how = embedded::Options::new(&options.root);
    how.listen = options.listen;
    how.request_log = options.request_log;
    let bound = Server::bind(how).await?;
    let server = bound.server();
    let folder = options.root.join("env");
    std::fs::create_dir_all(&folder).map_err(|error| file_error(&folder, &error))?;
    let mut environments = Vec::new();
    for role in Role::ALL {
        let path = folder.join(role.name());
        write_environment(server, role, &path)?;
        environments.push(path);
    }
    let outcome = Outcome { endpoint: server.endpoint(), region: server.region().to_owned(), environments };
    Ok((bound.listen()?, outcome))
}

fn write_environment(server: &Server, role: Role, path: &Path) -> Result<()> {
    let credentials = server.credentials(role)?;
    let text = SecretString::from(format!(
        "export AWS_ENDPOINT_URL_S3={} AWS_REGION={} AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={}\n",
        server.endpoint(),
        server.region(),
        credentials.access_key,
        credentials.secret_key.expose_secret()
    ));
    replace(path, &text).map_err(|error| file_error(path, &error))
}

/// A reader of `path` sees the old text or the new one; a temporary file is for its owner alone (`mkstemp`).
fn replace(path: &Path, text: &SecretString) -> std::io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(text.expose_secret().as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

impl From<embedded::Error> for Error {
    fn from(error: embedded::Error) -> Self {
        Self::Embedded(error)
    }
}
