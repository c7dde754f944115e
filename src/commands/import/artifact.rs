//! An encrypted dump as plain SQL: decrypted, decompressed and checked on a thread of its own, a few pieces ahead.

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::meta::{Meta, stamp_in};
use super::openssl::{Decrypt, Derivation, Refused};
use crate::commands::{Error, Result};
use crate::observe::Progress;
use crate::pipeline::stage::{Source, SourceReceipt};
use crate::postgres::dump::Trailer;

/// Bytes of one piece, and pieces that may wait.
const PIECE_BYTES: usize = 256 << 10;
const PIECES: usize = 4;

/// An artifact of the scripts that stonewal replaces.
#[derive(Debug)]
pub struct ArtifactOptions {
    /// The file.
    pub file: PathBuf,
    /// What was written down beside it.
    pub meta: Option<PathBuf>,
    /// What it is encrypted under.
    pub passphrase: SecretString,
    /// Rounds of PBKDF2 that are tried first.
    pub iterations: Option<u32>,
    /// When it was taken, if neither its name nor its meta file tells.
    pub taken_at: Option<Timestamp>,
}

/// A file that is being read.
pub(super) struct Artifact {
    path: PathBuf,
    meta: Meta,
    /// When it was taken.
    pub(super) taken_at: Option<Timestamp>,
    /// How it is encrypted.
    pub(super) derivation: Derivation,
    trailer: Trailer,
    receiver: mpsc::Receiver<Message>,
    /// Whether it can be read again; a pipe cannot.
    is_file: bool,
    /// Its SHA-256 and the plain bytes in it when it was read before.
    before: Option<(String, u64)>,
    _reading: JoinSet<()>,
    piece: Vec<u8>,
    at: usize,
    bytes: u64,
    digest: Option<String>,
}

enum Message {
    Piece(Vec<u8>),
    /// The file was read to its end; its SHA-256.
    End(String),
    Failed(std::io::Error),
}

