//! Levels `checksum` and `decrypt`: reading what the manifest pins.

use std::sync::Arc;

use futures::{StreamExt as _, stream};

use super::sample::drawn;
use super::{Error, Findings, Options};
use crate::catalog::{self, Backup, Finding, FindingKind, Repository};
use crate::format::{DataKey, Place, StreamRecord};
use crate::keys;
use crate::pipeline::{self, RangedReader, StreamReader, chunks_ahead, fetch_chunk};

/// Reads every chunk that is drawn and compares its digest; goes on after a bad one, to tell the whole extent.
pub(super) async fn checksum(
    repository: &Repository,
    backup: &Backup,
    options: &Options,
    findings: &mut Findings,
) -> Result<(), Error> {
    let (store, place) = (repository.store(), repository.place(backup));
    let place = &place;
    for (record, numbers) in backup.clear().streams.iter().zip(drawn(options.sample.as_ref(), repository, backup)) {
        let fetches = stream::iter(numbers).map(|number| async move {
            fetch_chunk(&**store, place, &record.name, number, &record.chunks[number as usize]).await
        });
        let mut fetches = fetches.buffer_unordered(chunks_ahead(options.downloads, &record.chunks));
        while let Some(fetched) = fetches.next().await {
            match fetched {
                Ok(body) => options.progress.add_chunk(body.len() as u64),
                Err(error) => findings.push(found(error)?),
            }
        }
    }
    Ok(())
}

/// Opens every frame, or those of the chunks that are drawn, and throws it away.
pub(super) async fn decrypt(
    repository: &Repository,
    backup: &Backup,
    options: &Options,
    findings: &mut Findings,
) -> Result<(), Error> {
    let (clear, place) = (backup.clear(), repository.place(backup));
    let drawn = drawn(options.sample.as_ref(), repository, backup);
    for record in [&clear.payload_key, &clear.metadata_key] {
        let streams = clear.streams.iter().zip(&drawn);
        let streams = streams.filter(|(stream, _)| clear.key_of(&stream.name).id == record.id);
        let key = if record.id == clear.payload_key.id {
            repository.payload_key(record).await
        } else {
            repository.metadata_key(record).await
        };
        match key {
            Ok(key) => {
                for (stream, numbers) in streams {
                    if options.sample.is_some() {
                        open(repository, &place, stream, &key, (numbers, options), findings).await?;
                    } else if let Err(error) = drain(repository, &place, stream, &key, options).await {
                        findings.push(found(error)?);
                    }
                }
            }
            // The sealed part, below, needs it as well and says so.
            Err(_) if record.id == clear.metadata_key.id => {}
            Err(error) if error.is_integrity() && !is_other_reader(&error) => {
                let wraps = repository.names().wraps(record.id);
                findings.push(Finding::new(FindingKind::Unreadable, wraps, None, error.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if let Err(error) = repository.sealed_part(&backup.manifest).await {
        let (key, version) = (backup.entry.key.as_str(), Some(backup.entry.version.as_str()));
        match error {
            catalog::Error::Store(_) => return Err(error.into()),
            catalog::Error::Keys(ref keys) if keys.is_of_kms() => return Err(error.into()),
            error => findings.push(Finding::new(FindingKind::Unreadable, key, version, error.to_string())),
        }
    }
    Ok(())
}

/// The keys at hand are for other backups, which says nothing about this one.
fn is_other_reader(error: &catalog::Error) -> bool {
    matches!(error, catalog::Error::Keys(keys::Error::NotARecipient { .. }))
}

async fn drain(
    repository: &Repository,
    place: &Place,
    record: &StreamRecord,
    key: &DataKey,
    options: &Options,
) -> pipeline::Result<()> {
    let (store, progress) = (repository.store().clone(), options.progress.clone());
    let mut reader = StreamReader::new(store, place.clone(), record.clone(), key, options.downloads, progress)?;
    while reader.next().await?.is_some() {}
    let _receipt = reader.finish()?;
    Ok(())
}

/// Opens some chunks, each by itself; goes on after a bad one.
async fn open(
    repository: &Repository,
    place: &Place,
    record: &StreamRecord,
    key: &DataKey,
    (numbers, options): (&[u32], &Options),
    findings: &mut Findings,
) -> Result<(), Error> {
    let (store, progress) = (repository.store().clone(), options.progress.clone());
    let reader = match RangedReader::new(store, place.clone(), record.clone(), key, progress) {
        Ok(reader) => Arc::new(reader),
        Err(error) => {
            findings.push(found(error)?);
            return Ok(());
        }
    };
    let opened = stream::iter(numbers.iter().copied()).map(|number| {
        let reader = reader.clone();
        async move { reader.prove(number).await }
    });
    let mut opened = opened.buffer_unordered(chunks_ahead(options.downloads, &record.chunks));
    while let Some(proved) = opened.next().await {
        if let Err(error) = proved {
            findings.push(found(error)?);
        }
    }
    Ok(())
}

/// Faults of stored data are findings; anything else means that we could not look.
fn found(error: pipeline::Error) -> Result<Finding, pipeline::Error> {
    use pipeline::Error as E;
    Ok(match error {
        E::MissingChunk { key, version } => Finding::new(FindingKind::Missing, key, Some(&version), "it is gone"),
        E::AlteredChunk { key, why } => Finding::new(FindingKind::Altered, key, None, why),
        E::Format { stream, source } => {
            Finding::new(FindingKind::Unreadable, stream.as_str(), None, source.to_string())
        }
        E::Incomplete { .. } => Finding::new(FindingKind::Unreadable, "", None, error.to_string()),
        error => return Err(error),
    })
}
