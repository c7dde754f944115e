//! The versions of a listing, one after the other, newest of a key first: what is held of them is one key, one folder and
//! counters. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::copies::{Copies, Standing};
use super::counts::Protection;
use super::plans::{Fate, Plans};
use super::prices::{Prices, USUAL};
use super::{Amount, Area, LocksBy, Outcome, Part, Place, Shares, Uploads};
use crate::format::names::Names;
use crate::format::{BackupId, ClusterName};
use crate::limits::COST_CLUSTERS_MAX;
use crate::retention::Item;
use crate::store::Entry;

/// Why something is paid for in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForeignKind {
    /// Its name is none of ours.
    UnknownName,
    /// It lies in a folder that is named like a cluster, in which nothing is signed or looks like a manifest.
    UnknownCluster,
    /// It was written over another object. Where an answer was lost, a PUT of ours was sent twice.
    LaterVersion,
    /// A delete marker.
    DeleteMarker,
    /// It lies in the folder of a backup whose manifest does not name it: the bytes beyond the manifest's. What becomes of it is
    /// what becomes of the backup.
    Stray,
}

/// What is not ours, of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Foreign {
    /// The kind.
    pub kind: ForeignKind,
    /// Versions or delete markers; of strays, folders that hold some.
    pub count: u64,
    /// Bytes.
    pub bytes: u64,
    /// A key, or of strays a folder.
    pub example: String,
}

/// What counting goes by.
pub(super) struct Terms<'a> {
    pub(super) names: &'a Names,
    pub(super) plans: &'a Plans,
    pub(super) copies: &'a Copies,
    pub(super) prices: &'a Prices,
    /// Whether what bears this name is an identity bundle that another one replaced.
    pub(super) is_retired: &'a (dyn Fn(&str) -> bool + Sync),
    pub(super) now: Timestamp,
    /// How long objects are locked when they are stored.
    pub(super) retain: SignedDuration,
    /// The same of partials.
    pub(super) partial_retain: SignedDuration,
}

/// The folder of a backup while it passes by.
struct Folder {
    cluster: ClusterName,
    backup: BackupId,
    bytes: u64,
}

/// The counters.
pub(super) struct Tally<'a> {
    terms: Terms<'a>,
    /// The version before this one, of which it is not yet known whether it is the first of its key.
    passing: Option<(Entry, Option<Protection>)>,
    folder: Option<Folder>,
    clusters: BTreeSet<ClusterName>,
    areas: BTreeMap<Place, Area>,
    shares: Shares,
    foreign: BTreeMap<ForeignKind, Foreign>,
    unjudged: Amount,
}

impl<'a> Tally<'a> {
    pub(super) fn new(terms: Terms<'a>) -> Self {
        let shares = Shares::new(terms.prices.any());
        Self {
            terms,
            passing: None,
            folder: None,
            clusters: BTreeSet::new(),
            areas: BTreeMap::new(),
            shares,
            foreign: BTreeMap::new(),
            unjudged: Amount::default(),
        }
    }

    /// The next version or delete marker, with what keeps it, if that was asked.
    pub(super) fn take(&mut self, entry: Entry, asked: Option<Protection>) {
        if entry.delete_marker {
            let (owner, _, place) = Place::of(self.terms.names, entry.key.as_str());
            self.area(place, owner.as_ref()).markers += 1;
            self.note(ForeignKind::DeleteMarker, entry.bytes, entry.key.as_str());
            return;
        }
        let over = self.passing.take();
        if let Some((newer, protection)) = over {
            let later = newer.is_beside(&entry);
            self.count(&newer, protection, later);
        }
        self.passing = Some((entry, asked));
    }

    /// One version; `later` if it lies over another one of its key.
    fn count(&mut self, entry: &Entry, asked: Option<Protection>, later: bool) {
        let key = entry.key.as_str();
        let (owner, item, place) = Place::of(self.terms.names, key);
        self.area(place, owner.as_ref()).count(entry);
        let standing = self.standing(owner.as_ref(), &item, entry);
        let foreign = match (&item, &owner) {
            (Item::Unknown | Item::OtherCluster(_), _) => Some(ForeignKind::UnknownName),
            (_, Some(cluster)) if self.terms.plans.disowns(cluster) => Some(ForeignKind::UnknownCluster),
            _ if later && standing == Standing::Usual => Some(ForeignKind::LaterVersion),
            _ => None,
        };
        match foreign {
            Some(kind) => self.note(kind, entry.bytes, key),
            None if later && standing == Standing::Unknown => self.unjudged.add(entry.bytes),
            None => {}
        }
        let retired = matches!(item, Item::Foundation) && (self.terms.is_retired)(key);
        let fate = foreign.is_none().then(|| match self.terms.plans.fate(owner.as_ref(), &item) {
            _ if retired => Fate::Expires,
            // The copy is what is kept.
            Fate::Kept(_) if standing == Standing::Replaced => Fate::Expires,
            fate => fate,
        });
        let by = asked.unwrap_or_else(|| self.projected(entry, &item, fate));
        let price = self.terms.prices.of(entry.class.as_deref().unwrap_or(USUAL));
        let share = match fate {
            Some(Fate::Kept(_)) => &mut self.shares.kept,
            Some(Fate::Expires) => &mut self.shares.expires,
            Some(Fate::Left) => &mut self.shares.left,
            None => &mut self.shares.foreign,
        };
        share.take(entry.bytes, by, self.terms.now, price);
        if let (Some(cluster), Item::Backup(backup), None) = (owner, item, foreign) {
            self.inside(cluster, backup, entry.bytes);
        }
    }

