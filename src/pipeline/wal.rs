//! WAL in and out of objects: sealed on the frame workers, opened on them, nothing released before it is whole.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::frames::Ordered;
use super::upload::Encoding;
use super::{Error, Result};
use crate::format::chunk::{Chunk, ChunkBuilder};
use crate::format::names::Names;
use crate::format::seal::StreamKey;
use crate::format::wal::{Base64, BodyRecord, Commits, PlainRecord, WalContent, WalCopy, WalHead, WalHeader};
use crate::format::{self, BackupId, ClusterName, DataKey, Digest, RepositoryId, Tag};
use crate::keys::{self, Recipient, WriterKey};
use crate::limits::{FRAME_BYTES_MAX, WAL_OBJECT_BYTES_MAX};
use crate::store::ObjectKey;

/// Where the WAL of one run goes, and whose it is.
#[derive(Clone, Debug)]
pub struct WalPlace {
    /// Names below the prefix.
    pub names: Names,
    /// Repository.
    pub repository: RepositoryId,
    /// Cluster.
    pub cluster: ClusterName,
    /// PostgreSQL's system identifier of the cluster.
    pub system_identifier: u64,
}

/// One run: a process that streams or pushes. It has a data key of its own, which exists outside of it only wrapped.
pub struct WalRun {
    place: WalPlace,
    run: BackupId,
    key: DataKey,
    wrap: Base64,
    signer: Signer,
    encoding: Encoding,
}

/// The random part of the id of a run whose key has a wrap called `tag`.
pub fn wal_suffix(tag: Tag) -> [u8; 4] {
    let [first, second, third, fourth, ..] = *tag.as_bytes();
    [first, second, third, fourth]
}

/// Who signs what a run writes.
#[derive(Clone, Debug)]
pub struct Signer {
    /// The writer key.
    pub writer: Arc<WriterKey>,
    /// The root's certificate for it, which goes with every object.
    pub certificate: Option<Vec<u8>>,
}

/// A WAL object ready to be stored.
#[derive(Clone, Debug)]
pub struct SealedWal {
    /// What it says of itself.
    pub header: WalHeader,
    /// Its bytes.
    pub object: Bytes,
    names: Names,
}

impl WalRun {
    /// A run that begins now: a fresh key, wrapped to `recipients`.
    pub fn begin(
        place: WalPlace,
        recipients: &[Recipient],
        signer: Signer,
        encoding: Encoding,
        now: Timestamp,
    ) -> Result<Self> {
        let key = keys::data_key()?;
        let wrap = Base64(keys::wrap(&key, recipients)?);
        // The random part tells whoever can open the key to whom it is wrapped.
        let recipients: Vec<String> = recipients.iter().map(ToString::to_string).collect();
        let tag = key.wrap_tag(recipients.iter().map(String::as_str));
        let run = BackupId::new(now, wal_suffix(tag));
        Ok(Self { place, run, key, wrap, signer, encoding })
    }

    /// Whose WAL it is and where it goes.
    pub fn place(&self) -> &WalPlace {
        &self.place
    }

    /// Id of the run.
    pub fn id(&self) -> &BackupId {
        &self.run
    }

    /// Seals `plain`, which is what `content` names. Frames are compressed in parallel; memory: twice the piece and the
    /// frames at work.
    pub async fn seal(
        &self,
        content: WalContent,
        plain: Bytes,
        commits: Option<Commits>,
        now: Timestamp,
    ) -> Result<SealedWal> {
        let digest = digest_of(&content, &plain)?;
        let header = WalHeader { commits, ..self.header(content, &plain, now)? };
        self.seal_as(header, plain, digest, self.encoding.level).await
    }

