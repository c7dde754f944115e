//! How far a server that helps out is followed: to where our own takes over, or to the end of what it has.

use std::time::Duration;

use tokio::time::Instant;

use super::session::End;
use crate::format::Lsn;
use crate::limits::{REPLICATION_SILENCE_SECONDS, WAL_BORROW_PAUSE_SECONDS};
use crate::postgres;

/// A stream of another server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loan {
    /// No more than up to here is wanted.
    enough: Lsn,
    /// So far the lender's WAL reaches, as far as it has said.
    holds: Lsn,
    /// Since then it was listened to, and no WAL came.
    silent_since: Instant,
    listened: bool,
}

impl Loan {
    pub(super) fn new(enough: Lsn, holds: Lsn) -> Self {
        Self { enough, holds, silent_since: Instant::now(), listened: false }
    }

    /// Whether our own server takes over.
    pub(super) fn is_enough(&self, received: Lsn) -> bool {
        received >= self.enough
    }

    /// WAL came, from a server that has it up to `server_end`.
    pub(super) fn heard(&mut self, server_end: Lsn) {
        self.holds = self.holds.max(server_end);
        self.silent_since = Instant::now();
    }

    /// While our own side has no room for more, nobody's silence counts.
    pub(super) fn listens(&mut self, listens: bool) {
        if !(self.listened && listens) {
            self.silent_since = Instant::now();
        }
        self.listened = listens;
    }
}

/// Waits until the lender has no more to give, or fails to give what it has; for ever without one. Cancel-safe: however often it
/// is begun anew, the silence counts from the last WAL.
pub(super) async fn silence(loan: Option<Loan>, received: Lsn) -> End {
    let Some(loan) = loan else { return std::future::pending().await };
    if received >= loan.holds {
        tokio::time::sleep_until(loan.silent_since + Duration::from_secs(WAL_BORROW_PAUSE_SECONDS)).await;
        return End::Enough;
    }
    tokio::time::sleep_until(loan.silent_since + Duration::from_secs(REPLICATION_SILENCE_SECONDS)).await;
    let what = format!("it has WAL up to {}, and sends nothing behind {received}", loan.holds);
    End::Lost(postgres::Error::Lost { target: "the server that helps out".into(), what })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds until the end, with the loop woken every second as by the flush interval.
    async fn lasts(loan: Option<Loan>, received: Lsn) -> (u64, End) {
        let began = Instant::now();
        loop {
            let turn = tokio::time::timeout(Duration::from_secs(1), silence(loan, received));
            if let Ok(end) = turn.await {
                return (began.elapsed().as_secs(), end);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn i09_a_borrowed_stream_ends_when_the_lender_has_no_more() {
        let at = Lsn::new;
        let mut loan = Loan::new(at(900), at(500));
        loan.listens(true);
        let (seconds, end) = lasts(Some(loan), at(500)).await;
        assert!((WAL_BORROW_PAUSE_SECONDS..=WAL_BORROW_PAUSE_SECONDS + 1).contains(&seconds), "{seconds}");
        assert!(matches!(end, End::Enough));
        assert!(!loan.is_enough(at(899)) && loan.is_enough(at(900)));
        // A slow disk: it has more, so its silence is no answer.
        let mut slow = Loan::new(at(900), at(500));
        slow.heard(at(600));
        let (seconds, end) = lasts(Some(slow), at(599)).await;
        assert!(seconds >= REPLICATION_SILENCE_SECONDS && matches!(end, End::Lost(_)), "{seconds}");
        // Time in which we did not listen is not the lender's.
        slow.listens(false);
        tokio::time::advance(Duration::from_secs(500)).await;
        slow.listens(true);
        let (seconds, _) = lasts(Some(slow), at(600)).await;
        assert!(seconds >= WAL_BORROW_PAUSE_SECONDS, "{seconds}");
        assert!(tokio::time::timeout(Duration::from_hours(1), silence(None, at(1))).await.is_err());
    }
}
