//! From a source to a stream.

use tokio_util::sync::CancellationToken;

use super::stage::Source;
use super::{Error, StreamWriter};

/// Which side stopped.
#[derive(Debug)]
pub enum PumpError<E> {
    /// The source failed.
    Source(E),
    /// The stream could not be stored.
    Stream(Error),
    /// We were told to stop.
    Interrupted,
}

/// Moves everything `source` has into `writer` and gives the writer back; the caller then asks both for their receipts.
/// Stops at once, even while the source is silent, when the store refuses a chunk or `cancel` is cancelled. After an
/// error the source still runs and the caller must terminate it.
pub async fn pump<S: Source>(
    source: &mut S,
    mut writer: StreamWriter,
    cancel: &CancellationToken,
) -> Result<StreamWriter, PumpError<S::Error>> {
    let failed = writer.failed();
    loop {
        let space = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(PumpError::Interrupted),
            space = writer.space() => space.map_err(PumpError::Stream)?,
        };
        let read = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(PumpError::Interrupted),
            () = failed.cancelled() => None,
            read = source.read(space) => Some(read.map_err(PumpError::Source)?),
        };
        match read {
            None => return Err(PumpError::Stream(writer.failure().await)),
            Some(0) => return Ok(writer),
            Some(bytes) => writer.advance(bytes),
        }
    }
}
