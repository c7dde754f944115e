//! `stonewal audit log`: who did what.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;

use crate::catalog::{Access, AuditListing, AuditSeen, Finding, FindingKind, Repository};
use crate::commands::{Connected, RepositoryOptions, Result};
use crate::format::audit::AuditRecord;
use crate::format::{BackupId, ClusterName};
use crate::limits::{AUDIT_LOG_MAX, AUDIT_READS};
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
    let (mut records, mut findings, mut cut) = (Vec::new(), Findings::default(), false);
    let mut listing = AuditListing::of(&repository, filter.since);
    while let Some(seen) = listing.next().await? {
        let written = |one: &AuditSeen| repository.names().audit_of(one.entry.key.as_str()).and_then(|id| id.time());
        let later = |one: &AuditSeen| written(one).zip(filter.until).is_some_and(|(at, until)| at > until);
        let wanted: Vec<_> = seen.into_iter().filter(|one| !later(one)).collect();
        let reads = wanted.into_iter().map(|one| read(&repository, one));
        let found: Vec<_> = stream::iter(reads).buffered(AUDIT_READS).try_collect().await?;
        for (row, beside) in found {
            findings.extend(beside);
            if let Some(row) = row.filter(|row| filter.takes(&row.record)) {
                records.push(row);
            }
        }
        if records.len() > AUDIT_LOG_MAX {
            records.truncate(AUDIT_LOG_MAX);
            cut = true;
            break;
        }
    }
    records.sort_by(|a, b| (a.record.at, &a.record.record).cmp(&(b.record.at, &b.record.record)));
    Ok(Outcome { location: connected.location, records, cut, findings })
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
