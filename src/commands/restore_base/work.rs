//! The restore itself, in the order that makes every interruption harmless.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::delta::{self, Kept};
use super::fetch_keys::FetchKeys;
use super::files::{self, Wanted};
use super::layout::{CONTROL_FILE, Layout};
use super::marker::Marker;
use super::owner::Owner;
use super::plan::Plan;
use super::recovery::{self, Ending, WalSource};
use super::roots::{self, Root, failed};
use super::{Restored, Target, tree, warnings};
use crate::catalog::{Backup, Repository};
use crate::commands::repository::interruptible;
use crate::commands::restore_dump::Confirm;
use crate::commands::{Error, RepositoryOptions, Result};
use crate::format::StreamName;
use crate::format::manifest::{BACKUP_MANIFEST_STREAM, BASE_STREAM, BaseFacts};
use crate::observe::{Phase, Progress};
use crate::pipeline::{self, RangedReader, StreamReader};

/// What every step needs.
pub(super) struct Job<'a> {
    pub(super) repository: &'a Repository,
    pub(super) options: &'a RepositoryOptions,
    pub(super) backup: &'a Backup,
    pub(super) ending: Ending,
    pub(super) plan: &'a Plan,
    pub(super) downloads: usize,
    pub(super) progress: &'a Progress,
    pub(super) cancel: &'a CancellationToken,
}

/// Targets that were found fit.
struct Ground {
    layout: Arc<Layout>,
    marker: Marker,
    owner: Owner,
    /// Permission bits of the data directory.
    mode: u32,
    delta: bool,
    /// `server_version_num` of the source.
    version: u32,
}

/// Bytes and files.
#[derive(Debug)]
struct Written {
    files: u64,
    bytes: u64,
    kept: Kept,
    removed: u64,
}

