//! What a server's refusal of a replication command means, and what the operator can do.

use super::server_message::{Notice, ServerMessage};

/// A replication command that the server refused or broke off.
#[derive(Debug)]
pub struct Failure {
    /// What it means.
    pub fault: Fault,
    /// The server's own words.
    pub error: ServerMessage,
    /// Warnings that came before it, such as the files with bad checksums; at most [`crate::limits::NOTICES_MAX`].
    pub notices: Vec<Notice>,
}

/// Meanings that a caller can act on. Told apart by SQLSTATE and by what is not translated: the messages may be in any
/// language.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The role may not replicate.
    RoleNotAllowed,
    /// `pg_hba.conf` has no line for a replication connection like this.
    NoHbaEntry,
    /// All of `max_wal_senders` are in use, or there are none.
    NoWalSender,
    /// All of `max_replication_slots` are in use, or there are none.
    NoSlotFree,
    /// Another connection uses the slot.
    SlotInUse {
        /// Process id of its backend.
        pid: Option<u32>,
    },
    /// No slot of this name.
    SlotMissing,
    /// There is a slot of this name.
    SlotExists,
    /// The slot has lost WAL that it should have kept.
    SlotInvalidated,
    /// The WAL asked for is gone.
    WalRemoved,
    /// The position or timeline asked for is not part of what this server went through.
    NotInHistory,
    /// The position asked for lies ahead of what the server has.
    Ahead,
    /// `wal_level` is too low.
    WalLevelTooLow,
    /// Pages of the data directory do not match their checksums.
    Checksums,
    /// A right is missing.
    Denied,
    /// The server shuts down, or an administrator ended the session.
    ShuttingDown,
    /// Anything else.
    Other,
}

impl Failure {
    pub(super) fn new(error: ServerMessage, notices: Vec<Notice>) -> Self {
        Self { fault: Fault::of(&error), error, notices }
    }

    /// What to do about it.
    pub(in crate::postgres) fn hint(&self) -> Option<String> {
        Some(match &self.fault {
            Fault::RoleNotAllowed => "as a superuser: ALTER ROLE name REPLICATION".into(),
            Fault::NoHbaEntry => format!(
                "add to pg_hba.conf of the server, above any line that rejects it, then SELECT pg_reload_conf(): {}",
                hba_line(&self.error.message).unwrap_or_else(|| "host replication ROLE ADDRESS/32 scram-sha-256".into())
            ),
            Fault::NoWalSender => {
                "raise max_wal_senders (0 forbids replication, and so does wal_level = minimal) and restart the server, or end a replication connection that is not needed (pg_stat_replication)".into()
            }
            Fault::NoSlotFree => {
                "raise max_replication_slots and restart the server, or drop a slot that is not needed (pg_replication_slots)".into()
            }
            Fault::SlotInUse { pid } => {
                let by = pid.map(|pid| format!(" (process {pid} of the server)")).unwrap_or_default();
                format!("another connection streams from this slot{by}: one streamer per slot; a connection that died is noticed after wal_sender_timeout")
            }
            Fault::SlotMissing => {
                "create the slot; WAL written since it was lost may be gone, so take a new base backup afterwards".into()
            }
            Fault::SlotExists => "use the slot as it is, or drop it first".into(),
            Fault::SlotInvalidated => {
                "drop the slot and create it anew, take a new base backup, and raise max_slot_wal_keep_size so that it outlasts the longest outage".into()
            }
            Fault::WalRemoved => {
                "this WAL is gone from the server: look for it in an archive or on a standby, and take a new base backup".into()
            }
            Fault::NotInHistory => {
                "the server went another way after a failover, or is another cluster: compare the timelines, and take a new base backup".into()
            }
            Fault::Ahead => {
                "the server has not got this far: it is a standby that lags, was restored to an earlier moment, or is another cluster".into()
            }
            Fault::WalLevelTooLow => "set wal_level = replica and restart the server".into(),
            Fault::Checksums => {
                "the data directory is damaged: look into the files named, restore from an earlier backup, check the disk; nothing was published".into()
            }
            Fault::Denied => "grant the missing right".into(),
            Fault::ShuttingDown => "run the command again when the server is up".into(),
            Fault::Other => return self.error.hint.clone(),
        })
    }
}

