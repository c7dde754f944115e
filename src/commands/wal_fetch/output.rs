//! A file that appears whole or not at all.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use tempfile::{NamedTempFile, TempPath};
use tokio::task::spawn_blocking;

use super::{Error, Result};
use crate::catalog::{self, Repository, WalObject};
use crate::limits::WAL_PAGE_BYTES;
use crate::pipeline::open_wal;

/// A file under a temporary name in the directory where it will lie; removed when dropped.
#[derive(Debug)]
pub(super) struct Output {
    file: Arc<std::fs::File>,
    path: TempPath,
}

impl Output {
    pub(super) fn create(directory: &Path) -> Result<Self> {
        let made = tempfile::Builder::new().prefix(".stonewal-").tempfile_in(directory);
        let (file, path) = made.map_err(|error| fault(directory, &error)).map(NamedTempFile::into_parts)?;
        Ok(Self { file: Arc::new(file), path })
    }

    /// Opens an object and writes its content at `offset`, frame by frame as each is authenticated.
    pub(super) async fn write(&self, repository: &Repository, found: WalObject, offset: u64) -> Result<()> {
        let (found, key) = repository.openable_wal(found).await?;
        let (file, mut at) = (self.file.clone(), offset);
        let written = open_wal(&found.head, found.object, &key, move |frame| {
            file.write_all_at(&frame, at)?;
            at += frame.len() as u64;
            Ok::<_, std::io::Error>(())
        });
        written.await?.map_err(|error| fault(&self.path, &error))
    }

    /// Writes bytes at `offset`.
    pub(super) fn write_bytes(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write_all_at(bytes, offset).map_err(|error| fault(&self.path, &error))
    }

    /// Makes it `bytes` long; what was not written is zeros.
    pub(super) fn set_length(&self, bytes: u64) -> Result<()> {
        self.file.set_len(bytes).map_err(|error| fault(&self.path, &error))
    }

    /// Whether `other` begins with the first `bytes` of this one. Zeros at their end do not count: what was stored page by page
    /// ends with the rest of a page that was not written yet.
    pub(super) fn is_beginning_of(&self, other: Option<&Path>, bytes: u64) -> bool {
        let same = |path: &Path| -> std::io::Result<bool> {
            let other = std::fs::File::open(path)?;
            let (mut ours, mut theirs) = (vec![0; 1 << 20], vec![0; 1 << 20]);
            let last = usize::try_from(bytes).unwrap_or(usize::MAX).min(WAL_PAGE_BYTES);
            self.file.read_exact_at(&mut ours[..last], bytes - last as u64)?;
            let zeros = ours[..last].iter().rev().take_while(|byte| **byte == 0).count();
            let (mut at, bytes) = (0, bytes - zeros as u64);
            while at < bytes {
                let part = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(ours.len());
                self.file.read_exact_at(&mut ours[..part], at)?;
                other.read_exact_at(&mut theirs[..part], at)?;
                if ours[..part] != theirs[..part] {
                    return Ok(false);
                }
                at += part as u64;
            }
            Ok(true)
        };
        other.is_some_and(|path| same(path).unwrap_or(false))
    }

    /// Makes it durable and gives it its name.
    pub(super) async fn persist(self, to: &Path) -> Result<()> {
        let (to, named) = (to.to_owned(), to.to_owned());
        let done = spawn_blocking(move || {
            self.file.sync_all()?;
            self.path.persist(&to).map_err(|error| error.error)?;
            sync_directory(super::directory(&to))
        });
        done.await.map_err(catalog::Error::Worker)?.map_err(|error| fault(&named, &error))
    }
}

/// Makes names in a directory durable.
fn sync_directory(directory: &Path) -> std::io::Result<()> {
    std::fs::File::open(directory)?.sync_all()
}

pub(super) fn fault(path: &Path, error: &std::io::Error) -> Error {
    Error::File { path: path.to_owned(), why: error.to_string() }
}