    /// Seals what was read from the object that begins with `of` once more, under the key of this run: a copy, which keeps what is
    /// told of the original in the clear and says whose copy it is. Of a copy it is the first original.
    pub async fn seal_again(&self, of: &WalHead, plain: Bytes, now: Timestamp) -> Result<SealedWal> {
        let original = of.header();
        let first = original.copy_of.map_or(of.digest(), |copy| copy.original);
        let header = WalHeader {
            system_identifier: original.system_identifier,
            codec: original.codec,
            plain: original.plain,
            commits: original.commits,
            copy_of: Some(WalCopy { original: first, made_at: now }),
            ..self.header(original.content.clone(), &plain, original.written_at)?
        };
        self.seal_as(header, plain, None, original.codec.default_level()).await
    }

    /// What is known of an object before it is sealed.
    fn header(&self, content: WalContent, plain: &Bytes, written_at: Timestamp) -> Result<WalHeader> {
        Ok(WalHeader {
            repository: self.place.repository,
            cluster: self.place.cluster.clone(),
            system_identifier: self.place.system_identifier,
            run: self.run.clone(),
            content,
            written_at,
            stonewal: env!("CARGO_PKG_VERSION").to_owned(),
            key: self.key.id(),
            wrap: self.wrap.clone(),
            certificate: self.signer.certificate.clone().map(Base64),
            stream: keys::stream_id()?,
            codec: self.encoding.codec,
            plain_bytes: plain.len() as u64,
            body: BodyRecord { bytes: 0, sha256: Digest::of(b"") },
            plain: None,
            commits: None,
            copy_of: None,
        })
    }

    async fn seal_as(
        &self,
        mut header: WalHeader,
        plain: Bytes,
        digest: Option<tokio::task::JoinHandle<PlainRecord>>,
        level: i32,
    ) -> Result<SealedWal> {
        let object = header.content.to_string();
        let fault = |source| Error::Wal { object: object.clone(), source };
        let packed = pack(&plain, Encoding { codec: header.codec, level }).await?;
        let stream_key = StreamKey::new(&self.key, &header.stream).map_err(fault)?;
        let room = packed.iter().map(|frame| frame.0.len() + 64).sum::<usize>() + 4096;
        let mut chunk = ChunkBuilder::new(header.chunk().map_err(fault)?, room);
        let last = packed.len();
        for (number, (frame, plain_bytes)) in (1..).zip(packed) {
            chunk.push(&stream_key, &frame, plain_bytes, number == last).map_err(fault)?;
        }
        let body = chunk.finish(&stream_key).map_err(fault)?;
        if let Some(digest) = digest {
            header.plain = Some(digest.await.map_err(Error::Worker)?);
        }
        let writer = self.signer.writer.clone();
        let signed = spawn_blocking(move || {
            header.body = BodyRecord { bytes: body.len() as u64, sha256: Digest::of(&body) };
            let object = header.encode(&body, writer.public(), |message| writer.sign(message))?;
            Ok((header, Bytes::from(object)))
        });
        let (header, object) = signed.await.map_err(Error::Worker)?.map_err(fault)?;
        Ok(SealedWal { header, object, names: self.place.names.clone() })
    }
}

/// The compressed frames with their plain lengths; nothing is one empty frame.
async fn pack(plain: &Bytes, Encoding { codec, level }: Encoding) -> Result<Vec<(Vec<u8>, usize)>> {
    let (mut packing, mut packed, mut rest) = (Ordered::new(), Vec::new(), plain.clone());
    loop {
        let frame = rest.split_to(rest.len().min(FRAME_BYTES_MAX));
        if packing.is_full() {
            packed.extend(packing.next().await?);
        }
        packing.push(move || codec.compress(&frame, level).map(|bytes| (bytes, frame.len())));
        if rest.is_empty() {
            break;
        }
    }
    while let Some(frame) = packing.next().await? {
        packed.push(frame);
    }
    let all: format::Result<Vec<_>> = packed.into_iter().collect();
    all.map_err(|source| Error::Wal { object: "compression".into(), source })
}

/// The digest of pieces and files, computed while they are compressed.
fn digest_of(content: &WalContent, plain: &Bytes) -> Result<Option<tokio::task::JoinHandle<PlainRecord>>> {
    if !content.is_canonical() {
        return Ok(None);
    }
    let (salt, plain) = (keys::salt()?, plain.clone());
    Ok(Some(spawn_blocking(move || PlainRecord::of(salt, &plain))))
}