impl Job<'_> {
    pub(super) async fn restore(&self, target: Target) -> Result<(Restored, Vec<String>)> {
        let mut facts = interruptible(self.cancel, facts(self.repository, self.backup)).await?;
        let ground = survey(self.backup, &mut facts, &target)?;
        let readers = interruptible(self.cancel, self.readers(&ground.layout)).await?;
        let manifest = interruptible(self.cancel, self.backup_manifest()).await?;
        let warnings = warnings::of(&facts, &target, (self.ending.wal, self.ending.archives), ground.owner).await;
        confirm(target.confirm, &ground.layout.targets[0])?;

        let prepared = prepare_all(&ground);
        let roots = Arc::new(prepared?);
        let filled = self.fill(&ground, &roots, &readers, &manifest, (&target.program, &target.aws)).await;
        let written = match filled {
            Ok(written) => written,
            Err(error) => {
                if !ground.delta {
                    roots.iter().for_each(Root::discard);
                }
                return Err(match error {
                    Error::NoRoom { path, .. } => Error::NoRoom { path, needed_bytes: ground.layout.all_bytes() },
                    error => error,
                });
            }
        };
        let restored = Restored {
            dir: ground.layout.targets[0].clone(),
            backup: self.backup.clear().backup.clone(),
            files: written.files,
            bytes: written.bytes,
            files_kept: written.kept.files,
            bytes_kept: written.kept.bytes,
            removed: written.removed,
        };
        Ok((restored, warnings))
    }

    /// One reader for each placed stream, in their order.
    async fn readers(&self, layout: &Layout) -> Result<Vec<Arc<RangedReader>>> {
        let clear = self.backup.clear();
        let key = self.repository.payload_key(&clear.payload_key).await?;
        let reader = |stream: &StreamName| -> Result<Arc<RangedReader>> {
            let no_stream = || Error::NoStream { backup: clear.backup.to_string(), stream: BASE_STREAM };
            let record = clear.stream(stream).ok_or_else(no_stream)?.clone();
            let (store, place) = (self.repository.store().clone(), self.repository.place(self.backup));
            Ok(Arc::new(RangedReader::new(store, place, record, &key, self.progress.clone())?))
        };
        layout.placed.iter().map(|placed| reader(&placed.stream)).collect()
    }

    /// PostgreSQL's own manifest of the backup.
    async fn backup_manifest(&self) -> Result<Vec<u8>> {
        let clear = self.backup.clear();
        let stream: StreamName = BACKUP_MANIFEST_STREAM.parse()?;
        let no_stream = || Error::NoStream { backup: clear.backup.to_string(), stream: BACKUP_MANIFEST_STREAM };
        let record = clear.stream(&stream).ok_or_else(no_stream)?.clone();
        let key = self.repository.metadata_key(&clear.metadata_key).await?;
        let (store, place) = (self.repository.store().clone(), self.repository.place(self.backup));
        let mut reader = StreamReader::new(store, place, record, &key, self.downloads, self.progress.clone())?;
        let mut text = Vec::new();
        while let Some(plain) = reader.next().await? {
            text.extend_from_slice(&plain);
        }
        let _receipt = reader.finish()?;
        Ok(text)
    }

    /// Everything, and the names last.
    async fn fill(
        &self,
        ground: &Ground,
        roots: &Arc<Vec<Root>>,
        readers: &[Arc<RangedReader>],
        manifest: &[u8],
        fetch: (&Path, &[(String, secrecy::SecretString)]),
    ) -> Result<Written> {
        let (layout, owner) = (&ground.layout, ground.owner);
        let (wanted, kept) = if ground.delta {
            withdraw_control(&roots[0].work)?;
            interruptible(self.cancel, delta::compare(layout, roots, manifest)).await?
        } else {
            (files::all(layout), Kept::default())
        };
        let wanted = Arc::new(wanted);
        let removed = self.lay_out(ground, roots, &wanted).await?;
        self.progress.expect_plain_bytes(files::bytes(layout, &wanted));
        self.progress.set_phase(Phase::Streaming);
        files::write(layout, roots, readers, &wanted, (self.downloads, owner), self.cancel).await?;
        let data = &roots[0].work;
        write_file(&data.join(BACKUP_MANIFEST_STREAM), manifest, owner)?;
        self.write_recovery(data, owner, fetch, ground.version).await?;
        let control = interruptible(self.cancel, self.control_file(layout, readers)).await?;
        self.progress.set_phase(Phase::Finishing);
        let roots = roots.clone();
        blocking(move || publish(&roots, &control, owner)).await?;
        let files = wanted.iter().flatten().filter(|wanted| **wanted).count() as u64;
        Ok(Written { files, bytes: files::bytes(layout, &wanted), kept, removed })
    }

    /// Directories, links, empty files; with `delta`, what does not belong goes first.
    async fn lay_out(&self, ground: &Ground, roots: &Arc<Vec<Root>>, wanted: &Arc<Wanted>) -> Result<u64> {
        let (layout, roots, wanted) = (ground.layout.clone(), roots.clone(), wanted.clone());
        let (owner, delta) = (ground.owner, ground.delta);
        blocking(move || {
            let removed = if delta { delta::clean(&layout, &roots, &wanted)? } else { 0 };
            tree::make(&layout, &roots, owner)?;
            Ok(removed)
        })
        .await
    }

    /// Settings, signal file, keys.
    async fn write_recovery(
        &self,
        data: &Path,
        owner: Owner,
        (program, aws): (&Path, &[(String, secrecy::SecretString)]),
        version: u32,
    ) -> Result<()> {
        let clear = self.backup.clear();
        let note = format!("recovery from backup {} of cluster {}, set up by stonewal", clear.backup, clear.cluster);
        let settings = recovery::settings(&self.ending, version, &note)?;
        let path = data.join("postgresql.auto.conf");
        let append = fs::OpenOptions::new().append(true).create(true).open(&path);
        let appended = append.and_then(|mut file| {
            owner.give_file(&file)?;
            file.write_all(settings.as_bytes())
        });
        appended.map_err(failed(&path))?;
        write_file(&data.join("recovery.signal"), b"", owner)?;
        match self.ending.wal {
            WalSource::None => Ok(()),
            WalSource::Local => {
                let to = (data, owner, self.downloads);
                let fetching = Box::pin(super::local::fetch(self.repository, &clear.cluster, self.plan, to));
                interruptible(self.cancel, fetching).await
            }
            WalSource::Repository => {
                let identity = self.repository.with_keyring(crate::keys::Keyring::reading_file);
                let identity = identity.ok_or(crate::keys::Error::Missing { what: "an identity that reads data" })?;
                let (repository, cluster) = (self.options, &clear.cluster);
                FetchKeys { program, repository, cluster, identity, aws }.write(data, owner)
            }
        }
    }

    async fn control_file(&self, layout: &Layout, readers: &[Arc<RangedReader>]) -> Result<Vec<u8>> {
        for (placed, reader) in layout.placed.iter().zip(readers) {
            let found = placed.index.files.iter().find(|file| file.path() == CONTROL_FILE);
            if let Some(file) = found.filter(|_| placed.root == 0) {
                return files::read(reader, file).await;
            }
        }
        Err(Error::NoStream { backup: self.backup.clear().backup.to_string(), stream: CONTROL_FILE })
    }
}