    /// Of WAL, of which `reencrypt --wal` makes copies under the same name.
    fn standing(&self, owner: Option<&ClusterName>, item: &Item, entry: &Entry) -> Standing {
        match (owner, item) {
            (Some(cluster), Item::Piece { .. } | Item::Notes(_) | Item::History(_)) => {
                self.terms.copies.standing(cluster, entry)
            }
            _ => Standing::Usual,
        }
    }

    /// Until when a lock will hold by plan and settings.
    fn projected(&self, entry: &Entry, item: &Item, fate: Option<Fate>) -> Protection {
        let retain = match item {
            Item::Partial { .. } => self.terms.partial_retain,
            Item::Canary => SignedDuration::ZERO,
            _ => self.terms.retain,
        };
        // Nothing is locked where nothing is locked when it is stored.
        let stored = (!retain.is_zero()).then(|| entry.last_modified.checked_add(retain).unwrap_or(Timestamp::MAX));
        let until = match fate {
            Some(Fate::Kept(until)) => stored.map(|stored| stored.max(until)),
            Some(Fate::Expires) => stored,
            Some(Fate::Left) | None => None,
        };
        Protection { until, held: false }
    }

    /// The counters of a place. Folders beyond the first thousand clusters share some.
    fn area(&mut self, place: Place, owner: Option<&ClusterName>) -> &mut Area {
        let place = match &place.cluster {
            _ if owner.is_some_and(|owner| self.terms.plans.disowns(owner)) => {
                Place { cluster: None, part: Part::Unknown }
            }
            Some(cluster) if self.clusters.contains(cluster) => place,
            Some(cluster) if self.clusters.len() < COST_CLUSTERS_MAX => {
                self.clusters.insert(cluster.clone());
                place
            }
            Some(_) => Place { cluster: None, part: Part::MoreClusters },
            None => place,
        };
        self.areas.entry(place).or_insert_with_key(|place| Area::at(Some(place.clone())))
    }

    fn note(&mut self, kind: ForeignKind, bytes: u64, example: &str) {
        let none = || Foreign { kind, count: 0, bytes: 0, example: example.to_owned() };
        let noted = self.foreign.entry(kind).or_insert_with(none);
        noted.count += 1;
        noted.bytes += bytes;
    }

    /// One version more in the folder of a backup.
    fn inside(&mut self, cluster: ClusterName, backup: BackupId, bytes: u64) {
        match &mut self.folder {
            Some(folder) if folder.backup == backup && folder.cluster == cluster => folder.bytes += bytes,
            _ => {
                self.leave_folder();
                self.folder = Some(Folder { cluster, backup, bytes });
            }
        }
    }

    /// Whether a folder held more than its manifest names is known when it has passed by.
    fn leave_folder(&mut self) {
        let Some(Folder { cluster, backup, bytes }) = self.folder.take() else { return };
        let Some(named) = self.terms.plans.bytes_of(&cluster, &backup) else { return };
        if bytes > named {
            let folder = self.terms.names.backup(&cluster, &backup);
            self.note(ForeignKind::Stray, bytes - named, &folder);
        }
    }

    /// Everything, once the listing has ended.
    pub(super) fn told(mut self, location: String, locks: LocksBy, uploads: Uploads) -> Outcome {
        if let Some((last, protection)) = self.passing.take() {
            self.count(&last, protection, false);
        }
        self.leave_folder();
        let (mut areas, of_none): (Vec<Area>, Vec<Area>) =
            self.areas.into_values().partition(|area| area.place.as_ref().is_some_and(|place| place.cluster.is_some()));
        areas.extend(of_none);
        let prices = self.terms.prices;
        let mut total = Area::at(None);
        for area in &mut areas {
            area.price(prices);
            total.merge(area);
        }
        total.price(prices);
        let paid_for = |(class, amount): (&String, &Amount)| {
            (prices.any() && amount.bytes > 0 && prices.of(class).is_none()).then(|| class.clone())
        };
        Outcome {
            location,
            at: self.terms.now,
            locks,
            planned: self.terms.plans.any(),
            shares: self.shares,
            foreign: self.foreign.into_values().collect(),
            unjudged: self.unjudged,
            uploads,
            unpriced: total.classes.iter().filter_map(paid_for).collect(),
            areas,
            total,
        }
    }
}

#[cfg(test)]
mod tests;
