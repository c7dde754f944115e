//! `stonewal status`: can the cluster be recovered, up to when, and will it stay so?
//!
//! The loss that a disaster would cost now is measured from the bucket, against the server's position: never from what
//! a streamer or an archiver believes to have done (PAINS C3).

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::{Connected, Immutability, RepositoryOptions, Result};
use crate::catalog::Access;
use crate::format::ClusterName;
use crate::limits::STATUS_SECOND_LOOK_SECONDS;
use crate::observe::clock::Stopwatch;
use crate::postgres::ConnInfo;
use crate::verify::Findings;

mod alone;
mod bucket;
mod facts;
mod gaps;
mod health;
mod lag;
mod replicas;
#[cfg(test)]
mod samples;
mod server;
mod window;

pub(super) use alone::of_bucket;
pub use facts::{
    BackupFacts, BaseBackup, Blocked, Branch, BucketFacts, Durable, Gap, LockEnd, Locks, ShortLock, Span,
    TimelineFacts, UnreadWal, Window,
};
pub use health::{Health, Reason, Thresholds};
pub use lag::{Headroom, Lag};
pub use replicas::ReplicaFacts;
pub use server::ServerAnswer;

/// Whose status.
#[derive(Debug)]
pub struct Options {
    /// Where.
    pub repository: RepositoryOptions,
    /// Keys of any kind.
    pub access: Access,
    /// The cluster.
    pub cluster: ClusterName,
    /// Its server; `None` = look into the bucket only.
    pub server: Option<ConnInfo>,
    /// Name of the streamer's slot.
    pub slot: String,
    /// How the streamer calls itself.
    pub application_name: String,
    /// What is acceptable.
    pub thresholds: Thresholds,
}

/// The status.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The verdict: the worst of the reasons.
    pub health: Health,
    /// Every reason not to be green, the worst first.
    pub reasons: Vec<Reason>,
    /// Bucket and prefix.
    pub location: String,
    /// The cluster.
    pub cluster: ClusterName,
    /// When (store time).
    pub at: Timestamp,
    /// WAL that is on the server only; `None` if the server did not tell.
    pub lag: Option<Lag>,
    /// What the streamer's slot still allows; `None` if it has no limit or does not exist.
    pub headroom: Option<Headroom>,
    /// Name of the streamer's slot.
    pub slot: String,
    /// What the bucket holds.
    pub bucket: BucketFacts,
    /// Copies elsewhere, by name.
    pub replicas: Vec<ReplicaFacts>,
    /// What the server says.
    pub server: ServerAnswer,
    /// What does not belong in the bucket.
    pub findings: Findings,
}

/// Looks at everything and judges. What is wrong is in the outcome; an error means that the bucket could not be looked at.
pub async fn run(options: Options) -> Result<Outcome> {
    let connected = Connected::to(&options.repository).await?;
    // The server first: whatever it had written by then should be found in the bucket afterwards.
    let asked = match &options.server {
        Some(info) => server::Asked::at(info, &options.application_name).await,
        None => server::Asked::nobody(),
    };
    let repository = connected.open(options.access).await?;
    let mut look = bucket::Look::at(&connected, &repository, &options.cluster, &options.thresholds);
    let timeline = asked.answer.facts().and_then(|facts| facts.timeline);
    let mut seen = look.everything(timeline).await?;
    let mut lag = lag_of(&asked, &seen);
    let watch = Stopwatch::start();
    while lag.is_some_and(|lag| is_late(lag, &options.thresholds)) && watch.elapsed() < SECOND_LOOK {
        tokio::time::sleep(Duration::from_secs(1)).await;
        seen = look.again(timeline).await?;
        lag = lag_of(&asked, &seen);
    }
    let headroom = match asked.answer.facts().and_then(|facts| facts.slot(&options.slot)?.safe_bytes) {
        Some(_) => {
            let moved = asked.moved().await;
            asked.answer.facts().and_then(|facts| lag::headroom(facts, &options.slot, moved))
        }
        None => None,
    };
    let replicas = replicas::look(&options.repository, &look).await;
    let findings = look.findings();
    let evidence = health::Evidence {
        bucket: &seen,
        replicas: &replicas,
        server: &asked.answer,
        slot: &options.slot,
        lag,
        headroom,
        tampering: findings.counts.iter().filter(|(kind, _)| kind.is_tampering()).map(|(_, count)| count).sum(),
        tampering_is_cut: findings.is_cut(),
        locked: matches!(options.repository.immutability, Immutability::ObjectLock { .. }),
    };
    let reasons = health::assess(&evidence, &options.thresholds);
    Ok(Outcome {
        health: health::overall(&reasons),
        reasons,
        location: connected.location,
        cluster: options.cluster,
        at: seen.now,
        lag,
        headroom,
        slot: options.slot,
        bucket: seen,
        replicas,
        server: asked.answer,
        findings,
    })
}

const SECOND_LOOK: Duration = Duration::from_secs(STATUS_SECOND_LOOK_SECONDS);

fn lag_of(asked: &server::Asked, seen: &BucketFacts) -> Option<Lag> {
    let mut durable = seen.durable;
    if let Some(durable) = &mut durable {
        // WAL that is recorded as lost, and nothing behind it yet, is not on the server only: it is nowhere.
        let lost = seen.gaps().filter(|(timeline, gap)| *timeline == durable.timeline && gap.recorded);
        let behind = lost.filter(|(_, gap)| gap.span.start <= durable.lsn).map(|(_, gap)| gap.span.end).max();
        durable.lsn = durable.lsn.max(behind.unwrap_or_default());
    }
    lag::measure(asked.answer.facts()?, durable.as_ref(), seen.now)
}

/// Whether a second look may tell something better: a streamer that works sends what was written a moment ago.
fn is_late(lag: Lag, thresholds: &Thresholds) -> bool {
    !lag.by_archive_timeout && lag.seconds.is_some_and(|seconds| seconds > thresholds.max_lag.as_secs())
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
pub(super) fn as_text<S: serde::Serializer>(
    number: &Option<u64>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    number.map(|number| number.to_string()).serialize(serializer)
}