/// What was recorded about the base.
async fn facts(repository: &Repository, backup: &Backup) -> Result<BaseFacts> {
    let sealed = Box::pin(repository.sealed_part(&backup.manifest)).await?;
    let no_base = || Error::NoStream { backup: backup.clear().backup.to_string(), stream: BASE_STREAM };
    sealed.base.ok_or_else(no_base)
}

/// Whether a backup could be restored to this target, as far as that can be told before it can be read.
pub(super) async fn check(repository: &Repository, backup: &Backup, target: &Target) -> Result<()> {
    survey(backup, &mut facts(repository, backup).await?, target).map(drop)
}

/// Looks at the targets; changes nothing.
fn survey(backup: &Backup, facts: &mut BaseFacts, target: &Target) -> Result<Ground> {
    let layout = Layout::new(facts, &target.dir, &target.tablespaces)?;
    let data = &layout.targets[0];
    let clear = backup.clear();
    let marker = Marker {
        backup: clear.backup.clone(),
        system_identifier: clear.system_identifier.unwrap_or_default().to_string(),
    };
    let delta = target.delta && data.exists();
    if delta {
        delta::check(data, &marker)?;
    } else {
        roots::check_free(data)?;
    }
    for (link, space) in layout.links() {
        if !(delta && delta::check_tablespace(data, link, space)) {
            roots::check_free(space)?;
        }
    }
    if !delta {
        roots::check_space(&layout)?;
    }
    let owner = Owner::of(data)?;
    // As initdb --allow-group-access made the source's.
    let base = layout.placed.iter().find(|placed| placed.stream.as_str() == BASE_STREAM);
    let directories = base.into_iter().flat_map(|placed| &placed.index.directories);
    let group = directories.filter(|directory| directory.0 == "base").any(|directory| directory.1 & 0o050 != 0);
    Ok(Ground {
        layout: Arc::new(layout),
        marker,
        owner,
        mode: if group { 0o750 } else { 0o700 },
        delta,
        version: facts.server_version_num,
    })
}

fn confirm(confirm: Confirm, dir: &Path) -> Result<()> {
    let target = dir.display().to_string();
    let confirmed = match confirm {
        Confirm::Given => true,
        Confirm::Ask(ask) => ask(&target),
        Confirm::Missing => false,
    };
    if confirmed { Ok(()) } else { Err(Error::NotConfirmed { target, variable: "CONFIRM_PITR" }) }
}

fn prepare_all(ground: &Ground) -> Result<Vec<Root>> {
    let Ground { layout, marker, owner, delta, .. } = ground;
    let mut roots: Vec<Root> = Vec::new();
    for (at, target) in layout.targets.iter().enumerate() {
        let mode = if at == 0 { ground.mode } else { 0o700 };
        let over = *delta && target.exists();
        let root =
            if over { Root::over(target, mode, marker, *owner) } else { Root::prepare(target, mode, marker, *owner) };
        match root {
            Ok(root) => roots.push(root),
            Err(error) => {
                if !delta {
                    roots.iter().for_each(Root::discard);
                }
                return Err(error);
            }
        }
    }
    Ok(roots)
}

/// From here on PostgreSQL does not start on what is there.
fn withdraw_control(data: &Path) -> Result<()> {
    let control = data.join(CONTROL_FILE);
    match fs::remove_file(&control) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        gone => gone.map_err(failed(&control))?,
    }
    let global = data.join("global");
    fs::File::open(&global).and_then(|dir| dir.sync_all()).map_err(failed(&global))
}

/// Makes everything durable, then the control file, then the names.
fn publish(roots: &[Root], control: &[u8], owner: Owner) -> Result<()> {
    for root in roots {
        root.sync()?;
    }
    let path = roots[0].work.join(CONTROL_FILE);
    let written = path.with_extension("stonewal");
    write_file(&written, control, owner)?;
    fs::File::open(&written).and_then(|file| file.sync_all()).map_err(failed(&written))?;
    fs::rename(&written, &path).map_err(failed(&path))?;
    for root in roots {
        Marker::remove(&root.work).map_err(failed(&root.work))?;
    }
    for root in roots {
        root.sync()?;
    }
    // The data directory last: nothing starts before its tablespaces are in their places.
    roots.iter().rev().try_for_each(|root| root.publish(owner))
}

fn write_file(path: &Path, bytes: &[u8], owner: Owner) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let _ = fs::remove_file(path);
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| {
        owner.give_file(&file)?;
        file.write_all(bytes)
    });
    written.map_err(failed(path))
}

/// File work on a thread that may wait for the disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(work).await.map_err(pipeline::Error::Worker)?
}
