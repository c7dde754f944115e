//! Whether a backup is what it should be: every object there and locked, every stream sealed under its own key.

use std::fmt;

use serde::Serialize;

use crate::catalog::{Backup, Finding, FindingKind, Repository};
use crate::commands::Result;
use crate::format::ChunkHeader;
use crate::format::manifest::Kind;
use crate::format::{BackupId, StreamRecord};
use crate::limits::{CHECKLIST_STREAMS_MAX, CHUNK_HEADER_BYTES_MAX};
use crate::observe::Progress;
use crate::store::{ObjectKey, VersionId};
use crate::verify::{self, Level};

/// One backup, looked at closely.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Sealed {
    backup: BackupId,
    kind: Kind,
    objects: u64,
    streams: u64,
    key: String,
    /// What is wrong.
    wrong: Option<String>,
}

impl Sealed {
    #[cfg(test)]
    pub(super) fn sample(wrong: Option<&str>) -> Self {
        let backup = "20270115T070000Z-5b0c6f2e".parse().expect("an id");
        Self { backup, kind: Kind::Dump, objects: 4, streams: 1, key: "6f1c".into(), wrong: wrong.map(str::to_owned) }
    }

    pub(super) fn is_good(&self) -> bool {
        self.wrong.is_none()
    }

    /// Verifies by listing and locks, then reads the beginning of each stream.
    pub(super) async fn look(repository: &Repository, backup: &Backup) -> Result<Self> {
        let clear = backup.clear();
        let options = verify::Options { level: Level::List, sample: None, downloads: 1, progress: Progress::new() };
        let findings = verify::verify(repository, backup, &options).await?;
        let bad = |finding: &&Finding| finding.kind.is_damage() || finding.kind == FindingKind::LockShort;
        let mut wrong = findings.details.iter().find(bad).map(ToString::to_string);
        for stream in clear.streams.iter().take(CHECKLIST_STREAMS_MAX) {
            if wrong.is_none() {
                wrong = unsealed(repository, backup, stream).await?;
            }
        }
        let chunks: usize = clear.streams.iter().map(|stream| stream.chunks.len()).sum();
        Ok(Self {
            backup: clear.backup.clone(),
            kind: clear.kind,
            objects: chunks as u64 + 3,
            streams: clear.streams.len() as u64,
            key: clear.payload_key.id.to_string(),
            wrong,
        })
    }
}

/// Why a stream's first chunk is not one of ours; `None` if it is. Only what the cipher made follows such a header, or it
/// does not open.
async fn unsealed(repository: &Repository, backup: &Backup, stream: &StreamRecord) -> Result<Option<String>> {
    let clear = backup.clear();
    let Some(chunk) = stream.chunks.first() else { return Ok(None) };
    let key = ObjectKey::new(repository.place(backup).chunk(&stream.name, 0, chunk.tag));
    let head = 0..chunk.bytes.min(CHUNK_HEADER_BYTES_MAX as u64);
    let bytes = match repository.store().get(&key, &VersionId::new(chunk.version.clone()), head).await {
        Ok(bytes) => bytes,
        Err(error) if error.is_about_the_object() => return Ok(Some(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let (header, _) = match ChunkHeader::decode(&bytes) {
        Ok(header) => header,
        Err(error) => return Ok(Some(format!("{}: {error}", key.as_str()))),
    };
    let same = header.repository == repository.id()
        && header.cluster == clear.cluster
        && header.backup == clear.backup
        && header.name == stream.name
        && header.stream == stream.id
        && header.key == clear.key_of(&stream.name).id;
    Ok((!same).then(|| format!("{} is a chunk of something else", key.as_str())))
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.kind, self.backup)?;
        match &self.wrong {
            Some(wrong) => f.write_str(wrong),
            None => write!(
                f,
                "{} objects there and locked as promised, {} stream{} sealed by AES-256-GCM under key {}",
                self.objects,
                self.streams,
                if self.streams == 1 { "" } else { "s" },
                self.key
            ),
        }
    }
}
