//! Into the repository, as a dump like any other, with what is known of its origin in the sealed part.

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::artifact::{Artifact, ArtifactOptions};
use super::{Facts, Outcome, RepositoryTarget, Sealed, outcome};
use crate::catalog::{self, Access, Backup, Draft, FinishedStream, Repository, commit};
use crate::commands::backup_dump::DUMP_STREAM;
use crate::commands::begun::{Begun, warnings};
use crate::commands::repository::{interruptible, prepare_to_write};
use crate::commands::{Connected, Error, RepositoryOptions, Result};
use crate::format::manifest::{DatabaseFact, DumpFacts, ImportFact, Kind, SealedPart};
use crate::format::{BackupId, ClusterName, StreamName};
use crate::observe::{Phase, Progress, chain};
use crate::pipeline::{StreamWriter, Target, pump};
use crate::store::Read as _;

pub(super) async fn run(
    file: &ArtifactOptions,
    to: RepositoryTarget,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Outcome> {
    let RepositoryTarget { repository: options, access, cluster, encoding, chunk_bytes, uploads } = to;
    let artifact = interruptible(cancel, Artifact::open(file)).await?;
    let facts = Facts::of(&artifact);
    let taken_at = facts.taken_at.ok_or_else(|| {
        Error::Usage(format!(
            "when {} was taken is not known: give --meta FILE.meta.json or --taken-at TIME",
            facts.file
        ))
    })?;
    let preparing = Box::pin(prepare(&options, access, &cluster, taken_at));
    let (connected, repository) = interruptible(cancel, preparing).await?;
    // What is stored is locked for years: of a damaged file that is nothing.
    let mut artifact = interruptible(cancel, artifact.proven(file, progress)).await?;
    let (is_known, mut again) = interruptible(cancel, known(&repository, &cluster, &artifact)).await?;
    let moving = async {
        let begun = Begun::now(&connected, &repository, &cluster, connected.lock()?).await?;
        let name: StreamName = DUMP_STREAM.parse()?;
        let target = Target {
            store: connected.store.clone(),
            place: begun.place.clone(),
            lock: begun.lock,
            chunk_bytes,
            uploads,
            progress: progress.clone(),
        };
        let writer = StreamWriter::new(target.into(), name, encoding, begun.keys.payload())?;
        progress.set_phase(Phase::Streaming);
        Ok((begun, pump(&mut artifact, writer, cancel).await?))
    };
    let (begun, writer) = interruptible(cancel, Box::pin(moving)).await?;
    progress.set_phase(Phase::Finishing);
    let (database, host) = (artifact.meta().database(), artifact.meta().host.clone());
    let meta = artifact.meta().kept();
    let (sha256, source) = artifact.finish()?;
    let plain_bytes = source.bytes();
    let (sealed, stored) = interruptible(cancel, async { Ok(writer.finish().await?) }).await?;
    let streams = vec![FinishedStream::new(source, sealed, stored)?];
    let import = ImportFact { file: facts.file.clone(), taken_at, sha256: sha256.clone(), host, meta };
    let draft = Draft {
        place: begun.place,
        kind: Kind::Dump,
        system_identifier: None,
        started_at: begun.started_at,
        server_version: facts.server_version.clone().unwrap_or_else(|| "unknown".into()),
        timeline: None,
        lsn: None,
        base: None,
        copy_of: None,
        lock: begun.lock,
        sealed: SealedPart { dump: Some(record(&facts, database, import)), base: None },
    };
    if !is_known {
        again = told_late(&repository, &cluster, &sha256, plain_bytes).await;
    }
    let committed = commit(&*connected.store, &repository, begun.keys, draft, streams).await?;
    let mut outcome = outcome(facts, sha256, plain_bytes);
    let stored_bytes = committed.clear.stored_bytes();
    let clear = committed.clear;
    outcome.backup = Some(Sealed { backup: clear.backup, cluster: clear.cluster, stored_bytes, lock: clear.lock });
    outcome.warnings = warnings(&connected, &repository, &begun.gone);
    outcome.warnings.extend(again);
    Ok(outcome)
}

/// Whether that can be known before anything is stored, and what to tell if the same file was imported before: at once, while the import
/// can be stopped, and again at its end.
async fn known(repository: &Repository, cluster: &ClusterName, artifact: &Artifact) -> Result<(bool, Option<String>)> {
    let Some((sha256, bytes)) = artifact.before() else { return Ok((false, None)) };
    let again = told(repository, cluster, sha256, bytes).await?;
    if let Some(again) = &again {
        tracing::warn!("{again}");
    }
    Ok((true, again))
}

/// The same of what came through a pipe. All of it is stored and locked by now: what fails here must not lose it.
async fn told_late(repository: &Repository, cluster: &ClusterName, sha256: &str, bytes: u64) -> Option<String> {
    told(repository, cluster, sha256, bytes).await.unwrap_or_else(|error| {
        Some(format!("whether the same file was imported before is not known: {}", chain(&error)))
    })
}

async fn told(repository: &Repository, cluster: &ClusterName, sha256: &str, bytes: u64) -> Result<Option<String>> {
    let twin = twin(repository, cluster, sha256, bytes).await?;
    Ok(twin.map(|id| {
        format!("the same file was imported before, as backup {id}: this is a second copy, and its lock cannot be taken back")
    }))
}

/// A backup that the same file became before. Only dumps of the same length are opened, those that these keys open.
async fn twin(
    repository: &Repository,
    cluster: &ClusterName,
    sha256: &str,
    plain_bytes: u64,
) -> Result<Option<BackupId>> {
    let mut alike = Vec::new();
    let take = |backup: Backup| {
        let clear = backup.clear();
        if clear.kind == Kind::Dump && clear.plain_bytes() == plain_bytes {
            alike.push(clear.backup.clone());
        }
    };
    repository.each_backup(cluster, take).await?;
    for id in alike {
        // A warning is all that depends on it.
        let Ok((backup, _)) = repository.backup(cluster, &id).await else { continue };
        let Ok(sealed) = repository.sealed_part(&backup.manifest).await else { continue };
        let imported = sealed.dump.and_then(|dump| dump.imported);
        if imported.is_some_and(|import| import.sha256.eq_ignore_ascii_case(sha256)) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Opens the repository and makes sure that nothing newer hides behind the import.
async fn prepare(
    options: &RepositoryOptions,
    access: Access,
    cluster: &ClusterName,
    taken_at: Timestamp,
) -> Result<(Connected, Repository)> {
    let (connected, repository) = prepare_to_write(options, access).await?;
    let now = connected.store.clock().now();
    if taken_at > now {
        return Err(Error::Usage(format!("{taken_at} lies in the future of the store's clock ({now})")));
    }
    let latest = match repository.latest_of(cluster, Some(Kind::Dump)).await {
        Ok((latest, _)) => latest,
        Err(catalog::Error::NoBackup { .. }) => return Ok((connected, repository)),
        Err(error) => return Err(error.into()),
    };
    let sealed = repository.sealed_part(&latest.manifest).await?;
    let imported = sealed.dump.and_then(|dump| dump.imported).map(|import| import.taken_at);
    let shows = imported.unwrap_or(latest.clear().started_at);
    if shows > taken_at {
        let id = &latest.clear().backup;
        return Err(Error::Newer { cluster: cluster.to_string(), backup: id.to_string(), shows, taken_at });
    }
    Ok((connected, repository))
}

/// The facts of a dump, as far as it tells them itself.
fn record(facts: &Facts, database: Option<String>, import: ImportFact) -> DumpFacts {
    DumpFacts {
        database: DatabaseFact {
            name: database.unwrap_or_else(|| "unknown".into()),
            owner: String::new(),
            encoding: facts.encoding.clone().unwrap_or_default(),
            collate: String::new(),
            ctype: String::new(),
            icu_locale: None,
            collation_version: None,
            size_bytes: None,
            comment: None,
            acl: None,
            connection_limit: -1,
            settings: Vec::new(),
        },
        server_version_num: facts.server_version_num(),
        standby: false,
        extensions: Vec::new(),
        large_objects: 0,
        pg_dump_version: facts.pg_dump_version.clone().unwrap_or_else(|| "unknown".into()),
        restrict: facts.restrict,
        role_passwords: None,
        options: Vec::new(),
        counts: None,
        digests: None,
        materialised: None,
        imported: Some(import),
    }
}
