//! The clients that write a ledger, through crashes, restarts and failovers of their server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stonewal::postgres::{ConnInfo, Session};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Entry, Ledger, Moment};

/// How they write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) clients: i32,
    /// Rest of a client between two commits.
    pub(crate) pause: Duration,
    /// Incompressible bytes in every row: WAL grows by a little more.
    pub(crate) padding: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { clients: 4, pause: Duration::from_millis(5), padding: 200 }
    }
}

/// Clients at work. Dropped, they stop and their ledger is lost.
pub(crate) struct Load {
    stop: CancellationToken,
    clients: JoinSet<Vec<Entry>>,
    server: watch::Sender<ConnInfo>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    acknowledged: AtomicU64,
    unsure: AtomicU64,
}

impl Load {
    /// Makes the table, unless it is there, and sets the clients to work. Their rows are numbered from `first` on, so
    /// that a second load may write to the same table.
    pub(crate) async fn start(server: &ConnInfo, pace: Pace, first: i64) -> Self {
        let session = Session::connect(server, "ledger").await.unwrap();
        let table = "CREATE TABLE IF NOT EXISTS public.ledger (client int4, sequence int8, at timestamptz NOT NULL, \
                     padding text NOT NULL, PRIMARY KEY (client, sequence))";
        session.client().batch_execute(table).await.unwrap();
        let (server, watched) = watch::channel(server.clone());
        let (stop, counts) = (CancellationToken::new(), Arc::new(Counts::default()));
        let mut clients = JoinSet::new();
        for number in 0..pace.clients {
            let (server, stop, counts) = (watched.clone(), stop.clone(), Arc::clone(&counts));
            let client = Client { number, pace, server, stop, counts };
            clients.spawn(client.work(first));
        }
        Self { stop, clients, server, counts }
    }

    /// Where to connect after the next loss of connection: the server after a failover. WAL positions of both must be
    /// of one history, or targets be given by time.
    pub(crate) fn redirect(&self, server: ConnInfo) {
        self.server.send_replace(server);
    }

    /// Commits acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.counts.acknowledged.load(Ordering::Relaxed)
    }

    /// Commits so far of which nobody knows whether they happened: the connection was lost in the middle.
    pub(crate) fn unsure(&self) -> u64 {
        self.counts.unsure.load(Ordering::Relaxed)
    }

    /// Waits for so many more commits. Panics when they do not come within a minute.
    pub(crate) async fn more(&self, count: u64) {
        let (begun, goal) = (Instant::now(), self.acknowledged() + count);
        while self.acknowledged() < goal {
            assert!(begun.elapsed() < Duration::from_mins(1), "{} commits of {goal} in a minute", self.acknowledged());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends it; each client finishes or gives up the row it is at.
    pub(crate) async fn stop(mut self) -> Ledger {
        self.stop.cancel();
        let mut ledger = Ledger::default();
        while let Some(entries) = self.clients.join_next().await {
            ledger.entries.extend(entries.unwrap());
        }
        ledger
    }
}

struct Client {
    number: i32,
    pace: Pace,
    server: watch::Receiver<ConnInfo>,
    stop: CancellationToken,
    counts: Arc<Counts>,
}

impl Client {
    async fn work(self, first: i64) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut sequence = first;
        while !self.stop.is_cancelled() {
            let server = self.server.borrow().clone();
            let session = tokio::select! {
                session = Session::connect(&server, "ledger") => session.ok(),
                () = self.stop.cancelled() => None,
            };
            let Some(session) = session else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            // A commit may hang for ever, waiting for a synchronous standby: then it is left unacknowledged.
            while let Some(entry) = self.row(session.client(), sequence).await {
                sequence += 1;
                entries.push(entry);
                if !entry.acknowledged || entry.after.is_none() || self.stop.is_cancelled() {
                    break;
                }
                tokio::time::sleep(self.pace.pause).await;
            }
        }
        entries
    }

    /// `None` if nothing was attempted.
    async fn row(&self, client: &tokio_postgres::Client, sequence: i64) -> Option<Entry> {
        let before = Moment::now(client).await.ok()?;
        let padding: String = std::iter::repeat_with(fastrand::alphanumeric).take(self.pace.padding).collect();
        let sql = "INSERT INTO public.ledger VALUES ($1, $2, clock_timestamp(), $3)";
        let mut entry = Entry { row: (self.number, sequence), before, acknowledged: false, after: None };
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&self.number, &sequence, &padding];
        let inserted = tokio::select! {
            inserted = client.execute(sql, &values) => inserted,
            () = patience_after(&self.stop) => return Some(entry),
        };
        if inserted.is_ok() {
            entry.acknowledged = true;
            self.counts.acknowledged.fetch_add(1, Ordering::Relaxed);
            entry.after = Moment::now(client).await.ok();
        } else {
            self.counts.unsure.fetch_add(1, Ordering::Relaxed);
        }
        Some(entry)
    }
}

/// A second more once it is to stop.
async fn patience_after(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
}
