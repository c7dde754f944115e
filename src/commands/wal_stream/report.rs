//! What the server is told is durable. A task of its own: neither a slow store nor a flood of WAL may keep the server
//! waiting for a sign of life.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::format::Lsn;
use crate::limits::WAL_STATUS_SECONDS_MAX;
use crate::postgres;
use crate::postgres::replication::StatusWriter;

/// What is to be reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// End of what is durable; 0/0 while nothing is.
    pub(super) durable: Lsn,
    /// Counts the server's requests for a status at once.
    pub(super) asked: u64,
}

/// The reporting task of one connection.
#[derive(Debug)]
pub(super) struct Reports {
    position: watch::Sender<Position>,
    task: JoinSet<postgres::Result<()>>,
}

impl Reports {
    /// Reports `durable` at once, every change of it, and every `interval`.
    ///
    /// Written and flushed are one: bytes that we merely hold are as lost as ours, so that `remote_write` waits for
    /// as much as `on`. Nothing is ever applied here.
    pub(super) fn start(mut writer: StatusWriter, durable: Lsn, interval: Duration) -> Self {
        let (position, mut changes) = watch::channel(Position { durable, asked: 0 });
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                let Position { durable, asked: _ } = *changes.borrow_and_update();
                writer.status(durable, durable, Lsn::default(), false).await?;
                match tokio::time::timeout(interval, changes.changed()).await {
                    Ok(Ok(())) | Err(_) => {}
                    Ok(Err(_)) => return Ok(()),
                }
            }
        });
        Self { position, task }
    }

    /// So much is durable now.
    pub(super) fn durable(&self, durable: Lsn) {
        self.position.send_if_modified(|position| {
            let more = durable > position.durable;
            position.durable = position.durable.max(durable);
            more
        });
    }

    /// The server wants to hear from us.
    pub(super) fn asked(&self) {
        self.position.send_modify(|position| position.asked += 1);
    }

    /// Waits until reporting fails, which it does when the connection is gone; cancel-safe.
    pub(super) async fn failed(&mut self) -> Option<postgres::Error> {
        match self.task.join_next().await {
            Some(Ok(Err(error))) => Some(error),
            _ => None,
        }
    }

    /// Reports what is left to report and ends.
    pub(super) async fn finish(self) {
        let Self { position, mut task } = self;
        position.send_modify(|position| position.asked += 1);
        // The task writes once more for the change above, then sees that nobody is left to change anything.
        drop(position);
        let _ = tokio::time::timeout(Duration::from_secs(5), task.join_next()).await;
    }
}

/// How often to report, for a server whose `wal_sender_timeout` is shown like this: often enough that two lost reports do not
/// end the connection.
pub(super) fn interval(timeout: &str) -> Duration {
    let longest = Duration::from_secs(WAL_STATUS_SECONDS_MAX);
    let digits = timeout.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = timeout.split_at(digits);
    let millis = match unit.trim() {
        "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return longest, // 0 is without limit
    };
    let limit = number.parse().ok().and_then(|number: u64| number.checked_mul(millis)).map(Duration::from_millis);
    limit.map_or(longest, |limit| (limit / 3).clamp(Duration::from_millis(100), longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_more_frequent_than_the_server_demands() {
        for (timeout, millis) in
            [("1min", 10_000), ("0", 10_000), ("6s", 2000), ("900ms", 300), ("1h", 10_000), ("1ms", 100)]
        {
            assert_eq!(interval(timeout), Duration::from_millis(millis), "{timeout}");
        }
    }
}
