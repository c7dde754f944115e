//! When the locks of what is needed end. Asking every object would cost a request for each (`verify --locks` does); a few tell
//! enough, since locks of one kind are set alike: the newest base backup's manifest, keys, first and last chunk, identity bundle
//! and certificate, the oldest WAL behind it, and the newest. Where there are dumps only, the same of the newest dump.

use crate::catalog::{Footing, Foundation};
use crate::commands::Result;
use crate::commands::frozen::first_unreadable;
use crate::commands::status::bucket::Look;
use crate::commands::status::facts::{LockEnd, Locks, ShortLock};
use crate::commands::status::window::View;
use crate::format::names::WalName;
use crate::format::wal::{WalRange, piece_bytes};
use crate::format::{Lsn, Timeline};
use crate::keys::Keyring;
use crate::store::{Lock, ObjectKey, Read as _, VersionId};

pub(super) async fn ask(look: &Look<'_>, view: &View) -> Result<Locks> {
    let mut locks = Locks::default();
    let Some((kind, objects)) = look.backups.newest() else { return Ok(locks) };
    locks.kind = Some(kind);
    let promised = ask_one(look, &objects.manifest.key, &objects.manifest.version, &mut locks).await?;
    for (key, version) in &objects.named {
        let found = ask_one(look, key, version, &mut locks).await?;
        compare(key, found, promised, &mut locks);
    }
    ask_ground(look, &objects.writer, promised, &mut locks).await?;
    for (timeline, range) in edges(look, view) {
        let name = WalName::Piece { timeline, range, tag: None };
        // What is frozen does not tell what it is; where nothing else is there, it is ours.
        let found = match look.repository.counting_wal(look.cluster, name).await? {
            None => first_unreadable(look.repository, look.cluster, &name).await?,
            found => found,
        };
        if let Some(entry) = found {
            ask_one(look, &entry.key, &entry.version, &mut locks).await?;
        }
    }
    Ok(locks)
}

/// The first and the last whole piece on the way from the newest base backup. Partials are locked briefly on purpose.
fn edges(look: &Look<'_>, view: &View) -> Vec<(Timeline, WalRange)> {
    let (Some(segment), Some(route)) = (look.segment(), &view.route) else { return Vec::new() };
    let from = route.base.range.stop.floor(piece_bytes(segment));
    let mut edges = Vec::new();
    for leg in &route.legs {
        let Some(coverage) = look.wal.timelines.get(&leg.timeline) else { continue };
        for run in &coverage.pieces {
            let (start, end) =
                (run.start.max(from), run.end.min(leg.end.plus(piece_bytes(segment) - 1).floor(piece_bytes(segment))));
            if start < end {
                edges.push((leg.timeline, WalRange::piece(start, segment)));
                edges.push((leg.timeline, WalRange::piece(Lsn::new(end.get() - 1), segment)));
            }
        }
    }
    let ends = edges.first().copied().into_iter().chain(edges.last().copied());
    let mut ends: Vec<_> = ends.collect();
    ends.dedup();
    ends
}

/// Identity bundle and certificate: of their copies, one that outlasts the manifest, or else the longest.
async fn ask_ground(look: &Look<'_>, writer: &str, promised: Option<Lock>, locks: &mut Locks) -> Result<()> {
    let bundle = look.repository.with_keyring(Keyring::bundle).map(Foundation::Bundle);
    for foundation in bundle.into_iter().chain([Foundation::Certificate(writer)]) {
        let found = look.repository.footings(foundation, promised).await?;
        if let Some(Footing { key, lock }) = Footing::best(&found, promised) {
            note(key, *lock, locks);
            compare(key, *lock, promised, locks);
        }
    }
    Ok(())
}

async fn ask_one(look: &Look<'_>, key: &ObjectKey, version: &VersionId, locks: &mut Locks) -> Result<Option<Lock>> {
    let found = look.store.head(key, version).await?.lock;
    note(key, found, locks);
    Ok(found)
}

fn note(key: &ObjectKey, lock: Option<Lock>, locks: &mut Locks) {
    locks.asked += 1;
    match lock {
        Some(Lock { retain_until, .. })
            if locks.soonest.as_ref().is_none_or(|soonest| retain_until < soonest.until) =>
        {
            locks.soonest = Some(LockEnd { key: key.to_string(), until: retain_until });
        }
        Some(_) => {}
        None => {
            locks.unlocked.get_or_insert_with(|| key.to_string());
        }
    }
}

/// What a manifest needs must stay locked for as long as the manifest (invariant I11).
fn compare(key: &ObjectKey, lock: Option<Lock>, promised: Option<Lock>, locks: &mut Locks) {
    let (Some(lock), Some(promised)) = (lock, promised) else { return };
    let (until, needed_until) = (lock.retain_until, promised.retain_until);
    let sooner = locks.short.as_ref().is_none_or(|short| until < short.until);
    // Stores keep whole seconds.
    if until.as_second() < needed_until.as_second() && sooner {
        locks.short = Some(ShortLock { key: key.to_string(), until, needed_until });
    }
}
