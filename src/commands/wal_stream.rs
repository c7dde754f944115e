//! `stonewal wal stream`: the server's WAL, as it is written, into the bucket.
//!
//! `ready` proves server and bucket, `way` finds the timelines, `stored` what of them is in the bucket already, and `prove` that the
//! server continues it. `life` goes through connections, failovers and outages, `begin` decides where each goes on, `session`
//! goes through one. `sender` seals and stores, `outage` tells when the store takes nothing, `report` tells the server what is
//! durable, `tail` looks after the newest WAL and `ground` after what all of it stands on. What one server has lost, `hunt` looks
//! for on others, `loan` tells when one of them has no more of it, and `loss` writes down what none has.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::repository::{interruptible, prepare_to_write};
use super::wal::begin_run;
use super::{Error, RepositoryOptions, Result};
use crate::catalog::{Access, ClusterIdentity, Finding, cluster_record, outlive};
use crate::format::{ClusterName, Lsn, Timeline};
use crate::pipeline::Encoding;
use crate::postgres::ConnInfo;
use crate::postgres::replication::Client;
use crate::store::Read as _;

mod begin;
mod ground;
mod hunt;
mod life;
mod loan;
mod loss;
mod outage;
mod pace;
mod prove;
mod ready;
mod recent;
mod report;
mod sender;
mod session;
mod stored;
mod tail;
mod way;

/// When bytes of an unfinished piece are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By the interval, or at once as long as the server counts us as a synchronous standby.
    Auto,
    /// By the interval.
    Interval,
    /// At once.
    Synchronous,
}

/// What to stream and how.
#[derive(Debug)]
pub struct Options {
    /// Where to.
    pub repository: RepositoryOptions,
    /// Keys: the passphrase or a writer file.
    pub access: Access,
    /// The cluster's name in the repository.
    pub cluster: ClusterName,
    /// The server, with all its endpoints; its role may replicate.
    pub source: ConnInfo,
    /// Replication slot.
    pub slot: String,
    /// Whether the slot may be created: at first, and again after it was lost.
    pub create_slot: bool,
    /// Whether a slot that may fill the server's disk is acceptable.
    pub unbounded_slot: bool,
    /// How often new bytes of an unfinished piece are stored.
    pub flush_interval: Duration,
    /// Whether to wait for the interval.
    pub mode: Mode,
    /// By this name `synchronous_standby_names` knows us.
    pub application_name: String,
    /// How long parts of unfinished pieces are locked.
    pub partial_retain: Duration,
    /// Compression.
    pub encoding: Encoding,
    /// Pieces sent at once.
    pub uploads: usize,
    /// Stop as soon as this much is durable.
    pub until: Option<Lsn>,
}

/// Something that happens while streaming, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// As it should be.
    Note(String),
    /// Somebody should know.
    Warning(String),
}

/// Hears what happens.
pub type Listener<'a> = &'a (dyn Fn(Event) + Send + Sync);

/// How it ended.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The cluster.
    pub cluster: ClusterName,
    /// The timeline streamed last.
    pub timeline: Timeline,
    /// Everything before this is durable.
    pub durable: Lsn,
    /// Objects stored by this process.
    pub objects: u64,
    /// Bytes of WAL in them.
    pub plain_bytes: u64,
    /// Bytes stored.
    pub stored_bytes: u64,
    /// Gaps recorded by this process.
    pub gaps: u64,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// Streams until `cancel` is cancelled; then everything received becomes durable first.
pub async fn run(options: Options, tell: Listener<'_>, cancel: &CancellationToken) -> Result<Outcome> {
    let Options { repository, access, cluster, source, .. } = options;
    let how = How {
        slot: options.slot,
        create_slot: options.create_slot,
        unbounded_slot: options.unbounded_slot,
        flush_interval: options.flush_interval,
        mode: options.mode,
        application_name: options.application_name,
        partial_retain: options.partial_retain,
        uploads: options.uploads,
        until: options.until,
    };
    let preparing = Box::pin(async {
        // The server proves itself before anything is asked of the bucket, and both before anything is written.
        let mut client = Client::connect(&source, &how.application_name).await?;
        let system = client.identify_system().await?;
        let segment_bytes = client.segment_size().await?;
        ready::check(&mut client, &how).await?;
        // The next connection needs its place in max_wal_senders.
        drop(client);
        let (connected, repository) = prepare_to_write(&repository, access).await?;
        let identity = ClusterIdentity { system_identifier: system.system_identifier, segment_bytes };
        let lock = connected.lock()?;
        cluster_record(&*connected.store, &repository, &cluster, identity, || lock).await?;
        let now = connected.store.clock().now();
        let run = begin_run(&repository, &cluster, identity.system_identifier, options.encoding, now)?;
        let (encoding, partial_retain) = (options.encoding, how.partial_retain);
        let run = RwLock::new(Arc::new(run));
        let place = sender::Place { connected, repository, cluster, identity, partial_retain, encoding, run };
        let mut warnings = Vec::new();
        if let Some(lock) = ground::lock(&place)? {
            let store = &*place.connected.store;
            let gone = outlive(store, &place.repository, lock, place.connected.lock_max()).await?;
            warnings.extend(gone.iter().map(Finding::to_string));
        }
        Ok((place, warnings))
    });
    let (place, warnings) = interruptible(cancel, preparing).await?;
    let store = place.connected.store.clone();
    let life = life::Life::new(place, how, source, tell, cancel, warnings);
    let outage = life.sender.outage().clone();
    let outcome = tokio::select! {
        outcome = Box::pin(life.live()) => outcome,
        () = outage.watch(&store, tell) => Err(Error::Interrupted),
    };
    outage.look(tokio::time::Instant::now(), |_| None).into_iter().for_each(tell);
    outcome
}

/// What the parts need to know of [`Options`].
#[derive(Debug)]
struct How {
    slot: String,
    create_slot: bool,
    unbounded_slot: bool,
    flush_interval: Duration,
    mode: Mode,
    application_name: String,
    partial_retain: Duration,
    uploads: usize,
    until: Option<Lsn>,
}
