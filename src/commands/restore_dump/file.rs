//! Into a file that appears only when it is complete.

use std::io::ErrorKind;
use std::path::Path;

use super::{Job, Outcome, stream_name};
use crate::commands::{Error, Result};

pub(super) async fn restore(job: &Job<'_>, path: &Path, globals: bool) -> Result<Outcome> {
    let failed = |error: &std::io::Error| Error::File { path: path.to_owned(), why: error.to_string() };
    if path.exists() {
        return Err(Error::File { path: path.to_owned(), why: "it exists already; it is not overwritten".into() });
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Readable by its owner only, and removed when dropped before it is persisted.
    let staged = tempfile::Builder::new().prefix(".stonewal-").tempfile_in(folder).map_err(|e| failed(&e))?;
    let file = staged.reopen().map_err(|e| failed(&e))?;
    let mut writer = tokio::io::BufWriter::with_capacity(1 << 20, tokio::fs::File::from_std(file));
    let receipt = job.copy(stream_name(globals), &mut writer).await.map_err(|error| match error {
        Error::File { why, .. } => Error::File { path: path.to_owned(), why },
        error => error,
    })?;
    writer.get_ref().sync_all().await.map_err(|e| failed(&e))?;
    staged.persist_noclobber(path).map_err(|persist| match persist.error.kind() {
        ErrorKind::AlreadyExists => {
            Error::File { path: path.to_owned(), why: "it appeared meanwhile; it is not overwritten".into() }
        }
        _ => failed(&persist.error),
    })?;
    let sync_folder = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    sync_folder.map_err(|e| failed(&e))?;
    Ok(job.outcome(path.display().to_string(), receipt.plain_bytes()))
}
