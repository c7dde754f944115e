//! What the server says of its WAL: where it is, who takes it away, and what stands in the way.
//!
//! Everything is read by plain SQL as whatever role there is. What the role may not read is named in
//! [`WalFacts::unread`] and is no error: a health check must say what it does not see, not fall silent.
//! Views and functions: PostgreSQL docs 27.2 "The Cumulative Statistics System", 54.19 "pg_replication_slots",
//! 9.28 "System Administration Functions".

use jiff::Timestamp;
use serde::Serialize;

use super::slot::WalStatus;
use super::{Error, Result, Session};
use crate::format::{Lsn, SegmentSize, Timeline};

mod read;

/// The server at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WalFacts {
    /// `server_version_num`, such as 150018.
    pub version: u32,
    /// Whether it is in recovery.
    pub standby: bool,
    /// The server's clock.
    pub now: Timestamp,
    /// What identifies the cluster. As text in JSON: many readers keep 53 bits.
    #[serde(serialize_with = "as_text")]
    pub system_identifier: Option<u64>,
    /// The timeline it writes, or follows.
    pub timeline: Option<Timeline>,
    /// End of the WAL that is on its disk: what could be lost ends here.
    pub position: Option<Lsn>,
    /// Settings that decide how WAL leaves the server.
    pub settings: WalSettings,
    /// Time of the newest commit; only with `track_commit_timestamp`.
    pub last_commit_at: Option<Timestamp>,
    /// All replication slots.
    pub slots: Option<Vec<Slot>>,
    /// Connections that stream WAL under our name.
    pub senders: Option<Vec<Sender>>,
    /// What the archiver has done so far.
    pub archiver: Option<Archiver>,
    /// Finished WAL that waits for the archiver.
    pub backlog: Option<Backlog>,
    /// Bytes in `pg_wal`.
    pub wal_bytes: Option<u64>,
    /// WAL written since a moment; PostgreSQL 14 and newer.
    pub written: Option<Written>,
    /// What could not be read, and why.
    pub unread: Vec<Unread>,
}

/// Settings that decide how WAL leaves the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct WalSettings {
    /// `wal_segment_size`.
    pub segment_bytes: Option<SegmentSize>,
    /// Whether the archiver runs here: `archive_mode` is `on` on a primary, or `always`.
    pub archiving: bool,
    /// `archive_timeout`; 0 means that an unfinished segment may wait for ever.
    pub archive_timeout_seconds: u64,
    /// `max_slot_wal_keep_size`; `None` = unlimited.
    pub slot_keep_bytes: Option<u64>,
}

/// A replication slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slot {
    /// Name.
    pub name: String,
    /// Whether it is for physical replication.
    pub physical: bool,
    /// Whether someone streams from it.
    pub active: bool,
    /// Who.
    pub active_pid: Option<i32>,
    /// The oldest WAL that it keeps; `None` if it keeps none (yet).
    pub restart_lsn: Option<Lsn>,
    /// What has become of that WAL.
    pub wal_status: Option<WalStatus>,
    /// Bytes that can be written before its WAL may be removed; `None` = without limit, or lost.
    pub safe_bytes: Option<i64>,
    /// Bytes between the WAL that it keeps and the end.
    pub retained_bytes: Option<u64>,
}

/// A row of `pg_stat_replication`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sender {
    /// Process of the server.
    pub pid: i32,
    /// `startup`, `catchup`, `streaming`, …
    pub state: Option<String>,
    /// `async`, `potential`, `sync`, `quorum`.
    pub sync_state: Option<String>,
    /// What the receiver confirmed as durable.
    pub flush_lsn: Option<Lsn>,
}

/// `pg_stat_archiver`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Archiver {
    /// Files archived.
    pub archived: u64,
    /// The last of them.
    pub last_archived: Option<String>,
    /// When.
    pub last_archived_at: Option<Timestamp>,
    /// Failed attempts.
    pub failed: u64,
    /// The file of the last one.
    pub last_failed: Option<String>,
    /// When.
    pub last_failed_at: Option<Timestamp>,
}

impl Archiver {
    /// Whether the last attempt failed.
    pub fn is_failing(&self) -> bool {
        self.last_failed_at.is_some_and(|failed| self.last_archived_at.is_none_or(|archived| archived <= failed))
    }
}

/// Files with `.ready` in `pg_wal/archive_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Backlog {
    /// How many.
    pub files: u64,
    /// Bytes of WAL that they stand for, when each is a segment.
    pub bytes: Option<u64>,
    /// Since when the oldest one waits.
    pub oldest_at: Option<Timestamp>,
}

/// `pg_stat_wal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Bytes of WAL generated.
    pub bytes: u64,
    /// Since when.
    pub since: Timestamp,
}

/// A fact that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// Which one.
    pub fact: &'static str,
    /// The server's words.
    pub why: String,
}

impl WalFacts {
    /// The slot called `name`.
    pub fn slot(&self, name: &str) -> Option<&Slot> {
        self.slots.iter().flatten().find(|slot| slot.name == name)
    }
}

impl Session {
    /// Reads everything; `application_name` is what our own streamer calls itself. PostgreSQL 13 and newer.
    pub async fn wal_facts(&self, application_name: &str) -> Result<WalFacts> {
        read::Reader::new(self).all(application_name).await
    }

    /// End of the WAL on the server's disk, and nothing else: for a second look.
    pub async fn wal_position(&self) -> Result<Option<Lsn>> {
        let row = self.client().query_one(read::POSITION, &[]).await;
        let row = row.map_err(|e| Error::sql("read the position of the WAL", e))?;
        Ok(read::lsn(row.get(1)))
    }
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
fn as_text<S: serde::Serializer>(number: &Option<u64>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    number.map(|number| number.to_string()).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archiver_fails_when_its_last_attempt_did() {
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        for (archived, failed, failing) in [
            (None, None, false),
            (at(1), None, false),
            (None, at(1), true),
            (at(1), at(2), true),
            (at(2), at(1), false),
        ] {
            let archiver = Archiver {
                archived: 0,
                last_archived: None,
                last_archived_at: archived,
                failed: 0,
                last_failed: None,
                last_failed_at: failed,
            };
            assert_eq!(archiver.is_failing(), failing, "{archived:?} {failed:?}");
        }
    }
}