impl fmt::Debug for WalRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WalRun").field("run", &self.run).field("place", &self.place).finish_non_exhaustive()
    }
}

impl SealedWal {
    /// The name it has by its content alone; `None` for a partial, which has none.
    pub fn canonical(&self) -> Option<ObjectKey> {
        let canonical = self.header.content.is_canonical();
        canonical.then(|| ObjectKey::new(self.header.object_name(&self.names, None)))
    }

    /// A fresh name: for partials, and for what finds its canonical name taken by something that is not ours.
    pub fn fresh(&self) -> Result<ObjectKey> {
        let tag: Tag = keys::tag()?;
        Ok(ObjectKey::new(self.header.object_name(&self.names, Some(tag))))
    }
}

/// The plain content of a WAL object whose head was authenticated and whose `key` was unwrapped, frame by frame to `take`,
/// whose first failure ends it. The object as a whole is checked against the signed header before the first frame, and every
/// frame before it is given (invariant I5); that there is no more, only the return of `Ok(Ok(()))` says.
pub async fn open_wal<E>(
    head: &WalHead,
    object: Bytes,
    key: &DataKey,
    mut take: impl FnMut(Vec<u8>) -> std::result::Result<(), E> + Send,
) -> Result<std::result::Result<(), E>> {
    let name = head.header().content.to_string();
    let fault = |source| Error::Wal { object: name.clone(), source };
    let (chunk, stream_key) = open_chunk(head, object, key).await?;
    let last = chunk.frames() - 1;
    let mut opening: Ordered<format::Result<Vec<u8>>> = Ordered::new();
    let mut frames = chunk.into_frames();
    loop {
        while !opening.is_full() {
            let Some(frame) = frames.next() else { break };
            let key = stream_key.clone();
            opening.push(move || frame.open(&key, frame.number() == last));
        }
        let Some(opened) = opening.next().await? else { return Ok(Ok(())) };
        if let Err(error) = take(opened.map_err(fault)?) {
            return Ok(Err(error));
        }
    }
}

/// [`open_wal`] into memory.
pub async fn open_wal_whole(head: &WalHead, object: Bytes, key: &DataKey) -> Result<Bytes> {
    let mut plain = Vec::with_capacity(usize::try_from(head.header().plain_bytes).unwrap_or(0));
    let taken = open_wal(head, object, key, |frame| {
        plain.extend_from_slice(&frame);
        Ok::<_, std::convert::Infallible>(())
    });
    match taken.await? {
        Ok(()) => Ok(Bytes::from(plain)),
    }
}

/// Checks the object against its head and opens the frame index.
async fn open_chunk(head: &WalHead, object: Bytes, key: &DataKey) -> Result<(Chunk, Arc<StreamKey>)> {
    let header = head.header();
    let fault = |source| Error::Wal { object: header.content.to_string(), source };
    if object.len() > WAL_OBJECT_BYTES_MAX {
        let (claimed, max) = (object.len() as u64, WAL_OBJECT_BYTES_MAX as u64);
        return Err(fault(format::Error::Absurd { what: "WAL object", claimed, max }));
    }
    let (checked, checking) = (object.clone(), head.clone());
    let genuine = spawn_blocking(move || checking.body(&checked).map(<[u8]>::len)).await.map_err(Error::Worker)?;
    let body_bytes = genuine.map_err(fault)?;
    let body = object.slice(object.len() - body_bytes..);
    let stream_key = Arc::new(StreamKey::new(key, &header.stream).map_err(fault)?);
    let chunk = Chunk::read(&body, &header.chunk().map_err(fault)?, &stream_key).map_err(fault)?;
    if chunk.plain_bytes() != header.plain_bytes || chunk.frames() == 0 {
        let why = format!("its frames hold {} bytes, {} were signed", chunk.plain_bytes(), header.plain_bytes);
        return Err(fault(format::Error::Malformed { what: "WAL object", why }));
    }
    Ok((chunk, stream_key))
}
