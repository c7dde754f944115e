//! From a thread that reads files to a stream in the bucket, a few pieces ahead.

use std::io::{self, Write};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::fault::Fault;
use super::survey::Survey;
use crate::catalog::{self, FinishedStream};
use crate::commands::repository::interruptible;
use crate::commands::{Error, Result};
use crate::format::StreamName;
use crate::format::manifest::{IndexedStream, StreamIndex};
use crate::format::tar::TarIndexer;
use crate::pipeline::StreamWriter;
use crate::pipeline::stage::SourceReceipt;

const PIECE_BYTES: usize = 256 << 10;
const PIECES: usize = 4;

/// What writes one tar.
pub(super) type Build = Box<dyn FnOnce(&Survey, &mut dyn Write) -> Result<(), Fault> + Send>;

/// Stores what `build` writes, indexed on its way.
pub(super) async fn carry(
    survey: &Arc<Survey>,
    name: StreamName,
    build: Build,
    mut writer: StreamWriter,
    cancel: &CancellationToken,
) -> Result<(FinishedStream, IndexedStream)> {
    let (sender, mut receiver) = mpsc::channel(PIECES);
    let (mut reading, survey) = (JoinSet::new(), survey.clone());
    reading.spawn_blocking(move || {
        let mut pieces = Pieces { sender, piece: Vec::with_capacity(PIECE_BYTES), bytes: 0 };
        build(&survey, &mut pieces).map(|()| pieces.bytes)
    });
    let mut indexer = TarIndexer::new();
    let moving = async {
        while let Some(piece) = receiver.recv().await {
            indexer.push(&piece)?;
            writer.write(&piece).await?;
        }
        // The end of the pieces proves nothing; that the thread ended well does.
        let ended = reading.join_next().await.ok_or(Error::Interrupted)?;
        let bytes = ended.map_err(catalog::Error::Worker)??;
        Ok((writer.finish().await?, SourceReceipt::earned(bytes)))
    };
    let ((sealed, stored), source) = interruptible(cancel, Box::pin(moving)).await?;
    let index: StreamIndex = indexer.finish()?;
    Ok((FinishedStream::new(source, sealed, stored)?, IndexedStream { stream: name, index }))
}

/// Hands over what is written to it, in pieces. The last one goes with a flush.
struct Pieces {
    sender: mpsc::Sender<Vec<u8>>,
    piece: Vec<u8>,
    bytes: u64,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        self.bytes += bytes.len() as u64;
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        self.sender.blocking_send(piece).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}
