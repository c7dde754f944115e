//! The WAL that came with a backup: in a tar, in the data directory, in directories that `pg_receivewal` or an archive filled.
//! All of it is read; of several copies of a segment a good one counts.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::copies::{At, Bad, Copies, Copy, Judged, SegmentRange, judge};
use super::entries::{self, Entry, Kind};
use super::fault::{Fault, io_fault};
use super::supply::Item;
use super::unpack;
use crate::format::wal::SegmentHeader;
use crate::format::{SegmentName, SegmentSize, WalFileName};
use crate::limits::WAL_FILE_BYTES_MAX;

const GIVE_WAL: &str = "give the directory that holds it: --wal DIR. What the repository has already, `stonewal wal fetch NAME DIR/NAME` writes there. A backup cannot be restored without the WAL that was written while it was taken";

/// A segment that a backup needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) name: SegmentName,
    pub(super) at: At,
    /// SHA-256 of what was found there.
    pub(super) sum: [u8; 32],
}

/// What of a WAL directory is stored, and what is to be said of the rest.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    pub(super) items: Vec<Item>,
    pub(super) warnings: Vec<String>,
}

/// Segments by name, with every copy of each.
#[derive(Debug)]
pub(super) struct Found {
    /// The WAL that makes the backup consistent.
    needed: SegmentRange,
    segments: BTreeMap<String, (SegmentName, Copies)>,
    /// Whose they are: all of one cluster.
    identity: Option<(u64, SegmentSize, PathBuf)>,
}

impl Found {
    pub(super) fn new(needed: SegmentRange) -> Self {
        Self { needed, segments: BTreeMap::new(), identity: None }
    }

    /// Reads a segment of the backup.
    pub(super) fn look(
        &mut self,
        place: &Path,
        name: SegmentName,
        at: At,
        content: &mut dyn Read,
    ) -> Result<(), Fault> {
        self.add(place, name, (at, None), content)
    }

    fn add(
        &mut self,
        place: &Path,
        name: SegmentName,
        (at, given): (At, Option<WalFileName>),
        content: &mut dyn Read,
    ) -> Result<(), Fault> {
        let judged =
            judge(place, name, &self.needed, content, |header| same_cluster(&mut self.identity, place, header))?;
        let (_, copies) = self.segments.entry(name.to_string()).or_insert_with(|| (name, Copies::default()));
        if !matches!(at, At::File(_)) && copies.good.iter().any(|copy| copy.at == at) {
            return Err(Fault::damaged(place, format!("WAL segment {name} is in it twice")));
        }
        match judged {
            Judged::Whole(extent, sums) => copies.good.push(Copy { at, given, extent, sums }),
            Judged::Bad(why) => copies.bad.push(Bad { place: place.to_owned(), why, is_given: given.is_some() }),
        }
        Ok(())
    }

    /// Everything in `pg_wal.tar`.
    pub(super) fn look_into_tar(&mut self, tar: &Path) -> Result<(), Fault> {
        entries::of_tar(tar, &mut |entry, content| match segment(&entry.path, entry) {
            Some(name) => self.look(tar, name, At::Tar(tar.to_owned()), content),
            None => Ok(()),
        })
    }

    /// Every file of a WAL directory.
    pub(super) fn look_at(&mut self, files: &[Item]) -> Result<(), Fault> {
        for Item { path, name } in files {
            let mut content = unpack::open(path)?;
            match *name {
                WalFileName::Segment(segment) | WalFileName::Partial(segment) => {
                    self.add(path, segment, (At::File(path.clone()), Some(*name)), &mut *content)?;
                }
                WalFileName::History(_) | WalFileName::BackupHistory(..) => check_small(path, *name, &mut *content)?,
            }
        }
        Ok(())
    }

    /// Whose the WAL is, and the size of its segments.
    pub(super) fn identity(&self, place: &Path) -> Result<(u64, SegmentSize, &Path), Fault> {
        if let Some((owner, size, path)) = &self.identity {
            return Ok((*owner, *size, path));
        }
        match self.segments.values().find_map(|(name, copies)| Some((*name, copies.wrong(place)?))) {
            Some((name, bad)) => Err(not_whole(name, bad)),
            None => Err(Fault::Refused { path: place.to_owned(), why: "no WAL is with it".into(), way_out: GIVE_WAL }),
        }
    }

    /// Every segment from start to stop, or what is wrong with the first that is not there whole.
    pub(super) fn needs(&self, place: &Path, size: SegmentSize) -> Result<Vec<Need>, Fault> {
        let SegmentRange { timeline, start, stop } = self.needed;
        let (mut at, mut needs) = (start.floor(size.bytes()), Vec::new());
        while at < stop {
            let name = SegmentName::holding(timeline, at, size);
            needs.push(self.need(place, name, self.needed.bytes_in(name, size))?);
            at = at.plus(size.bytes());
        }
        Ok(needs)
    }

