//! Does the server keep the WAL that the streamer still needs, and not so much that its disk fills (PAINS C2)?

use std::time::Duration;

use super::words::{size, span};
use super::{Evidence, Reasons, Thresholds};
use crate::commands::status::ServerAnswer;
use crate::limits::STATUS_HEADROOM_SECONDS_MIN;
use crate::postgres::slot::WalStatus;
use crate::postgres::wal_facts::{Slot, WalFacts};

pub(super) fn assess(evidence: &Evidence<'_>, limits: &Thresholds, reasons: &mut Reasons) {
    let ServerAnswer::Facts(server) = evidence.server else { return };
    let Some(slots) = &server.slots else { return };
    match slots.iter().find(|slot| slot.name == evidence.slot) {
        None => missing(evidence, server, reasons),
        Some(slot) if !slot.physical => {
            let text = format!("slot {} is a logical one", slot.name);
            reasons.red("no-slot", text, "choose another name for the streamer's slot: wal.slot");
        }
        Some(slot) => state(evidence, limits, server, slot, reasons),
    }
}

fn missing(evidence: &Evidence<'_>, server: &WalFacts, reasons: &mut Reasons) {
    let streams = server.senders.as_ref().is_some_and(|senders| !senders.is_empty());
    if server.settings.archiving || streams {
        return;
    }
    let text = format!(
        "the server has neither a slot {} nor an archive_command: it keeps no WAL for the bucket",
        evidence.slot
    );
    let hint = "start `stonewal wal stream --create-slot`, or set archive_mode and archive_command; wal.slot is the name of the slot";
    reasons.red("no-slot", text, hint);
}

fn state(evidence: &Evidence<'_>, limits: &Thresholds, server: &WalFacts, slot: &Slot, reasons: &mut Reasons) {
    let name = &slot.name;
    match slot.wal_status {
        Some(WalStatus::Lost) => {
            let text = format!("slot {name} is lost: the server has removed WAL that the streamer needed");
            let hint =
                "`stonewal wal stream` records the gap and goes on with a new slot; make a base backup afterwards";
            return reasons.red("slot-lost", text, hint);
        }
        Some(WalStatus::Unreserved) => {
            let text = format!(
                "slot {name} is beyond max_slot_wal_keep_size: the next checkpoint may remove WAL that the streamer needs"
            );
            let hint = "raise max_slot_wal_keep_size (a reload is enough) and get `stonewal wal stream` going";
            reasons.red("slot-endangered", text, hint);
        }
        _ => headroom(evidence, limits, server, name, reasons),
    }
    if !slot.active {
        let kept = slot.retained_bytes.map(|bytes| format!("; it keeps {} of WAL", size(bytes))).unwrap_or_default();
        let bound =
            if server.settings.slot_keep_bytes.is_none() { " without limit, until the disk is full" } else { "" };
        let text = format!("nobody streams from slot {name}{kept}{bound}");
        let hint = format!(
            "start `stonewal wal stream`; if you do not want it any more: SELECT pg_drop_replication_slot('{name}')"
        );
        reasons.yellow("slot-idle", text, hint);
    }
}

fn headroom(evidence: &Evidence<'_>, limits: &Thresholds, server: &WalFacts, name: &str, reasons: &mut Reasons) {
    let Some(headroom) = evidence.headroom else { return };
    let quarter = server.settings.slot_keep_bytes.map_or(0, |keep| keep / 4);
    let soon = headroom.seconds.is_some_and(|seconds| seconds < STATUS_HEADROOM_SECONDS_MIN);
    if headroom.bytes < quarter || soon && evidence.is_late(limits) {
        let lasts = headroom
            .seconds
            .map(|seconds| format!(", about {} at the present rate", span(Duration::from_secs(seconds))));
        let text = format!("slot {name} has {} left{}", size(headroom.bytes), lasts.unwrap_or_default());
        let hint = "get `stonewal wal stream` to catch up, or raise max_slot_wal_keep_size (a reload is enough)";
        reasons.yellow("slot-headroom", text, hint);
    }
}

impl Evidence<'_> {
    /// Whether WAL does not arrive as it should.
    fn is_late(&self, limits: &Thresholds) -> bool {
        self.lag.is_some_and(|lag| lag.seconds.is_none_or(|seconds| seconds > limits.max_lag.as_secs()))
    }

    /// Whether the server pushes its WAL by itself.
    pub(super) fn server_archives(&self) -> bool {
        matches!(self.server, ServerAnswer::Facts(server) if server.settings.archiving)
    }
}
