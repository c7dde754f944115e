//! Whether WAL can be streamed from the database that would be backed up, and whether its slot endangers the server.

use super::{Outcome, Status};
use crate::commands::Result;
use crate::postgres::slot::{SlotState, WalStatus};
use crate::postgres::{Error, Session};

const NAME: &str = "streaming";

const SETTINGS: &str = "SELECT pg_catalog.current_setting('wal_level'), \
    pg_catalog.current_setting('max_wal_senders')::int4, pg_catalog.current_setting('max_slot_wal_keep_size'), \
    pg_catalog.current_setting('synchronous_commit') = 'remote_apply' \
    AND pg_catalog.strpos(pg_catalog.lower(pg_catalog.current_setting('synchronous_standby_names')), pg_catalog.lower($1)) > 0";

/// Adds what there is to say. That nobody streams is no fault.
pub(super) async fn check(session: &Session, (slot, application_name): (&str, &str), outcome: &mut Outcome) {
    match examine(session, slot, application_name).await {
        Ok((settings, state)) => judge(&settings, state.as_ref(), slot, outcome),
        Err(error) => outcome.fail(NAME, &error),
    }
}

#[derive(Debug)]
struct Settings {
    wal_level: String,
    wal_senders: i32,
    unlimited: bool,
    /// COMMIT waits for us to apply, which we never do.
    waits_for_ever: bool,
}

async fn examine(session: &Session, slot: &str, application_name: &str) -> Result<(Settings, Option<SlotState>)> {
    let failed = |e: tokio_postgres::Error| Error::Sql {
        action: "ask about streaming".into(),
        what: e.to_string(),
        source: Some(Box::new(e)),
    };
    let row = session.client().query_one(SETTINGS, &[&application_name]).await.map_err(failed)?;
    let settings = Settings {
        wal_level: row.get(0),
        wal_senders: row.get(1),
        unlimited: row.get::<_, String>(2) == "-1",
        waits_for_ever: row.get(3),
    };
    Ok((settings, session.slot(slot).await?))
}

fn judge(settings: &Settings, state: Option<&SlotState>, slot: &str, outcome: &mut Outcome) {
    if settings.wal_level == "minimal" || settings.wal_senders == 0 {
        let detail = format!("wal_level is {}, max_wal_senders {}", settings.wal_level, settings.wal_senders);
        let hint = "for WAL streaming and base backups: wal_level = replica, max_wal_senders = 10, and a restart";
        return outcome.advise(NAME, Status::Note, detail, hint);
    }
    if settings.waits_for_ever {
        let detail = "synchronous_commit is remote_apply, and synchronous_standby_names names the streamer: a COMMIT waits for ever, since a receiver of WAL applies none".to_owned();
        let hint = "ALTER SYSTEM SET synchronous_commit = 'on', then SELECT pg_reload_conf()";
        return outcome.advise(NAME, Status::Warn, detail, hint);
    }
    let Some(state) = state else {
        return outcome.add(NAME, Status::Ok, format!("possible; there is no slot {slot}"));
    };
    if !state.physical {
        let detail = format!("the slot {slot} is a logical one");
        return outcome.advise(NAME, Status::Fail, detail, "choose another name: WAL_SLOT_NAME, wal.slot");
    }
    if state.wal_status == Some(WalStatus::Lost) {
        let detail = format!("the slot {slot} has lost WAL");
        let hint = "`stonewal wal stream --create-slot` records the gap and goes on; take a new base backup";
        return outcome.advise(NAME, Status::Fail, detail, hint);
    }
    let kept = state.kept_bytes().unwrap_or(0) >> 20;
    if !state.active {
        let detail = format!("nobody streams from the slot {slot}, for which the server keeps {kept} MiB of WAL");
        let hint = "start `stonewal wal stream`, or drop the slot: SELECT pg_drop_replication_slot(…)";
        return outcome.advise(NAME, Status::Warn, detail, hint);
    }
    if settings.unlimited {
        let detail = format!("the slot {slot} may fill the server's disk: max_slot_wal_keep_size is unlimited");
        let hint = "ALTER SYSTEM SET max_slot_wal_keep_size to what the disk of pg_wal can spare";
        return outcome.advise(NAME, Status::Warn, detail, hint);
    }
    outcome.add(NAME, Status::Ok, format!("the slot {slot} is in use; the server keeps {kept} MiB of WAL for it"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Lsn;

    fn said(settings: &Settings, state: Option<&SlotState>) -> (Status, String) {
        let mut outcome = Outcome::default();
        judge(settings, state, "s", &mut outcome);
        let check = outcome.checks.pop().unwrap();
        (check.status, check.detail)
    }

    #[test]
    fn every_state_of_a_slot_is_judged() {
        let good =
            || Settings { wal_level: "replica".into(), wal_senders: 10, unlimited: false, waits_for_ever: false };
        let slot = SlotState {
            physical: true,
            active: true,
            active_pid: Some(1),
            restart_lsn: Some(Lsn::new(1 << 24)),
            wal_status: Some(WalStatus::Reserved),
            safe_wal_size: None,
            keep_limit_bytes: None,
            server_end: Some(Lsn::new(5 << 24)),
        };
        assert_eq!(said(&good(), Some(&slot)).1, "the slot s is in use; the server keeps 64 MiB of WAL for it");
        assert_eq!(said(&good(), Some(&slot)).0, Status::Ok);
        assert_eq!(said(&Settings { unlimited: true, ..good() }, Some(&slot)).0, Status::Warn);
        let waits = said(&Settings { waits_for_ever: true, ..good() }, Some(&slot));
        assert!(waits.0 == Status::Warn && waits.1.contains("a COMMIT waits for ever"), "{waits:?}");
        assert_eq!(said(&Settings { wal_level: "minimal".into(), ..good() }, None).0, Status::Note);
        assert_eq!(said(&good(), None).0, Status::Ok);
        assert_eq!(said(&good(), Some(&SlotState { active: false, ..slot.clone() })).0, Status::Warn);
        assert_eq!(said(&good(), Some(&SlotState { physical: false, ..slot.clone() })).0, Status::Fail);
        assert_eq!(said(&good(), Some(&SlotState { wal_status: Some(WalStatus::Lost), ..slot })).0, Status::Fail);
    }
}
