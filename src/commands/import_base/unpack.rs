//! Files that may be compressed, as plain bytes; what they are is told by how they begin.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_compression::tokio::bufread::{Lz4Decoder, ZstdDecoder};
use flate2::bufread::MultiGzDecoder;
use futures::FutureExt as _;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt as _, ReadBuf};

use super::fault::{Fault, io_fault};

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const LZ4: &[u8] = &[0x04, 0x22, 0x4d, 0x18];
const OPENSSL: &[u8] = b"Salted__";
const BUFFER_BYTES: usize = 256 << 10;

/// Endings of compressed files.
const ENDINGS: [&str; 3] = [".gz", ".zst", ".lz4"];

/// A name without the ending that tells of compression.
pub(super) fn plain_name(name: &str) -> &str {
    ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

/// Opens a file to be read as plain bytes. The end is the end only if the compression says so.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read>, Fault> {
    let failed = io_fault(path);
    let mut file = File::open(path).map_err(&failed)?;
    let mut head = Vec::new();
    (&mut file).take(8).read_to_end(&mut head).map_err(&failed)?;
    file.rewind().map_err(&failed)?;
    let file = BufReader::with_capacity(BUFFER_BYTES, file);
    Ok(if head.starts_with(GZIP) {
        Box::new(MultiGzDecoder::new(file))
    } else if head.starts_with(ZSTD) {
        let mut decoder = ZstdDecoder::new(Ready(file));
        decoder.multiple_members(true);
        Box::new(Blocking(decoder))
    } else if head.starts_with(LZ4) {
        let mut decoder = Lz4Decoder::new(Ready(file));
        decoder.multiple_members(true);
        Box::new(Blocking(decoder))
    } else if head.starts_with(OPENSSL) {
        let why = "it is encrypted by openssl".into();
        let way_out = "decrypt it first, in the way in which it was encrypted, such as `openssl enc -d -aes-256-cbc -pbkdf2 -iter 100000 -in FILE -out base.tar.gz`";
        return Err(Fault::Refused { path: path.to_owned(), why, way_out });
    } else {
        Box::new(file)
    })
}

/// A file as the decoders of the pipeline want it: never pending.
struct Ready(BufReader<File>);

impl AsyncRead for Ready {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = self.0.read(buffer.initialize_unfilled())?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncBufRead for Ready {
    fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Poll::Ready(self.get_mut().0.fill_buf())
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        self.0.consume(amount);
    }
}

/// A decoder whose input is never pending.
struct Blocking<D>(D);

impl<D: AsyncRead + Unpin> Read for Blocking<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let pending = || Err(io::Error::other("the decoder waited for input that is all there"));
        self.0.read(buffer).now_or_never().unwrap_or_else(pending)
    }
}
