//! `stonewal keys writer`: keys for a host that backs up and must not decrypt.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Serialize;

use super::init::write_secret;
use super::{Connected, RepositoryOptions, Result};
use crate::catalog::{Root, open_bundle, publish_certificate};
use crate::format::Tag;
use crate::keys::WriterFile;

/// For whom.
#[derive(Debug)]
pub struct Options {
    /// Where.
    pub repository: RepositoryOptions,
    /// Opens the identity bundle: only the root writer vouches.
    pub passphrase: SecretString,
    /// The one bundle to try.
    pub bundle: Option<Tag>,
    /// Name of the host, for people.
    pub name: String,
    /// Where the writer file goes.
    pub out: PathBuf,
}

/// What was made.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Name of the host.
    pub name: String,
    /// Short id of its writer key.
    pub writer: String,
    /// The writer file.
    pub file: PathBuf,
}

/// Writes the file first: a certificate without its file is useless but harmless, the reverse would look usable.
pub async fn run(options: Options) -> Result<Outcome> {
    let connected = Connected::to(&options.repository).await?;
    connected.check_immutable().await?;
    let (store, names) = (&*connected.store, &connected.names);
    let opening = open_bundle(store, names, options.passphrase, options.bundle, &connected.location);
    let Root { bundle, fingerprint, .. } = opening.await?;
    let (file, certificate) = WriterFile::generate(&bundle, fingerprint, &options.name)?;
    write_secret(&options.out, &file.encode()?)?;
    let lock = connected.lock()?;
    let published = publish_certificate(store, names, &bundle, &certificate, lock).await;
    if let Err(error) = published {
        let _ = std::fs::remove_file(&options.out);
        return Err(error.into());
    }
    Ok(Outcome { name: options.name, writer: certificate.writer.id(), file: options.out })
}
