//! Is it the same cluster, does its WAL arrive, is it without holes?

use super::words::{size, span, things};
use super::{Evidence, Reasons, Thresholds};
use crate::commands::status::ServerAnswer;
use crate::commands::status::lag::Lag;
use crate::limits::STATUS_BACKLOG_FILES_MAX;
use crate::postgres::wal_facts::WalFacts;

pub(super) fn assess(evidence: &Evidence<'_>, limits: &Thresholds, reasons: &mut Reasons) {
    gaps(evidence, reasons);
    match evidence.server {
        ServerAnswer::NotAsked => {}
        ServerAnswer::Silent { error, hint } => {
            let hint = hint.clone().unwrap_or_else(|| "look into the server's log".into());
            reasons.red("server-silent", format!("the server cannot be asked: {error}"), hint);
        }
        ServerAnswer::Facts(server) => {
            other_cluster(evidence, server, reasons);
            unseen(server, reasons);
            if let Some(lag) = evidence.lag {
                late(evidence, limits, server, lag, reasons);
            }
            archiver(server, reasons);
        }
    }
}

fn other_cluster(evidence: &Evidence<'_>, server: &WalFacts, reasons: &mut Reasons) {
    if let (Some(stored), Some(asked)) = (evidence.bucket.system_identifier, server.system_identifier)
        && stored != asked
    {
        let text = format!("the server has the system identifier {asked}, the bucket holds the cluster {stored}");
        let hint = "this is not the cluster that was backed up: correct the server or the cluster name; a new cluster needs a new name";
        reasons.red("other-cluster", text, hint);
    }
}

/// What must be seen for a verdict.
fn unseen(server: &WalFacts, reasons: &mut Reasons) {
    let needed = [
        (server.position.is_none(), "position"),
        (server.timeline.is_none(), "timeline"),
        (server.slots.is_none(), "replication slots"),
        (server.archiver.is_none() && server.settings.archiving, "archiver"),
    ];
    let missing: Vec<_> = needed.iter().filter(|(missing, _)| *missing).map(|(_, name)| *name).collect();
    if !missing.is_empty() {
        let text = format!("the server does not tell its {}", missing.join(", "));
        reasons.yellow("unseen", text, "let the role read them: GRANT pg_monitor TO …");
    }
}

fn late(evidence: &Evidence<'_>, limits: &Thresholds, server: &WalFacts, lag: Lag, reasons: &mut Reasons) {
    let most = span(limits.max_lag);
    if lag.seconds.is_some_and(|seconds| seconds <= limits.max_lag.as_secs()) {
        return;
    }
    if lag.by_archive_timeout {
        let wait = span(std::time::Duration::from_secs(server.settings.archive_timeout_seconds));
        let text = format!("archive_timeout lets changes wait for {wait}; status.max_lag is {most}");
        let hint = "lower archive_timeout, run `stonewal wal stream`, or accept it: raise status.max_lag";
        reasons.yellow("archive-timeout", text, hint);
        return;
    }
    let what = match lag.bytes {
        Some(bytes) => format!("{} of WAL are on the server only", size(bytes)),
        None => match server.timeline {
            Some(timeline) => format!("no WAL of the server's timeline {timeline} is in the bucket"),
            None => "no WAL is in the bucket".into(),
        },
    };
    let since = match lag.seconds {
        Some(seconds) => format!(
            "nothing has arrived for {} (status.max_lag is {most})",
            span(std::time::Duration::from_secs(seconds))
        ),
        None => "nothing ever arrived".into(),
    };
    let hint = if evidence.server_archives() {
        "see the server's log for archive_command; set archive_timeout so that unfinished segments do not wait for ever"
    } else {
        "see to it that `stonewal wal stream` runs, and read its log"
    };
    reasons.red("lag", format!("{what}; {since}"), hint);
}

fn archiver(server: &WalFacts, reasons: &mut Reasons) {
    if !server.settings.archiving {
        return;
    }
    let waiting = server.backlog.map(|backlog| things(backlog.files, "file"));
    if let Some(archiver) = server.archiver.as_ref().filter(|archiver| archiver.is_failing()) {
        let file = archiver.last_failed.as_deref().unwrap_or("a file");
        let waiting = waiting.map(|files| format!("; {files} waiting")).unwrap_or_default();
        let text = format!("archive_command fails: {file}, {} so far{waiting}", things(archiver.failed, "failure"));
        let hint = "read the server's log: it has the command's error and hint. pg_wal grows until it succeeds";
        reasons.red("archiver-failing", text, hint);
    } else if let Some(backlog) = server.backlog.filter(|backlog| backlog.files > STATUS_BACKLOG_FILES_MAX) {
        let bytes = backlog.bytes.map(|bytes| format!(", {}", size(bytes))).unwrap_or_default();
        let text = format!("{} wait for archive_command{bytes}", things(backlog.files, "file"));
        reasons.yellow(
            "archive-backlog",
            text,
            "archiving is slower than writing: raise wal.push_ahead, or look at the network to the store",
        );
    }
}

fn gaps(evidence: &Evidence<'_>, reasons: &mut Reasons) {
    let describe = |matters: bool| {
        let mut gaps = evidence.bucket.gaps().filter(|(_, gap)| gap.matters == matters);
        let (timeline, first) = gaps.next()?;
        let span = first.span;
        let kind = if first.recorded { "recorded" } else { "found" };
        let bytes = size(span.end.since(span.start));
        let more = match gaps.count() as u64 {
            0 => String::new(),
            count => format!(", and {}", things(count, "more gap")),
        };
        Some(format!(
            "WAL of timeline {timeline} from {} to {} ({bytes}) is missing ({kind}){more}",
            span.start, span.end
        ))
    };
    if let Some(text) = describe(true) {
        let hint = "if the server still has it: `stonewal wal push --from PGDATA/pg_wal`; else make a base backup now: nothing beyond the gap can be restored without one";
        reasons.red("gap", text, hint);
    }
    if let Some(text) = describe(false) {
        let hint = "moments inside and between the gap and the next base backup cannot be restored; it goes when its neighbours' locks have ended";
        reasons.yellow("old-gap", text, hint);
    }
    if let Some(unread) = &evidence.bucket.unread {
        let (timeline, span, why) = (unread.timeline, unread.span, &unread.why);
        let text = format!(
            "WAL of timeline {timeline} from {} to {} cannot be read, so whether it is ours is not known: {why}",
            span.start, span.end
        );
        reasons.yellow("unread-wal", text, unread.hint.clone().unwrap_or_default());
    }
}