impl Artifact {
    /// Looks whether it is what it should be, and reads its beginning.
    pub(super) async fn open(options: &ArtifactOptions) -> Result<Self> {
        let path = options.file.clone();
        let meta = Meta::read(options.meta.as_deref())?;
        let failed = |error: &std::io::Error| Error::File { path: path.clone(), why: error.to_string() };
        let file = std::fs::File::open(&path).map_err(|e| failed(&e))?;
        let metadata = file.metadata().map_err(|e| failed(&e))?;
        let (length, is_file) = (metadata.len(), metadata.is_file());
        if let Some(expected) = meta.file_size_bytes.filter(|expected| *expected != length) {
            let why = format!("it has {length} bytes, and its meta file says {expected}");
            return Err(damaged(&path, why));
        }
        let (passphrase, iterations) = (options.passphrase.clone(), options.iterations);
        // A hundred thousand rounds of a digest are no work for a thread that others wait for.
        let opened = tokio::task::spawn_blocking(move || Decrypt::open(file, &passphrase, iterations)).await;
        let opened = opened.map_err(|error| Error::File { path: path.clone(), why: error.to_string() })?;
        let (decrypt, derivation) = opened.map_err(|refused| explain(&path, refused))?;
        let taken_at = options.taken_at.or(meta.taken_at()).or_else(|| stamp_in(&path));
        let (sender, receiver) = mpsc::channel(PIECES);
        let mut reading = JoinSet::new();
        reading.spawn_blocking(move || pass_on(decrypt, &sender));
        let trailer = Trailer::of_a_dump();
        let (piece, at, bytes, digest) = (Vec::new(), 0, 0, None);
        let mut artifact = Self {
            path,
            meta,
            taken_at,
            derivation,
            trailer,
            receiver,
            is_file,
            before: None,
            _reading: reading,
            piece,
            at,
            bytes,
            digest,
        };
        artifact.advance().await?;
        if artifact.digest.is_none() && !artifact.trailer.is_opened() {
            let (path, why) = (artifact.path, "it does not hold what pg_dump writes as plain SQL".into());
            let way_out = "a script of pg_dumpall holds several databases and connects to them: load it with psql, after reading it";
            return Err(Error::Artifact { path, why, way_out });
        }
        Ok(artifact)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn meta(&self) -> &Meta {
        &self.meta
    }

    /// SHA-256 and plain bytes of what was [`Artifact::proven`]; of a pipe nothing is known yet.
    pub(super) fn before(&self) -> Option<(&str, u64)> {
        self.before.as_ref().map(|(digest, bytes)| (digest.as_str(), *bytes))
    }

    /// The beginning and, later, the end of the dump.
    pub(super) fn trailer(&self) -> &Trailer {
        &self.trailer
    }

    /// The next piece; `None` after everything about the end was in order.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if self.at == self.piece.len() && self.digest.is_none() {
            self.advance().await?;
        }
        if self.at < self.piece.len() {
            let piece = self.piece.split_off(self.at);
            self.at = self.piece.len();
            return Ok(Some(piece));
        }
        Ok(None)
    }

    /// Reads it to its end, where everything has shown that can be wrong with it, and begins anew. A pipe is read only once.
    pub(super) async fn proven(mut self, options: &ArtifactOptions, progress: &Progress) -> Result<Self> {
        if !self.is_file {
            return Ok(self);
        }
        while self.next().await?.is_some() {}
        let (digest, source) = self.finish()?;
        progress.expect_plain_bytes(source.bytes());
        Ok(Self { before: Some((digest, source.bytes())), ..Self::open(options).await? })
    }

    /// SHA-256 of the file, and the plain bytes. Only after [`Artifact::next`] or [`Source::read`] reached the end.
    pub(super) fn finish(self) -> Result<(String, SourceReceipt)> {
        let bytes = self.bytes;
        let cut = || damaged(&self.path, "it was not read to its end".into());
        Ok((self.digest.clone().ok_or_else(cut)?, SourceReceipt::earned(bytes)))
    }

    async fn advance(&mut self) -> Result<()> {
        match self.receiver.recv().await {
            Some(Message::Piece(piece)) => {
                self.trailer.push(&piece);
                self.bytes += piece.len() as u64;
                (self.piece, self.at) = (piece, 0);
                Ok(())
            }
            Some(Message::End(digest)) => self.check_end(digest),
            Some(Message::Failed(error)) if error.raw_os_error().is_some() => {
                Err(Error::File { path: self.path.clone(), why: error.to_string() })
            }
            Some(Message::Failed(error)) => Err(damaged(&self.path, format!("behind its beginning, {error}"))),
            None => Err(Error::File { path: self.path.clone(), why: "reading it stopped".into() }),
        }
    }

    fn check_end(&mut self, digest: String) -> Result<()> {
        if !self.trailer.is_closed() {
            let why = format!("the dump in it ends after {} bytes without its closing line", self.bytes);
            return Err(damaged(&self.path, why));
        }
        if let Some(expected) = self.meta.checksum_sha256.as_ref().filter(|sum| !sum.eq_ignore_ascii_case(&digest)) {
            return Err(damaged(&self.path, format!("its SHA-256 is {digest}, and its meta file says {expected}")));
        }
        if let Some((before, _)) = self.before.as_ref().filter(|(before, _)| *before != digest) {
            let why =
                format!("its SHA-256 is {digest}, and was {before} when it was read first: somebody writes to it");
            let way_out = "import a copy that nobody writes to; what was stored of it belongs to no backup";
            return Err(Error::Artifact { path: self.path.clone(), why, way_out });
        }
        self.digest = Some(digest);
        Ok(())
    }
}

