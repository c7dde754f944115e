//! The server's own time: the host's clock plus an offset that tests move.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The clock behind `Date`, `Last-Modified`, lock expiry and the skew check.
#[derive(Debug, Default)]
pub(super) struct Clock {
    offset_millis: AtomicI64,
}

impl Clock {
    pub(super) fn new(offset: SignedDuration) -> Self {
        Self { offset_millis: AtomicI64::new(i64::try_from(offset.as_millis()).unwrap_or(0)) }
    }

    /// Store time now.
    #[expect(clippy::disallowed_methods, reason = "the store's clock starts from the host's")]
    pub(super) fn now(&self) -> Timestamp {
        let host = Timestamp::now();
        let offset = SignedDuration::from_millis(self.offset_millis.load(Ordering::Relaxed));
        host.checked_add(offset).unwrap_or(host)
    }

    /// Store time cut to whole seconds, which is all that `Last-Modified` can say.
    pub(super) fn now_seconds(&self) -> Timestamp {
        Timestamp::from_second(self.now().as_second()).unwrap_or_else(|_| self.now())
    }

    /// Lets time pass at once; there is no way back.
    pub(super) fn advance(&self, by: Duration) {
        self.offset_millis.fetch_add(i64::try_from(by.as_millis()).unwrap_or(0), Ordering::Relaxed);
    }
}

/// HTTP's date format (RFC 9110 section 5.6.7).
pub(super) fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_and_advance_add_up() {
        let clock = Clock::new(SignedDuration::from_hours(-48));
        let host = Clock::default();
        clock.advance(Duration::from_hours(1));
        let behind = clock.now().duration_until(host.now());
        assert!((behind - SignedDuration::from_hours(47)).abs() < SignedDuration::from_secs(5), "{behind}");
    }

    #[test]
    fn dates_look_like_http() {
        assert_eq!(http_date(Timestamp::UNIX_EPOCH), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
