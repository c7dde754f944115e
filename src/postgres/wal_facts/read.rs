//! One statement per source, so that a missing right costs one fact and not all.

use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::{Archiver, Backlog, Sender, Slot, Unread, WalFacts, WalSettings, Written};
use crate::format::{Lsn, SegmentSize, Timeline};
use crate::postgres::error::words;
use crate::postgres::slot::WalStatus;
use crate::postgres::{Error, Result, Session};

/// Whether the server is in recovery, the end of its WAL on disk, and the file that is being written (primaries only).
pub(super) const POSITION: &str = "
    SELECT r.standby,
      CASE WHEN r.standby THEN greatest(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
           ELSE pg_catalog.pg_current_wal_flush_lsn() END::pg_catalog.text,
      CASE WHEN NOT r.standby THEN pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) END
    FROM (SELECT pg_catalog.pg_is_in_recovery()) r(standby)";

const SETTINGS: &str = "
    SELECT name, setting FROM pg_catalog.pg_settings
    WHERE name IN ('wal_segment_size', 'archive_mode', 'archive_timeout', 'max_slot_wal_keep_size', 'track_commit_timestamp')";

const CONTROL: &str = "
    SELECT s.system_identifier, c.timeline_id FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c";

/// The timeline that a standby receives may be newer than its last restart point.
const RECEIVED: &str = "SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver WHERE received_tli > 0";

const SLOTS: &str = "
    SELECT slot_name::pg_catalog.text, slot_type = 'physical', active, active_pid, restart_lsn::pg_catalog.text,
      wal_status, safe_wal_size
    FROM pg_catalog.pg_replication_slots ORDER BY 1";

/// Anyone sees the rows; their details only whoever may read statistics.
const SENDERS: &str = "
    SELECT pid, state, sync_state, flush_lsn::pg_catalog.text FROM pg_catalog.pg_stat_replication
    WHERE application_name = $1 ORDER BY pid";

const ARCHIVER: &str = "
    SELECT archived_count, last_archived_wal, (extract(epoch FROM last_archived_time) * 1000000)::pg_catalog.int8,
      failed_count, last_failed_wal, (extract(epoch FROM last_failed_time) * 1000000)::pg_catalog.int8
    FROM pg_catalog.pg_stat_archiver";

const BACKLOG: &str = "
    SELECT pg_catalog.count(*), (extract(epoch FROM pg_catalog.min(modification)) * 1000000)::pg_catalog.int8
    FROM pg_catalog.pg_ls_archive_statusdir() WHERE name ~ '\\.ready$'";

const WAL_BYTES: &str = "SELECT coalesce(pg_catalog.sum(size), 0)::pg_catalog.int8 FROM pg_catalog.pg_ls_waldir()";

const WRITTEN: &str = "
    SELECT wal_bytes::pg_catalog.int8, (extract(epoch FROM stats_reset) * 1000000)::pg_catalog.int8
    FROM pg_catalog.pg_stat_wal WHERE stats_reset IS NOT NULL";

const LAST_COMMIT: &str = "
    SELECT (extract(epoch FROM timestamp) * 1000000)::pg_catalog.int8 FROM pg_catalog.pg_last_committed_xact()";