impl Fault {
    fn of(error: &ServerMessage) -> Self {
        let routine = error.routine.as_deref().unwrap_or_default();
        // Names of settings and files are not translated.
        let mentions = |word: &str| {
            error.message.contains(word) || [&error.detail, &error.hint].into_iter().flatten().any(|t| t.contains(word))
        };
        match error.code.as_str() {
            "28000" if mentions("pg_hba.conf") => Self::NoHbaEntry,
            "42501" if routine.starts_with("InitPostgres") => Self::RoleNotAllowed,
            "42501" => Self::Denied,
            "53300" if mentions("max_wal_senders") => Self::NoWalSender,
            "53400" => Self::NoSlotFree,
            "55006" => Self::SlotInUse { pid: last_number(&error.message) },
            "42704" if routine.starts_with("ReplicationSlot") => Self::SlotMissing,
            "42710" => Self::SlotExists,
            "58P01" if routine != "SendTimeLineHistory" => Self::WalRemoved,
            "XX001" => Self::Checksums,
            "55000" if mentions("wal_level") => Self::WalLevelTooLow,
            "55000" if mentions("max_replication_slots") => Self::NoSlotFree,
            "55000" if mentions("max_slot_wal_keep_size") || mentions("invalidated") || mentions("wal_removed") => {
                Self::SlotInvalidated
            }
            "57P01" | "57P02" | "57P03" => Self::ShuttingDown,
            "XX000" if routine == "tliSwitchPoint" || routine == "tliOfPointInHistory" => Self::NotInHistory,
            // Two refusals of one function: the one about history explains where it forked.
            "XX000" if routine == "StartReplication" && error.detail.is_some() => Self::NotInHistory,
            "XX000" if routine == "StartReplication" => Self::Ahead,
            _ => Self::Other,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)?;
        if self.fault == Fault::Checksums {
            for notice in self.notices.iter().filter(|notice| notice.is_warning()) {
                write!(f, "\n  {}", notice.message)?;
            }
        }
        Ok(())
    }
}

/// The line that is missing, out of `no pg_hba.conf entry for replication connection from host "10.0.0.1", user "x"`:
/// address and role are the first two quoted words in every translation.
fn hba_line(message: &str) -> Option<String> {
    let mut quoted = message.split(['"', '«', '»', '„', '“', '”']).skip(1).step_by(2);
    let (host, user) = (quoted.next()?.trim(), quoted.next()?.trim());
    let user = if user.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_') {
        user.to_owned()
    } else {
        format!("\"{}\"", user.replace('"', "\"\""))
    };
    let from = match host.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(address)) => format!("host    replication  {user}  {address}/32"),
        Ok(std::net::IpAddr::V6(address)) => format!("host    replication  {user}  {address}/128"),
        Err(_) => format!("local   replication  {user}"),
    };
    Some(format!("{from}  scram-sha-256"))
}

fn last_number(text: &str) -> Option<u32> {
    text.split(|c: char| !c.is_ascii_digit()).rfind(|digits| !digits.is_empty())?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: &str, routine: &str, message: &str, detail: Option<&str>) -> ServerMessage {
        ServerMessage {
            code: code.into(),
            message: message.into(),
            detail: detail.map(str::to_owned),
            routine: Some(routine.into()),
            ..ServerMessage::default()
        }
    }

    #[test]
    fn faults_are_recognised_in_any_language() {
        let cases = [
            (
                "28000",
                "ClientAuthentication",
                "kein pg_hba.conf-Eintrag für Replikationsverbindung",
                None,
                Fault::NoHbaEntry,
            ),
            ("42501", "InitPostgres", "keine Berechtigung", None, Fault::RoleNotAllowed),
            ("53300", "InitWalSenderSlot", "… max_wal_senders (aktuell 3)", None, Fault::NoWalSender),
            ("53300", "InitProcess", "tut mir leid, schon zu viele Verbindungen", None, Fault::Other),
            (
                "55006",
                "ReplicationSlotAcquire",
                "Replikations-Slot »a1« ist aktiv für PID 4711",
                None,
                Fault::SlotInUse { pid: Some(4711) },
            ),
            ("42704", "ReplicationSlotAcquire", "Replikations-Slot »a1« existiert nicht", None, Fault::SlotMissing),
            ("42704", "GetConfigOptionByName", "nicht erkannter Parameter", None, Fault::Other),
            ("58P01", "XLogReadRecord", "ist schon entfernt worden", None, Fault::WalRemoved),
            ("58P01", "SendTimeLineHistory", "konnte nicht geöffnet werden", None, Fault::Other),
            ("XX000", "StartReplication", "ist nicht in der History", Some("zweigte ab"), Fault::NotInHistory),
            ("XX000", "StartReplication", "liegt vor der Position", None, Fault::Ahead),
        ];
        for (code, routine, message, detail, fault) in cases {
            assert_eq!(Fault::of(&error(code, routine, message, detail)), fault, "{message}");
        }
    }

    #[test]
    fn the_hint_gives_the_line_to_add() {
        let text =
            "no pg_hba.conf entry for replication connection from host \"10.0.0.7\", user \"backup\", no encryption";
        let failure = Failure::new(error("28000", "ClientAuthentication", text, None), Vec::new());
        let hint = failure.hint().unwrap();
        assert!(hint.ends_with("host    replication  backup  10.0.0.7/32  scram-sha-256"), "{hint}");
        assert_eq!(hba_line("… «[local]», … «Röle»").unwrap(), "local   replication  \"Röle\"  scram-sha-256");
        assert_eq!(hba_line("nothing quoted"), None);
    }
}
