//! WAL whose lock is short and that may be nobody's.

use std::collections::HashMap;

use jiff::Timestamp;

use super::Look;
use super::tally::Asked;
use crate::catalog::{Finding, FindingKind};
use crate::commands::Result;
use crate::format::names::WalName;
use crate::store::{Entry, VersionOf};

impl Look<'_> {
    /// Whether what cannot be read lies before a version that seems genuine: then one of both was planted, and which one cannot be said.
    pub(super) async fn seems_planted(&self, entry: &Entry, others: &HashMap<VersionOf, Entry>) -> Result<bool> {
        for other in others.values().filter(|other| other.key == entry.key && other.version != entry.version) {
            if self.repository.authenticates(self.cluster, other).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A short lock of something that may be ours and may be nobody's.
    pub(super) fn doubted(&mut self, entry: &Entry, lock: Asked, until: Timestamp) {
        let ends = lock.until().map_or_else(|| "it is not locked".into(), |at| format!("its lock ends {at}"));
        let class = entry.class.as_deref().unwrap_or_default();
        let detail = format!(
            "it lies in an archive tier ({class}) before the version that seems genuine: it may be planted, or ours with a copy laid over it. Then {ends}, and it is needed until {until}; `retention extend` locks it as well"
        );
        let (key, version) = (entry.key.as_str(), Some(entry.version.as_str()));
        self.beside.push(Finding::new(FindingKind::Opaque, key, version, detail));
    }

    /// Something that is not genuine. Where the genuine one lies beside it, that is asked for its lock; else it is told.
    pub(super) async fn planted(&mut self, entry: &Entry) -> Result<()> {
        let names = self.repository.names();
        let Some(name) = names.wal_of(self.cluster, entry.key.as_str()).map(WalName::without_tag) else {
            return Ok(());
        };
        if self.repository.first_genuine_wal(self.cluster, name).await?.is_none() {
            let (key, version) = (entry.key.as_str(), Some(entry.version.as_str()));
            let detail = "no genuine WAL lies under this name; `stonewal wal verify` tells whether any is missing";
            self.beside.push(Finding::new(FindingKind::ForgedWal, key, version, detail));
        }
        Ok(())
    }
}