/// Asks, and notes what is refused.
pub(super) struct Reader<'a> {
    session: &'a Session,
    unread: Vec<Unread>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(session: &'a Session) -> Self {
        Self { session, unread: Vec::new() }
    }

    pub(super) async fn all(mut self, application_name: &str) -> Result<WalFacts> {
        let now = "SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::pg_catalog.int8";
        let now = self.session.client().query_one(now, &[]).await;
        let now = now.map_err(|e| Error::sql("ask for the server's time", e))?;
        // First of all the position: whatever is found in the bucket afterwards is compared with it.
        let position = self.row("position", POSITION, &[]).await?;
        let standby = position.as_ref().map_or(self.session.is_standby(), |row| row.get(0));
        let settings = self.settings(standby).await?;
        let control = self.row("system identifier", CONTROL, &[]).await?;
        let written_file = position.as_ref().and_then(|row| row.get::<_, Option<String>>(2));
        let position = position.as_ref().and_then(|row| lsn(row.get(1)));
        let timeline = match written_file.as_deref().and_then(|name| Timeline::from_name(name.get(..8)?)) {
            Some(timeline) => Some(timeline),
            None => self.followed_timeline(control.as_ref()).await?,
        };
        Ok(WalFacts {
            version: self.session.version(),
            standby,
            now: time(now.get(0)).unwrap_or_default(),
            system_identifier: control.map(|row| row.get::<_, i64>(0).cast_unsigned()),
            timeline,
            position,
            settings: settings.0,
            last_commit_at: if settings.1 && !standby { self.last_commit().await? } else { None },
            slots: self.slots(position).await?,
            senders: self.senders(application_name).await?,
            archiver: self.archiver().await?,
            backlog: self.backlog(settings.0).await?,
            wal_bytes: self.row("size of pg_wal", WAL_BYTES, &[]).await?.map(|row| unsigned(row.get(0))),
            written: self.written().await?,
            unread: self.unread,
        })
    }

    /// The settings, and whether times of commits are kept.
    async fn settings(&mut self, standby: bool) -> Result<(WalSettings, bool)> {
        let rows = self.rows("settings", SETTINGS, &[]).await?.unwrap_or_default();
        let text = |name: &str| {
            let row = rows.iter().find(|row| row.get::<_, &str>(0) == name);
            row.and_then(|row| row.get::<_, Option<&str>>(1)).unwrap_or_default()
        };
        let keep_mib: Option<u64> = text("max_slot_wal_keep_size").parse().ok();
        let settings = WalSettings {
            segment_bytes: text("wal_segment_size").parse().ok().and_then(|bytes| SegmentSize::new(bytes).ok()),
            archiving: match text("archive_mode") {
                "on" => !standby,
                mode => mode == "always",
            },
            archive_timeout_seconds: text("archive_timeout").parse().unwrap_or_default(),
            slot_keep_bytes: keep_mib.map(|mib| mib.saturating_mul(1 << 20)),
        };
        Ok((settings, text("track_commit_timestamp") == "on"))
    }

    async fn followed_timeline(&mut self, control: Option<&Row>) -> Result<Option<Timeline>> {
        let received = self.rows("timeline received", RECEIVED, &[]).await?.unwrap_or_default();
        let numbers = received.first().map(|row| row.get::<_, i32>(0)).into_iter();
        let numbers = numbers.chain(control.map(|row| row.get(1)));
        Ok(numbers.filter_map(|number| Timeline::new(u32::try_from(number).ok()?).ok()).max())
    }

    async fn last_commit(&mut self) -> Result<Option<Timestamp>> {
        let row = self.row("time of the last commit", LAST_COMMIT, &[]).await?;
        Ok(row.and_then(|row| time(row.get(0))))
    }

    async fn slots(&mut self, position: Option<Lsn>) -> Result<Option<Vec<Slot>>> {
        let slot = |row: &Row| {
            let restart_lsn = lsn(row.get(4));
            Slot {
                name: row.get(0),
                physical: row.get(1),
                active: row.get(2),
                active_pid: row.get(3),
                restart_lsn,
                wal_status: row.get::<_, Option<&str>>(5).and_then(WalStatus::parse),
                safe_bytes: row.get(6),
                retained_bytes: position.zip(restart_lsn).map(|(end, start)| end.since(start)),
            }
        };
        Ok(self.rows("replication slots", SLOTS, &[]).await?.map(|rows| rows.iter().map(slot).collect()))
    }

    async fn senders(&mut self, application_name: &str) -> Result<Option<Vec<Sender>>> {
        const FACT: &str = "state of the streamer";
        let sender = |row: &Row| Sender {
            pid: row.get(0),
            state: row.get(1),
            sync_state: row.get(2),
            flush_lsn: lsn(row.get(3)),
        };
        let rows = self.rows(FACT, SENDERS, &[&application_name]).await?;
        let senders: Option<Vec<_>> = rows.map(|rows| rows.iter().map(sender).collect());
        if senders.iter().flatten().any(|sender| sender.state.is_none()) {
            let why = "hidden from this role; GRANT pg_monitor shows it".to_owned();
            self.unread.push(Unread { fact: FACT, why });
        }
        Ok(senders)
    }

    async fn archiver(&mut self) -> Result<Option<Archiver>> {
        Ok(self.row("archiver", ARCHIVER, &[]).await?.map(|row| Archiver {
            archived: unsigned(row.get(0)),
            last_archived: row.get(1),
            last_archived_at: row.get::<_, Option<i64>>(2).and_then(time),
            failed: unsigned(row.get(3)),
            last_failed: row.get(4),
            last_failed_at: row.get::<_, Option<i64>>(5).and_then(time),
        }))
    }

    /// Asked for only where something is archived.
    async fn backlog(&mut self, settings: WalSettings) -> Result<Option<Backlog>> {
        if !settings.archiving {
            return Ok(None);
        }
        Ok(self.row("archive backlog", BACKLOG, &[]).await?.map(|row| {
            let files = unsigned(row.get(0));
            Backlog {
                files,
                bytes: settings.segment_bytes.map(|segment| files.saturating_mul(segment.bytes())),
                oldest_at: row.get::<_, Option<i64>>(1).and_then(time),
            }
        }))
    }

    async fn written(&mut self) -> Result<Option<Written>> {
        if self.session.version() < 140_000 {
            return Ok(None);
        }
        let rows = self.rows("amount of WAL written", WRITTEN, &[]).await?.unwrap_or_default();
        Ok(rows.first().and_then(|row| Some(Written { bytes: unsigned(row.get(0)), since: time(row.get(1))? })))
    }

    async fn row(&mut self, fact: &'static str, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>> {
        Ok(self.rows(fact, sql, params).await?.and_then(|rows| rows.into_iter().next()))
    }

    /// `None` when the server refuses; an error when it is gone.
    async fn rows(
        &mut self,
        fact: &'static str,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Vec<Row>>> {
        match self.session.client().query(sql, params).await {
            Ok(rows) => Ok(Some(rows)),
            Err(error) if error.as_db_error().is_some() && !self.session.client().is_closed() => {
                self.unread.push(Unread { fact, why: words(&error) });
                Ok(None)
            }
            Err(error) => Err(Error::sql("read what the server says of its WAL", error)),
        }
    }
}

/// A position that PostgreSQL printed.
pub(super) fn lsn(text: Option<&str>) -> Option<Lsn> {
    text.and_then(|text| text.parse().ok())
}

/// Microseconds since 1970.
fn time(microseconds: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(microseconds).ok()
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
