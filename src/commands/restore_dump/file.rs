//! Into a file that appears only when it is complete.

use std::io::ErrorKind;
use std::path::Path;

use tokio::fs::File;
use tokio::io::BufWriter;

use super::{Job, Outcome, stream_name};
use crate::commands::{Error, Result};

pub(super) async fn restore(job: &Job<'_>, path: &Path, globals: bool) -> Result<Outcome> {
    let mut staged = Staged::beside(path)?;
    let receipt = job.copy(stream_name(globals), staged.writer()).await.map_err(|error| staged.named(error))?;
    staged.publish().await?;
    Ok(job.outcome(path.display().to_string(), receipt.plain_bytes()))
}

/// A file that is not there yet. Readable by its owner only, and removed when dropped before it is published.
pub(super) struct Staged<'a> {
    path: &'a Path,
    folder: &'a Path,
    file: tempfile::NamedTempFile,
    writer: BufWriter<File>,
}

impl<'a> Staged<'a> {
    /// In the folder of `path`, where nothing may be yet.
    pub(super) fn beside(path: &'a Path) -> Result<Self> {
        let failed = |error: &std::io::Error| Error::File { path: path.to_owned(), why: error.to_string() };
        if path.exists() {
            return Err(Error::File { path: path.to_owned(), why: "it exists already; it is not overwritten".into() });
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            let why = format!("there is no directory {}; it is not made", folder.display());
            return Err(Error::File { path: path.to_owned(), why });
        }
        // Its own words name a file that nobody asked for.
        let refused = |error: std::io::Error| Error::File {
            path: path.to_owned(),
            why: format!("no file can be made in {}: {}", folder.display(), error.kind()),
        };
        let file = tempfile::Builder::new().prefix(".stonewal-").tempfile_in(folder).map_err(refused)?;
        let writer = BufWriter::with_capacity(1 << 20, File::from_std(file.reopen().map_err(|e| failed(&e))?));
        Ok(Self { path, folder, file, writer })
    }

    pub(super) fn writer(&mut self) -> &mut BufWriter<File> {
        &mut self.writer
    }

    /// The error of a write, which does not know the file's name.
    pub(super) fn named(&self, error: Error) -> Error {
        match error {
            Error::File { why, .. } => Error::File { path: self.path.to_owned(), why },
            error => error,
        }
    }

    /// Gives the file its name, once everything is written and flushed.
    pub(super) async fn publish(self) -> Result<()> {
        let failed = |error: &std::io::Error| Error::File { path: self.path.to_owned(), why: error.to_string() };
        self.writer.get_ref().sync_all().await.map_err(|e| failed(&e))?;
        self.file.persist_noclobber(self.path).map_err(|persist| match persist.error.kind() {
            ErrorKind::AlreadyExists => {
                Error::File { path: self.path.to_owned(), why: "it appeared meanwhile; it is not overwritten".into() }
            }
            _ => failed(&persist.error),
        })?;
        let sync_folder = std::fs::File::open(self.folder).and_then(|folder| folder.sync_all());
        sync_folder.map_err(|e| failed(&e))
    }
}
