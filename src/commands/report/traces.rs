//! What the audit log knows of a drill.

use jiff::{SignedDuration, Timestamp};

use crate::catalog::Repository;
use crate::catalog::each_entry;
use crate::commands::Result;
use crate::format::audit::{AuditPhase, AuditRecord};
use crate::format::evidence::Evidence;
use crate::limits::CHECKLIST_RECORDS_MAX;
use crate::store::Entry;

/// Records are written just before a deed and just behind it.
const BEFORE: SignedDuration = SignedDuration::from_mins(10);
const BEHIND: SignedDuration = SignedDuration::from_mins(30);

/// What there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trace {
    /// A record of its end.
    Ended {
        /// The record.
        record: String,
    },
    /// A record of its beginning alone.
    BegunOnly {
        /// The record.
        record: String,
    },
    /// Nothing.
    None,
}

/// Looks for the records of a drill; `None` without a drill.
pub(super) async fn of(repository: &Repository, drill: Option<&Evidence>) -> Result<Option<Trace>> {
    let Some(drill) = drill else { return Ok(None) };
    let mut trace = Trace::None;
    for entry in entries(repository, drill).await? {
        let Ok(found) = repository.audit_record(&entry, true).await? else { continue };
        let record = found.record;
        if !tells_of(&record, drill) {
            continue;
        }
        let id = record.record.to_string();
        match record.phase {
            AuditPhase::Ended => return Ok(Some(Trace::Ended { record: id })),
            AuditPhase::Begun => trace = Trace::BegunOnly { record: id },
        }
    }
    Ok(Some(trace))
}

/// A drill of this cluster; its end names what it restored or left.
fn tells_of(record: &AuditRecord, drill: &Evidence) -> bool {
    let named = |name: &str| record.objects.iter().any(|object| object.name == name);
    let own = named(drill.evidence.as_str()) || drill.backup.as_ref().is_some_and(|backup| named(backup.id.as_str()));
    let cluster = record.cluster.as_ref().is_none_or(|cluster| *cluster == drill.cluster);
    record.deed == "drill" && cluster && (own || record.phase == AuditPhase::Begun)
}

/// The first versions of what is named like a record of that time. Names begin with their time; whoever plants more than a
/// few thousand of them hides a tick and nothing else.
async fn entries(repository: &Repository, drill: &Evidence) -> Result<Vec<Entry>> {
    let name = |at: Timestamp| at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let shifted = |at: Timestamp, by: SignedDuration| at.checked_add(by).unwrap_or(at);
    let (from, to) = (shifted(drill.started_at, -BEFORE), shifted(drill.finished_at, BEHIND));
    let (first, last) = (name(from), name(to));
    let folder = repository.names().audit();
    let mut entries: Vec<Entry> = Vec::new();
    // A drill seldom lasts for days; a day's records are one listing.
    let mut days: Vec<String> = [&first, &last].iter().map(|name| name[..8].to_owned()).collect();
    days.dedup();
    for day in days {
        each_entry(&**repository.store(), &format!("{folder}{day}"), |entry| {
            let rest = entry.key.as_str().strip_prefix(&folder).unwrap_or_default();
            let inside = rest.get(..16).is_some_and(|at| first.as_str() <= at && at <= last.as_str());
            if !inside || entry.delete_marker {
                return;
            }
            let room = entries.len() < CHECKLIST_RECORDS_MAX;
            match entries.last_mut() {
                // Newest version first: the last one seen of a key is its first.
                Some(known) if known.key == entry.key => *known = entry,
                _ if room => entries.push(entry),
                _ => {}
            }
        })
        .await?;
    }
    Ok(entries)
}