impl Source for Artifact {
    type Error = Error;

    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.at == self.piece.len() && self.digest.is_none() {
            self.advance().await?;
        }
        let count = buffer.len().min(self.piece.len() - self.at);
        buffer[..count].copy_from_slice(&self.piece[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// Runs on a thread that may wait. Ends when nobody listens any more.
fn pass_on(decrypt: Decrypt<std::fs::File>, sender: &mpsc::Sender<Message>) {
    // The decoder checks length and CRC of each member, and reads on until there is no further one.
    let mut gunzip = MultiGzDecoder::new(std::io::BufReader::new(decrypt));
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        let message = match gunzip.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => {
                piece.truncate(count);
                Message::Piece(piece)
            }
            Err(error) => Message::Failed(error),
        };
        let last = matches!(message, Message::Failed(_));
        if sender.blocking_send(message).is_err() || last {
            return;
        }
    }
    let _ = sender.blocking_send(Message::End(gunzip.into_inner().into_inner().digest()));
}

fn explain(path: &Path, refused: Refused) -> Error {
    let (why, way_out) = match refused {
        Refused::Io(error) => return Error::File { path: path.to_owned(), why: error.to_string() },
        Refused::NotOurs(what) => (what, "give a file that `gzip | openssl enc -aes-256-cbc -salt` wrote"),
        Refused::WrongPassphrase => (
            "the passphrase is not the one that it is encrypted under",
            "set IMPORT_PASSPHRASE to the one of that time. Tried: -pbkdf2 with 100000 and 10000 rounds (others: --iterations N, import.iterations), and the older -md sha256 and -md md5. Damage in the first 32 bytes looks the same",
        ),
    };
    Error::Artifact { path: path.to_owned(), why: why.into(), way_out }
}

fn damaged(path: &Path, why: String) -> Error {
    let way_out = "the passphrase is right and the file is damaged: use another copy of it, or another file; nothing was restored, and no backup was made of it";
    Error::Artifact { path: path.to_owned(), why, way_out }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use aes::Aes256Enc;
    use aes::cipher::{Block, BlockEncrypt as _, KeyInit as _};
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use ring::digest::{SHA256, digest};

    use super::*;

    /// A dump of nothing but a note, as `gzip | openssl enc -aes-256-cbc -salt -md sha256` writes it.
    fn encrypted(note: &str) -> Vec<u8> {
        let dump = format!("-- PostgreSQL database dump\n-- {note}\n-- PostgreSQL database dump complete\n");
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(dump.as_bytes()).unwrap();
        let mut plain = gzip.finish().unwrap();
        let padding = 16 - plain.len() % 16;
        plain.extend(vec![u8::try_from(padding).unwrap(); padding]);
        let secret = b"passphrasesaltsalt";
        let key = digest(&SHA256, secret);
        let vector = digest(&SHA256, &[key.as_ref(), secret.as_slice()].concat());
        let cipher = Aes256Enc::new_from_slice(key.as_ref()).unwrap();
        let (mut chain, mut file) = (vector.as_ref()[..16].to_vec(), b"Salted__saltsalt".to_vec());
        for piece in plain.chunks(16) {
            let mixed: Vec<u8> = piece.iter().zip(&chain).map(|(byte, link)| byte ^ link).collect();
            let mut block = Block::<Aes256Enc>::clone_from_slice(&mixed);
            cipher.encrypt_block(&mut block);
            chain = block.to_vec();
            file.extend_from_slice(&chain);
        }
        file
    }

    async fn read(mut artifact: Artifact) -> Result<String> {
        while artifact.next().await?.is_some() {}
        artifact.finish().map(|(digest, _)| digest)
    }

    /// PAINS A2: what is stored is what was checked.
    #[tokio::test]
    async fn a02_a_file_that_is_exchanged_behind_the_check_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (file, fresh) = (dir.path().join("app.sql.gz.enc"), dir.path().join("fresh"));
        let put = |note: &str| {
            std::fs::write(&fresh, encrypted(note)).unwrap();
            std::fs::rename(&fresh, &file).unwrap();
        };
        let (passphrase, progress) = ("passphrase".into(), Progress::new());
        let options = ArtifactOptions { file: file.clone(), meta: None, passphrase, iterations: None, taken_at: None };
        put("one");
        let once = read(Artifact::open(&options).await.unwrap()).await.unwrap();
        let proven = Artifact::open(&options).await.unwrap().proven(&options, &progress).await.unwrap();
        assert_eq!(read(proven).await.unwrap(), once);
        assert!(progress.read().expected_plain_bytes.is_some());
        let begun = Artifact::open(&options).await.unwrap();
        put("two");
        let exchanged = begun.proven(&options, &progress).await.unwrap();
        let error = read(exchanged).await.unwrap_err();
        assert!(error.to_string().contains("somebody writes to it"), "{error}");
    }
}
