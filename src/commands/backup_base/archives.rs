//! From the server to the bucket: one stream per archive, in the order in which they come, each indexed on its way.

use tokio_util::sync::CancellationToken;

use crate::catalog::FinishedStream;
use crate::commands::repository::interruptible;
use crate::commands::{Error, Result};
use crate::format::StreamName;
use crate::format::manifest::{BACKUP_MANIFEST_STREAM, BASE_STREAM, IndexedStream, StreamIndex, tablespace_stream};
use crate::format::tar::TarIndexer;
use crate::limits::FILE_INDEX_BYTES_MAX;
use crate::pipeline::StreamWriter;
use crate::pipeline::stage::{SealReceipt, SourceReceipt, StoreReceipt};
use crate::postgres;
use crate::postgres::replication::{BaseBackup, BaseEvent};

/// A stream that is sealed and stored to its end. Whether the server means it is not known yet.
#[derive(Debug)]
pub(super) struct Stored {
    /// OID of the tablespace; `None` for the data directory.
    pub(super) oid: Option<u32>,
    pub(super) is_manifest: bool,
    name: StreamName,
    sealed: SealReceipt,
    chunks: StoreReceipt,
    index: Option<StreamIndex>,
}

impl Stored {
    /// With the server's receipt, the stream is finished.
    pub(super) fn finish(self, source: SourceReceipt) -> Result<(FinishedStream, Option<IndexedStream>)> {
        let index = self.index.map(|index| IndexedStream { stream: self.name, index });
        Ok((FinishedStream::new(source, self.sealed, self.chunks)?, index))
    }
}

/// The stream being written.
struct Current {
    oid: Option<u32>,
    name: StreamName,
    writer: StreamWriter,
    failed: CancellationToken,
    indexer: Option<TarIndexer>,
}

/// Reads a base backup to its end.
pub(super) struct Archives<'a, W> {
    pub(super) backup: &'a mut BaseBackup,
    /// Opens the stream of an archive, or that of PostgreSQL's manifest.
    pub(super) open: W,
    pub(super) cancel: &'a CancellationToken,
}

impl<W: Fn(&StreamName, bool) -> Result<StreamWriter>> Archives<'_, W> {
    /// All streams, in the order in which they came.
    pub(super) async fn store(mut self) -> Result<Vec<Stored>> {
        let mut current: Option<Current> = None;
        let (mut done, mut index_bytes) = (Vec::new(), 0);
        loop {
            let event = self.next(current.as_ref().map(|current| &current.failed)).await?;
            let Some(event) = event else {
                // The store refused a chunk while the server was silent.
                let Some(current) = current else { return Err(Error::Interrupted) };
                return Err(current.writer.failure().await.into());
            };
            match event {
                BaseEvent::Data(bytes) => {
                    let Some(current) = current.as_mut() else { return Err(out_of_order("data before an archive")) };
                    if let Some(indexer) = current.indexer.as_mut() {
                        indexer.push(&bytes).map_err(|error| not_understood(&error))?;
                        check_room(index_bytes + indexer.json_bytes())?;
                    }
                    let write = current.writer.write(&bytes);
                    interruptible(self.cancel, async { Ok(write.await?) }).await?;
                }
                BaseEvent::Progress(_) => {}
                BaseEvent::Archive { .. } | BaseEvent::Manifest | BaseEvent::End => {
                    if let Some(ended) = current.take() {
                        index_bytes += ended.indexer.as_ref().map_or(0, TarIndexer::json_bytes);
                        done.push(close(ended, self.cancel).await?);
                    }
                    match event {
                        BaseEvent::Archive { oid } => current = Some(self.begin(oid, false)?),
                        BaseEvent::Manifest => current = Some(self.begin(None, true)?),
                        _ => return Ok(done),
                    }
                }
            }
        }
    }

    /// The next event; `None` when the current stream cannot be stored.
    async fn next(&mut self, failed: Option<&CancellationToken>) -> Result<Option<BaseEvent>> {
        let never = CancellationToken::new();
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Error::Interrupted),
            () = failed.unwrap_or(&never).cancelled() => Ok(None),
            event = self.backup.next() => Ok(Some(event?)),
        }
    }

    fn begin(&self, oid: Option<u32>, is_manifest: bool) -> Result<Current> {
        let name = match oid {
            _ if is_manifest => BACKUP_MANIFEST_STREAM.parse()?,
            Some(oid) => tablespace_stream(oid)?,
            None => BASE_STREAM.parse()?,
        };
        let writer = (self.open)(&name, is_manifest)?;
        let failed = writer.failed();
        Ok(Current { oid, name, writer, failed, indexer: (!is_manifest).then(TarIndexer::new) })
    }
}

/// Seals and stores the rest of a stream.
async fn close(ended: Current, cancel: &CancellationToken) -> Result<Stored> {
    let Current { oid, name, writer, indexer, .. } = ended;
    let is_manifest = indexer.is_none();
    let index = indexer.map(TarIndexer::finish).transpose().map_err(|error| not_understood(&error))?;
    let (sealed, chunks) = interruptible(cancel, async { Ok(writer.finish().await?) }).await?;
    Ok(Stored { oid, is_manifest, name, sealed, chunks, index })
}

/// Said as soon as it is known, not when the manifest is written.
fn check_room(json_bytes: u64) -> Result<()> {
    if json_bytes > FILE_INDEX_BYTES_MAX {
        let what = "the cluster has more files than the manifest of one backup can name, about 2.5 million";
        return Err(Error::Postgres(postgres::Error::Unsupported { what: what.into() }));
    }
    Ok(())
}

fn not_understood(error: &crate::format::Error) -> Error {
    Error::Postgres(postgres::Error::Unsupported { what: error.to_string() })
}

fn out_of_order(what: &str) -> Error {
    Error::Postgres(postgres::Error::Unsupported { what: format!("the server sent {what}") })
}
