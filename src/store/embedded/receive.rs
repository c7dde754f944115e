//! A body on its way to disk: hashed while written, flushed before anyone hears of it, in bounded memory.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::StreamExt as _;
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use tokio::sync::mpsc;

use super::backend::disk_error;
use super::digest::{Algorithm, Checksum, Digests};
use super::disk::{Unfinished, sync_dir};
use crate::limits::{EMBEDDED_BODY_BYTES_MAX, EMBEDDED_PIECES_MAX};

/// A body that is durable, but belongs to nothing yet: dropping it removes the file.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) file: Unfinished,
    pub(super) bytes: u64,
    pub(super) md5: Vec<u8>,
    pub(super) checksum: Checksum,
}

enum Piece {
    Data(Bytes),
    /// Without it a closed channel is an upload that was cut off.
    End,
}

/// Writes `body` to the new file `path`.
pub(super) async fn receive(path: PathBuf, body: Option<StreamingBlob>, algorithm: Algorithm) -> S3Result<Received> {
    let (pieces, inbox) = mpsc::channel(EMBEDDED_PIECES_MAX);
    let writer = tokio::task::spawn_blocking(move || write(&path, inbox, algorithm));
    let sent = send(body, pieces).await;
    // The writer's own error comes first: when the disk is full, sending stops because of it.
    let received = writer.await.map_err(S3Error::internal_error)?.map_err(disk_error)?;
    sent?;
    received.ok_or_else(|| s3_error!(IncompleteBody))
}

async fn send(body: Option<StreamingBlob>, pieces: mpsc::Sender<Piece>) -> S3Result<()> {
    let mut total = 0;
    if let Some(mut body) = body {
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| body_error(&error.to_string()))?;
            total += piece.len() as u64;
            if total > EMBEDDED_BODY_BYTES_MAX {
                return Err(s3_error!(EntityTooLarge));
            }
            if pieces.send(Piece::Data(piece)).await.is_err() {
                return Ok(()); // The writer stopped and says why.
            }
        }
    }
    let _ = pieces.send(Piece::End).await;
    Ok(())
}

/// The HTTP layer verifies `x-amz-content-sha256` against the body and reports only text.
fn body_error(text: &str) -> S3Error {
    if text.contains("Sha256Mismatch") {
        let mut error = S3Error::with_message(
            S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()),
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        );
        error.set_status_code(hyper::StatusCode::BAD_REQUEST);
        return error;
    }
    s3_error!(IncompleteBody, "The body ended early or could not be read: {text}")
}

/// `None` when the sender went away before the end; the file is gone then.
fn write(path: &Path, mut inbox: mpsc::Receiver<Piece>, algorithm: Algorithm) -> io::Result<Option<Received>> {
    let mut out = File::options().write(true).create_new(true).open(path)?;
    let file = Unfinished::new(path.to_owned());
    let mut digests = Digests::new(algorithm);
    let mut bytes = 0;
    loop {
        match inbox.blocking_recv() {
            None => return Ok(None),
            Some(Piece::End) => break,
            Some(Piece::Data(data)) => {
                digests.update(&data);
                out.write_all(&data)?;
                bytes += data.len() as u64;
            }
        }
    }
    out.sync_all()?;
    if let Some(folder) = path.parent() {
        sync_dir(folder)?;
    }
    let (md5, checksum) = digests.finish();
    Ok(Some(Received { file, bytes, md5, checksum }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(pieces: Vec<Result<Bytes, io::Error>>) -> StreamingBlob {
        StreamingBlob::wrap(futures::stream::iter(pieces))
    }

    #[tokio::test]
    async fn whole_bodies_are_kept_and_broken_ones_leave_no_file() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("body");
        let pieces = vec![Ok(Bytes::from_static(b"1234")), Ok(Bytes::from_static(b"56789"))];
        let received = receive(path.clone(), Some(blob(pieces)), Algorithm::Crc32).await.unwrap();
        assert_eq!((received.bytes, received.checksum.value.as_str()), (9, "y/Q5Jg=="));
        assert!(path.exists());
        drop(received);
        assert!(!path.exists(), "nobody kept it");

        let cut = vec![Ok(Bytes::from_static(b"1234")), Err(io::Error::other("reset"))];
        let error = receive(path.clone(), Some(blob(cut)), Algorithm::Crc32).await.unwrap_err();
        assert_eq!(error.code(), &S3ErrorCode::IncompleteBody);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_cancelled_upload_leaves_no_file() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("body");
        let endless = futures::stream::once(async { Ok::<_, io::Error>(Bytes::from_static(b"12")) })
            .chain(futures::stream::pending());
        let upload = receive(path.clone(), Some(StreamingBlob::wrap(Box::pin(endless))), Algorithm::Crc32);
        let timeout = tokio::time::timeout(std::time::Duration::from_millis(200), upload).await;
        assert!(timeout.is_err(), "the upload cannot have finished");
        for _ in 0..100 {
            if !path.exists() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("the half-written file is still there");
    }

    #[tokio::test]
    async fn a_disk_error_is_not_an_incomplete_body() {
        let pieces = vec![Ok(Bytes::from_static(b"1"))];
        let error = receive(PathBuf::from("/nowhere/at/all"), Some(blob(pieces)), Algorithm::Crc32).await.unwrap_err();
        assert_eq!(error.code(), &S3ErrorCode::InternalError);
    }
}
