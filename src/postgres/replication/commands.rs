//! The short commands of a replication connection (PostgreSQL docs 55.4).

use bytes::Bytes;

use super::super::{Error, Result};
use super::client::Client;
use super::failure::Fault;
use super::wire::Malformed;
use crate::format::{Lsn, SegmentSize, Timeline};

/// Who the server is and how far it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct System {
    /// Unique number of the cluster, from initdb, kept by every copy of it.
    pub system_identifier: u64,
    /// Its current timeline.
    pub timeline: Timeline,
    /// End of its WAL on disk; on a standby, of what it has received.
    pub flush_lsn: Lsn,
}

/// Where a physical slot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotPosition {
    /// Oldest WAL that the slot keeps; `None` if it keeps none yet, or has lost it.
    pub restart_lsn: Option<Lsn>,
    /// Timeline of that position.
    pub restart_timeline: Option<Timeline>,
}

/// A timeline's history file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineHistory {
    /// Its name: `00000002.history`.
    pub file_name: String,
    /// Its contents, as they are.
    pub content: Bytes,
}

impl Client {
    /// `IDENTIFY_SYSTEM`.
    pub async fn identify_system(&mut self) -> Result<System> {
        let rows = self.ask("identify the server", "IDENTIFY_SYSTEM").await?;
        let read = |row: &[Option<Bytes>]| {
            Some(System {
                system_identifier: text(row, 0)?.parse().ok()?,
                timeline: Timeline::new(text(row, 1)?.parse().ok()?).ok()?,
                flush_lsn: text(row, 2)?.parse().ok()?,
            })
        };
        let system = rows.first().and_then(|row| read(row));
        system.ok_or_else(|| self.malformed(&Malformed::new("an answer to IDENTIFY_SYSTEM that makes no sense")))
    }

    /// `SHOW`: a setting as the server spells it.
    pub async fn show(&mut self, name: &str) -> Result<String> {
        if name.is_empty() || !name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.')) {
            return Err(Error::Unsupported { what: format!("{name:?} is not the name of a setting") });
        }
        let rows = self.ask(&format!("ask for {name}"), &format!("SHOW {name}")).await?;
        let value = rows.first().and_then(|row| text(row, 0)).map(str::to_owned);
        value.ok_or_else(|| self.malformed(&Malformed::new("an answer to SHOW that makes no sense")))
    }

    /// Size of the cluster's WAL segments.
    pub async fn segment_size(&mut self) -> Result<SegmentSize> {
        let text = self.show("wal_segment_size").await?;
        let size = size_bytes(&text).and_then(|bytes| SegmentSize::new(bytes).ok());
        size.ok_or_else(|| self.malformed(&Malformed::new("a WAL segment size that there is not")))
    }

    /// Creates a physical slot. With `reserve` it keeps WAL from now on, without it from its first use on.
    pub async fn create_slot(&mut self, name: &str, reserve: bool) -> Result<()> {
        check_slot_name(name)?;
        // The spelling of 13, which the newer grammars take, too.
        let reserve = if reserve { " RESERVE_WAL" } else { "" };
        let command = format!("CREATE_REPLICATION_SLOT \"{name}\" PHYSICAL{reserve}");
        self.ask(&format!("create the replication slot {name}"), &command).await.map(drop)
    }

    /// `READ_REPLICATION_SLOT` (15 and newer; before, ask [`crate::postgres::slot`] over SQL): `None` if there is none.
    pub async fn read_slot(&mut self, name: &str) -> Result<Option<SlotPosition>> {
        check_slot_name(name)?;
        if self.server_version_num() < 150_000 {
            return Err(Error::Unsupported { what: "READ_REPLICATION_SLOT needs PostgreSQL 15".into() });
        }
        let command = format!("READ_REPLICATION_SLOT \"{name}\"");
        let rows = self.ask(&format!("read the replication slot {name}"), &command).await?;
        let wrong = |client: &mut Self| client.malformed(&Malformed::new("a replication slot that makes no sense"));
        let Some(row) = rows.first() else { return Err(wrong(self)) };
        if text(row, 0).is_none() {
            return Ok(None);
        }
        let restart_lsn = text(row, 1).map(str::parse).transpose().map_err(|_| wrong(self))?;
        let timeline = text(row, 2).map(str::parse).transpose().map_err(|_| wrong(self))?;
        // The server says 0 where it knows none.
        let restart_timeline = timeline.and_then(|number| Timeline::new(number).ok());
        Ok(Some(SlotPosition { restart_lsn, restart_timeline }))
    }

    /// Drops a slot; an error if it is in use. The WAL that it kept may go at once.
    pub async fn drop_slot(&mut self, name: &str) -> Result<()> {
        check_slot_name(name)?;
        let command = format!("DROP_REPLICATION_SLOT \"{name}\"");
        self.ask(&format!("drop the replication slot {name}"), &command).await.map(drop)
    }

    /// `TIMELINE_HISTORY`: `None` if the server has no such file; timeline 1 never has one.
    pub async fn timeline_history(&mut self, timeline: Timeline) -> Result<Option<TimelineHistory>> {
        let command = format!("TIMELINE_HISTORY {timeline}");
        let rows = match self.ask(&format!("read the history of timeline {timeline}"), &command).await {
            Err(Error::Replication { failure, .. })
                if failure.fault == Fault::Other && failure.error.code == "58P01" =>
            {
                return Ok(None);
            }
            other => other?,
        };
        let file = rows.first().and_then(|row| {
            let content = row.get(1)?.clone()?;
            Some(TimelineHistory { file_name: text(row, 0)?.to_owned(), content })
        });
        match file {
            Some(file) if file.file_name == format!("{}.history", timeline.name()) => Ok(Some(file)),
            _ => Err(self.malformed(&Malformed::new("a history file that was not asked for"))),
        }
    }
}

/// The server's own rule (`ReplicationSlotValidateName`), so that a name never needs quotes or changes a command.
pub(super) fn check_slot_name(name: &str) -> Result<()> {
    let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    if (1..=63).contains(&name.len()) && name.bytes().all(good) {
        return Ok(());
    }
    let what = "has 1 to 63 letters: a to z, 0 to 9 and _".into();
    Err(Error::Setting { name: "name of the replication slot".into(), what })
}

fn text(row: &[Option<Bytes>], at: usize) -> Option<&str> {
    row.get(at)?.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok())
}

/// A size as SHOW prints it: `16MB`, `1GB`.
fn size_bytes(text: &str) -> Option<u32> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "B" => 1,
        "kB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u32>().ok()?.checked_mul(unit)
}
