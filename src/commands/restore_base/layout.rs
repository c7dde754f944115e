//! Where everything in a base backup goes: streams to roots, files to paths, tablespaces to their new places.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::roots;
use crate::commands::{Error, Result};
use crate::format::StreamName;
use crate::format::manifest::{BASE_STREAM, BaseFacts, StreamIndex, TablespaceFact};

/// Written last, under its final name only when everything else is durable: PostgreSQL does not start without it.
pub(super) const CONTROL_FILE: &str = "global/pg_control";

/// The block of most file systems.
const BLOCK_BYTES: u64 = 4096;

/// Files that would make the restored cluster something else: a standby, or a recovery that somebody else asked for.
const LEFT_OUT: [&str; 3] = ["standby.signal", "recovery.signal", "recovery.conf"];

/// One stream and the directory that it fills.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) stream: StreamName,
    /// Its files in the order of their offsets.
    pub(super) index: Arc<StreamIndex>,
    /// Number of the root; 0 is the data directory.
    pub(super) root: usize,
}

/// The targets of all roots, and what fills them.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) targets: Vec<PathBuf>,
    pub(super) placed: Vec<Placed>,
    /// Where each tablespace link points, by its path.
    links: HashMap<String, PathBuf>,
}

/// A tablespace's directory on the source, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// As `\db` shows it on the source.
    pub from: String,
    /// A directory that is new or empty.
    pub to: PathBuf,
}

impl Layout {
    /// Resolves every target and takes the index out of the facts. Each tablespace needs a mapping: nothing is ever written to
    /// a place that was not named.
    pub(super) fn new(facts: &mut BaseFacts, dir: &Path, mappings: &[Mapping]) -> Result<Self> {
        let mut targets = vec![roots::resolve(dir)?];
        let mut links = HashMap::new();
        let mut roots_of = HashMap::from([(BASE_STREAM.to_owned(), 0)]);
        let missing: Vec<&TablespaceFact> =
            facts.tablespaces.iter().filter(|space| find(mappings, &space.location).is_none()).collect();
        if !missing.is_empty() {
            let list: Vec<_> = missing.iter().map(|space| format!("--tablespace {}=DIR", space.location)).collect();
            let what = format!("the backup has tablespaces that were not given a place: add {}", list.join(" "));
            return Err(Error::Usage(what));
        }
        for mapping in mappings {
            if !facts.tablespaces.iter().any(|space| space.location == mapping.from) {
                return Err(Error::Usage(format!("--tablespace: the backup has no tablespace at {}", mapping.from)));
            }
        }
        for space in &facts.tablespaces {
            let Some(mapping) = find(mappings, &space.location) else { continue };
            let target = roots::resolve(&mapping.to)?;
            links.insert(format!("pg_tblspc/{}", space.oid), target.clone());
            roots_of.insert(space.stream.to_string(), targets.len());
            targets.push(target);
        }
        check_apart(&targets)?;
        let placed = std::mem::take(&mut facts.index).into_iter().filter_map(|mut indexed| {
            let root = *roots_of.get(indexed.stream.as_str())?;
            indexed.index.files.sort_by_key(|file| file.range().start);
            Some(Placed { stream: indexed.stream, index: Arc::new(indexed.index), root })
        });
        Ok(Self { placed: placed.collect(), targets, links })
    }

    /// Where the tablespace link at `path` points now.
    pub(super) fn link(&self, path: &str) -> Option<&Path> {
        self.links.get(path).map(PathBuf::as_path)
    }

    /// Every tablespace link with where it points now.
    pub(super) fn links(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.links.iter().map(|(path, target)| (path.as_str(), target.as_path()))
    }

    /// Bytes that the files of one root take on a disk, which gives out whole blocks.
    pub(super) fn bytes(&self, root: usize) -> u64 {
        let placed = self.placed.iter().filter(|placed| placed.root == root);
        let files = placed.flat_map(|placed| &placed.index.files);
        files.map(|file| file.bytes().next_multiple_of(BLOCK_BYTES)).sum()
    }

    /// The same of all roots.
    pub(super) fn all_bytes(&self) -> u64 {
        (0..self.targets.len()).map(|root| self.bytes(root)).sum()
    }
}

/// Whether a file of the data directory is restored.
pub(super) fn is_restored(path: &str) -> bool {
    !LEFT_OUT.contains(&path)
}

fn find<'m>(mappings: &'m [Mapping], location: &str) -> Option<&'m Mapping> {
    mappings.iter().find(|mapping| mapping.from == location)
}

/// No target may lie in another one.
fn check_apart(targets: &[PathBuf]) -> Result<()> {
    for (i, one) in targets.iter().enumerate() {
        for (j, other) in targets.iter().enumerate() {
            if i != j && other.starts_with(one) {
                let what = format!("{} lies in {}: each needs a directory of its own", other.display(), one.display());
                return Err(Error::Usage(what));
            }
        }
    }
    Ok(())
}