    /// The copy of a segment that goes with the backup, of which it needs the first `bytes`.
    fn need(&self, place: &Path, name: SegmentName, bytes: u64) -> Result<Need, Fault> {
        let SegmentRange { start, stop, .. } = self.needed;
        let missing = || {
            let why = format!("WAL segment {name} is missing: the backup needs the WAL from {start} to {stop}");
            Fault::Refused { path: place.to_owned(), why, way_out: GIVE_WAL }
        };
        let (_, copies) = self.segments.get(&name.to_string()).ok_or_else(missing)?;
        let good = || copies.good.iter().filter(|copy| copy.extent.holds(bytes));
        let most = good().reduce(|most, copy| if copy.sums.last.len() > most.sums.last.len() { copy } else { most });
        let Some(most) = most else {
            return Err(copies.wrong(place).map_or_else(missing, |bad| not_whole(name, bad)));
        };
        match good().find(|other| !most.sums.covers(&other.sums)) {
            Some(other) => Err(differ(place, name, most, other)),
            None => Ok(Need { name, at: most.at.clone(), sum: most.sums.all }),
        }
    }

    /// What of the WAL directory is stored: of every segment one copy, as a partial if it was never finished.
    pub(super) fn choose(&self, place: &Path, given: &[Item]) -> Result<Chosen, Fault> {
        let mut chosen = Chosen::default();
        for (name, copies) in self.segments.values() {
            let Some(item) = chosen.best(place, *name, copies)? else { continue };
            chosen.items.push(item);
        }
        chosen.tell_unfinished();
        let small = |item: &&Item| matches!(item.name, WalFileName::History(_) | WalFileName::BackupHistory(..));
        let mut names = std::collections::HashSet::new();
        // Segments say whose they are, small files do not. Of small ones that are there twice the first counts.
        chosen.items.extend(given.iter().filter(small).filter(|item| names.insert(item.name)).cloned());
        Ok(chosen)
    }
}

fn differ(place: &Path, name: SegmentName, one: &Copy, other: &Copy) -> Fault {
    let (first, second) = (one.at.told(), other.at.told());
    Fault::Refused {
        path: place.to_owned(),
        why: format!("WAL segment {name} is there twice, whole, with different contents: {first} and {second}"),
        way_out: "find out which is of this cluster (what archived it, and when), move the other elsewhere, and import again; nothing was stored",
    }
}

fn not_whole(name: SegmentName, Bad { place, why, .. }: Bad) -> Fault {
    Fault::Refused {
        path: place,
        why: format!("WAL segment {name} is not whole: {why}"),
        way_out: "give a directory with a whole copy of it (--wal DIR; one that is whole counts, wherever it lies), or move this one elsewhere if the backup does not need it; nothing was stored",
    }
}

fn same_cluster(
    known: &mut Option<(u64, SegmentSize, PathBuf)>,
    place: &Path,
    header: &SegmentHeader,
) -> Result<(), Fault> {
    let found = (header.system_identifier, header.segment_bytes);
    let (owner, size, _) = known.get_or_insert((found.0, found.1, place.to_owned()));
    if (*owner, *size) != found {
        let why = format!("it is WAL of cluster {}, and other WAL is of {owner}", found.0);
        return Err(Fault::damaged(place, why));
    }
    Ok(())
}

/// Refuses a history or backup history file that cannot be one.
fn check_small(path: &Path, name: WalFileName, content: &mut dyn Read) -> Result<(), Fault> {
    let most = WAL_FILE_BYTES_MAX as u64;
    let bytes = std::io::copy(&mut content.take(most + 1), &mut std::io::sink()).map_err(io_fault(path))?;
    if bytes > most {
        return Err(Fault::damaged(path, format!("it has more than {most} bytes; {name} should be a few lines")));
    }
    Ok(())
}

impl Chosen {
    /// The copy of a segment that is stored; `None` where only the backup holds one.
    fn best(&mut self, place: &Path, name: SegmentName, copies: &Copies) -> Result<Option<Item>, Fault> {
        let best = match copies.complete_given() {
            Ok(complete) => complete,
            Err((one, other)) => return Err(differ(place, name, one, other)),
        };
        let Some(best) = best.or_else(|| copies.longest_given()) else {
            let Some(bad) = copies.wrong_given(place).next() else { return Ok(None) };
            if copies.good.iter().all(|copy| copy.given.is_some()) {
                return Err(not_whole(name, bad));
            }
            self.warnings.push(format!(
                "{} is not stored as WAL: {}. The backup has a copy of its own; moments behind it need a whole one: `stonewal wal push FILE`",
                bad.place.display(),
                bad.why
            ));
            return Ok(None);
        };
        for bad in copies.wrong_given(place) {
            let (path, why) = (bad.place.display(), &bad.why);
            self.warnings.push(format!("{path} is not used: {why}. Another copy of the segment is"));
        }
        let At::File(path) = &best.at else { return Ok(None) };
        let name = if best.is_complete() { WalFileName::Segment(name) } else { WalFileName::Partial(name) };
        Ok(Some(Item { path: path.clone(), name }))
    }

    /// Segments that were never finished are no news where they are called so.
    fn tell_unfinished(&mut self) {
        let items = self.items.iter();
        let renamed = items.filter(|item| matches!(item.name, WalFileName::Partial(_)) && !item.is_called_partial());
        let told = renamed.map(|item| {
            format!(
                "{} was never finished: what is behind its last page is no WAL, and the rest is stored as a partial. If a whole one turns up, `stonewal wal push FILE`",
                item.path.display()
            )
        });
        self.warnings.extend(told.collect::<Vec<_>>());
    }
}

/// The segment that a regular entry of a tar is, `name` being that below `pg_wal`.
pub(super) fn segment(name: &str, entry: &Entry) -> Option<SegmentName> {
    match name.parse() {
        Ok(WalFileName::Segment(segment)) if entry.kind == Kind::File => Some(segment),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
