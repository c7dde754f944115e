//! `stonewal audit log`: who did what.

use futures::{StreamExt as _, TryFutureExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;

use crate::catalog::{Access, AuditListing, AuditSeen, Finding, FindingKind, Repository};
use crate::commands::{Connected, RepositoryOptions, Result};
use crate::format::audit::AuditRecord;
use crate::format::{BackupId, ClusterName};
use crate::limits::{AUDIT_LOG_BYTES_MAX, AUDIT_READS};
use crate::verify::Findings;

/// What to list.
#[derive(Debug)]
pub struct Options {
    /// Where.
    pub repository: RepositoryOptions,
    /// Keys of any kind: they say whose records count.
    pub access: Access,
    /// Which records.
    pub filter: Filter,
}

/// Which records; everything given must fit.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Written no earlier than this.
    pub since: Option<Timestamp>,
    /// Written no later than this.
    pub until: Option<Timestamp>,
    /// Of this deed, or of one that begins with its words: `backup` means `backup.dump` too.
    pub deed: Option<String>,
    /// Of this cluster.
    pub cluster: Option<ClusterName>,
    /// By this user.
    pub who: Option<String>,
    /// On this host.
    pub host: Option<String>,
    /// About this backup.
    pub backup: Option<BackupId>,
}

/// One record.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What it says; without the certificate.
    #[serde(flatten)]
    pub record: AuditRecord,
    /// When it arrived (store time): nobody can choose it.
    pub arrived_at: Timestamp,
    /// Short id of the writer who signed.
    pub writer: String,
}

/// The records, oldest first, and what was found beside them.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Bucket and prefix.
    pub location: String,
    /// The records that fit.
    pub records: Vec<Row>,
    /// Whether there are more than are told at once.
    pub cut: bool,
    /// What does not belong there.
    pub findings: Findings,
}

/// Lists.
pub async fn run(options: Options) -> Result<Outcome> {
    let connected = Connected::to(&options.repository).await?;
    let repository = connected.open(options.access).await?;
    let filter = &options.filter;
    let (mut told, mut findings) = (Told::default(), Findings::default());
    let mut listing = AuditListing::of(&repository, filter.since);
    while let Some(seen) = listing.next().await?.filter(|_| !told.cut) {
        let written = |one: &AuditSeen| repository.names().audit_of(one.entry.key.as_str()).and_then(|id| id.time());
        let later = |one: &AuditSeen| written(one).zip(filter.until).is_some_and(|(at, until)| at > until);
        let wanted: Vec<_> = seen.into_iter().filter(|one| !later(one)).collect();
        let reads = wanted.into_iter().map(|one| {
            let bytes = one.entry.bytes;
            read(&repository, one).map_ok(move |(row, beside)| (row, bytes, beside))
        });
        let mut found = std::pin::pin!(stream::iter(reads).buffered(AUDIT_READS));
        while let Some((row, bytes, beside)) = found.try_next().await?.filter(|_| !told.cut) {
            findings.extend(beside);
            if let Some(row) = row.filter(|row| filter.takes(&row.record)) {
                told.add(row, bytes);
            }
        }
    }
    let Told { mut records, cut, .. } = told;
    records.sort_by(|a, b| (a.record.at, &a.record.record).cmp(&(b.record.at, &b.record.record)));
    Ok(Outcome { location: connected.location, records, cut, findings })
}

/// The records of a list, as many as are told at once (invariant I12).
#[derive(Debug)]
struct Told<T = Row> {
    records: Vec<T>,
    bytes: u64,
    cut: bool,
}

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self { records: Vec::new(), bytes: 0, cut: false }
    }
}

impl<T> Told<T> {
    /// Adds one that is stored in so many bytes, unless it is too much.
    fn add(&mut self, record: T, bytes: u64) {
        self.bytes += bytes;
        self.cut |= self.bytes > AUDIT_LOG_BYTES_MAX;
        if !self.cut {
            self.records.push(record);
        }
    }
}

async fn read(repository: &Repository, seen: AuditSeen) -> Result<(Option<Row>, Vec<Finding>)> {
    let (entry, mut beside) = (seen.entry, seen.overlays);
    Ok(match repository.audit_record(&entry, true).await? {
        Ok(found) => {
            let record = AuditRecord { certificate: None, ..found.record };
            (Some(Row { record, arrived_at: entry.last_modified, writer: found.writer.id() }), beside)
        }
        Err(why) => {
            let version = Some(entry.version.as_str());
            beside.push(Finding::new(FindingKind::ForgedAudit, entry.key.as_str(), version, why.to_string()));
            (None, beside)
        }
    })
}

impl Filter {
    fn takes(&self, record: &AuditRecord) -> bool {
        let deed = |wanted: &String| {
            record.deed.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let named = |id: &BackupId| record.objects.iter().any(|one| one.kind == "backup" && one.name == id.as_str());
        self.since.is_none_or(|since| record.at >= since)
            && self.until.is_none_or(|until| record.at <= until)
            && self.deed.as_ref().is_none_or(deed)
            && self.cluster.as_ref().is_none_or(|cluster| record.cluster.as_ref() == Some(cluster))
            && self.who.as_ref().is_none_or(|who| record.who == *who)
            && self.host.as_ref().is_none_or(|host| record.host == *host)
            && self.backup.as_ref().is_none_or(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i12_no_more_is_told_than_has_room() {
        let mut told = Told::default();
        told.add("first", AUDIT_LOG_BYTES_MAX - 10);
        told.add("second", 10);
        assert!(!told.cut);
        told.add("third", 1);
        told.add("fourth", 0);
        assert!(told.cut && told.records == ["first", "second"], "{told:?}");
    }
}
