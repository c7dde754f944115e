//! A healthy cluster, for the tests to make sick.

use jiff::Timestamp;

use super::facts::{BackupFacts, BaseBackup, BucketFacts, Durable, LockEnd, Locks, Span, TimelineFacts, Window};
use crate::format::manifest::Kind;
use crate::format::{Lsn, SegmentSize, Timeline};
use crate::postgres::slot::WalStatus;
use crate::postgres::wal_facts::{Archiver, Sender, Slot, WalFacts, WalSettings};

/// Seconds since a moment at which the sample's server is looked at.
pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub(super) fn timeline(number: u32) -> Timeline {
    Timeline::new(number).unwrap()
}

pub(super) fn server() -> WalFacts {
    let position = Lsn::new(0x512_3458);
    let slot = Slot {
        name: "stonewal".into(),
        physical: true,
        active: true,
        active_pid: Some(7),
        restart_lsn: Some(position),
        wal_status: Some(WalStatus::Reserved),
        safe_bytes: None,
        retained_bytes: Some(0),
    };
    let sender =
        Sender { pid: 7, state: Some("streaming".into()), sync_state: Some("async".into()), flush_lsn: Some(position) };
    WalFacts {
        version: 150_018,
        standby: false,
        now: at(0),
        system_identifier: Some(7_300_000_000_000_000_001),
        timeline: Some(timeline(1)),
        position: Some(position),
        settings: WalSettings { segment_bytes: Some(SegmentSize::DEFAULT), ..WalSettings::default() },
        last_commit_at: None,
        slots: Some(vec![slot]),
        senders: Some(vec![sender]),
        archiver: Some(Archiver {
            archived: 3,
            last_archived: Some("000000010000000000000004".into()),
            last_archived_at: Some(at(-60)),
            failed: 0,
            last_failed: None,
            last_failed_at: None,
        }),
        backlog: None,
        wal_bytes: Some(64 << 20),
        written: None,
        unread: Vec::new(),
    }
}

/// Durable up to the server's position; the last object arrived at that second.
pub(super) fn durable(second: i64) -> Durable {
    Durable { timeline: timeline(1), lsn: server().position.unwrap(), arrived_at: at(second) }
}

/// A base backup of an hour ago, and WAL without a hole.
pub(super) fn bucket() -> BucketFacts {
    let end = server().position.unwrap();
    let base = BaseBackup {
        backup: BackupFacts {
            backup: "20270115T070000Z-5b0c6f2e".parse().unwrap(),
            kind: Kind::Base,
            arrived_at: at(-3600),
            locked_until: Some(at(30 * 86_400)),
        },
        timeline: timeline(1),
        start: Lsn::new(0x200_0028),
        stop: Lsn::new(0x200_0100),
        ended_at: at(-3600),
    };
    BucketFacts {
        now: at(0),
        system_identifier: server().system_identifier,
        segment_bytes: Some(SegmentSize::DEFAULT),
        timelines: vec![TimelineFacts {
            timeline: timeline(1),
            parent: None,
            windows: vec![Span { start: Lsn::new(0x100_0000), end }],
            gaps: Vec::new(),
            arrived_at: Some(at(-1)),
            bases: 1,
        }],
        window: Some(Window {
            base: base.backup.backup.clone(),
            earliest_at: base.ended_at,
            latest_commit_at: Some(at(-2)),
            end,
        }),
        bases: vec![base],
        blocked: None,
        unread: None,
        diverging: None,
        newest_dump: None,
        durable: Some(durable(-1)),
        locks: Locks {
            kind: Some(Kind::Base),
            soonest: Some(LockEnd { key: "main/wal/x".into(), until: at(30 * 86_400) }),
            asked: 3,
            unlocked: None,
            short: None,
        },
    }
}
