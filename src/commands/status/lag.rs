//! How much would be lost now: the server's position against what is durable in the bucket, and nothing that a streamer
//! believes (PAINS C3).

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::facts::Durable;
use crate::postgres::wal_facts::WalFacts;

/// What is on the server and not in the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lag {
    /// Bytes of WAL; `None` if none of the server's timeline is durable, so that nothing can be compared.
    pub bytes: Option<u64>,
    /// At most for how long WAL has been missing: 0 when nothing is missing, else since the newest durable WAL arrived;
    /// `None` if none ever did.
    pub seconds: Option<u64>,
    /// Whether `archive_timeout` bounds the age: all finished segments are durable, the archiver works, and only the
    /// unfinished segment is missing.
    pub by_archive_timeout: bool,
}

/// The lag, of a server that was asked before the bucket was looked at. `None` when the server did not say where it is.
pub(super) fn measure(server: &WalFacts, durable: Option<&Durable>, now: Timestamp) -> Option<Lag> {
    let position = server.position?;
    let same_timeline = |durable: &&Durable| server.timeline.is_none_or(|timeline| durable.timeline == timeline);
    let missing = durable.filter(same_timeline).map(|durable| position.since(durable.lsn));
    if missing == Some(0) {
        return Some(Lag { bytes: missing, seconds: Some(0), by_archive_timeout: false });
    }
    let age = durable.map(|durable| age(durable.arrived_at, now));
    let timeout = Duration::from_secs(server.settings.archive_timeout_seconds);
    let by_archive_timeout = age.is_some_and(|age| age > timeout) && only_unfinished(server, missing);
    let bounded = if by_archive_timeout { Some(timeout) } else { age };
    Some(Lag { bytes: missing, seconds: bounded.map(|age| age.as_secs()), by_archive_timeout })
}

/// Whether nothing but the unfinished segment is missing, and an archiver that works will push it in time. Then whatever
/// is missing is younger than the timeout, or holds no change: PostgreSQL does not archive a segment for records that
/// mean nothing, such as those of an idle checkpoint (docs, `archive_timeout`).
fn only_unfinished(server: &WalFacts, missing: Option<u64>) -> bool {
    let (Some(missing), Some(position), Some(segment)) = (missing, server.position, server.settings.segment_bytes)
    else {
        return false;
    };
    let inside = position.since(position.floor(segment.bytes()));
    let works = server.archiver.as_ref().is_some_and(|archiver| !archiver.is_failing())
        && server.backlog.is_none_or(|backlog| backlog.files == 0);
    let settings = server.settings;
    settings.archiving && settings.archive_timeout_seconds > 0 && works && missing <= inside
}

/// Time from a moment to a later one.
pub(super) fn age(from: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(from).try_into().unwrap_or_default()
}

/// What a slot still allows, and for how long at the present rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Headroom {
    /// Bytes that can be written before WAL that the streamer needs may be removed.
    pub bytes: u64,
    /// WAL per second: between two looks, or on average since the statistics were reset, whichever is more.
    pub bytes_per_second: Option<u64>,
    /// Seconds until then at that rate.
    pub seconds: Option<u64>,
}

/// The headroom of the slot called `name`; `None` if it has none to measure. `moved` = bytes written between two looks,
/// and the time between them.
pub(super) fn headroom(server: &WalFacts, name: &str, moved: Option<(u64, Duration)>) -> Option<Headroom> {
    let bytes = u64::try_from(server.slot(name)?.safe_bytes?.max(0)).unwrap_or_default();
    let per_second = |bytes: u64, took: Duration| {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
        bytes.saturating_mul(1000) / millis
    };
    let lately = moved.map(|(bytes, took)| per_second(bytes, took));
    let average = server.written.map(|written| per_second(written.bytes, age(written.since, server.now)));
    let rate = lately.max(average);
    Some(Headroom { bytes, bytes_per_second: rate, seconds: rate.filter(|rate| *rate > 0).map(|rate| bytes / rate) })
}

#[cfg(test)]
mod tests {
    use super::super::samples::{at, durable, server};
    use super::*;
    use crate::format::{Lsn, Timeline};
    use crate::postgres::wal_facts::{Backlog, Written};

    fn lag(bytes: Option<u64>, seconds: u64) -> Lag {
        Lag { bytes, seconds: Some(seconds), by_archive_timeout: false }
    }

    #[test]
    fn nothing_missing_is_no_lag_however_old_the_newest_object_is() {
        let server = server();
        for ahead in [0, 5] {
            let durable = Durable { lsn: server.position.unwrap().plus(ahead), ..durable(0) };
            assert_eq!(measure(&server, Some(&durable), at(1_000_000)), Some(lag(Some(0), 0)));
        }
    }

    #[test]
    fn what_is_missing_is_as_old_as_the_newest_object() {
        let server = server();
        let behind = Durable { lsn: Lsn::new(server.position.unwrap().get() - 7), ..durable(100) };
        assert_eq!(measure(&server, Some(&behind), at(103)), Some(lag(Some(7), 3)));
        assert_eq!(measure(&server, Some(&behind), at(90)), Some(lag(Some(7), 0)), "clocks that go back do not count");
        let other = Durable { timeline: Timeline::new(7).unwrap(), ..behind };
        assert_eq!(
            measure(&server, Some(&other), at(103)),
            Some(lag(None, 3)),
            "another timeline's positions mean nothing"
        );
        assert_eq!(measure(&server, None, at(103)).unwrap().seconds, None);
        assert_eq!(measure(&WalFacts { position: None, ..server }, Some(&behind), at(103)), None);
    }

    #[test]
    fn the_unfinished_segment_of_an_archiver_is_no_older_than_its_timeout() {
        let mut server = server();
        server.settings.archiving = true;
        server.settings.archive_timeout_seconds = 60;
        let position = server.position.unwrap();
        let durable = Durable { lsn: position.floor(16 << 20), ..durable(0) };
        let missing = position.since(durable.lsn);
        let good = Some(Lag { bytes: Some(missing), seconds: Some(60), by_archive_timeout: true });
        assert_eq!(measure(&server, Some(&durable), at(5000)), good);
        assert_eq!(
            measure(&server, Some(&durable), at(10)),
            Some(lag(Some(missing), 10)),
            "still younger than the timeout"
        );
        let earlier = Durable { lsn: Lsn::new(durable.lsn.get() - 1), ..durable };
        assert_eq!(
            measure(&server, Some(&earlier), at(5000)).unwrap().seconds,
            Some(5000),
            "a finished segment is missing"
        );
        let mut waiting = server.clone();
        waiting.backlog = Some(Backlog { files: 1, bytes: None, oldest_at: None });
        assert_eq!(measure(&waiting, Some(&durable), at(5000)).unwrap().seconds, Some(5000));
        let mut failing = server.clone();
        failing.archiver.as_mut().unwrap().last_failed_at = Some(at(4000));
        assert_eq!(measure(&failing, Some(&durable), at(5000)).unwrap().seconds, Some(5000));
        server.settings.archive_timeout_seconds = 0;
        assert_eq!(measure(&server, Some(&durable), at(5000)).unwrap().seconds, Some(5000), "it may wait for ever");
    }

    #[test]
    fn headroom_lasts_as_long_as_the_faster_rate_allows() {
        let mut server = server();
        assert_eq!(headroom(&server, "stonewal", None), None, "an unlimited slot");
        server.slots.as_mut().unwrap()[0].safe_bytes = Some(1000);
        let without_rate = Headroom { bytes: 1000, bytes_per_second: None, seconds: None };
        assert_eq!(headroom(&server, "stonewal", None), Some(without_rate));
        server.written = Some(Written { bytes: 500, since: server.now - Duration::from_secs(100) });
        assert_eq!(headroom(&server, "stonewal", None).unwrap().seconds, Some(200));
        let moved = Some((100, Duration::from_secs(2)));
        assert_eq!(headroom(&server, "stonewal", moved).unwrap().seconds, Some(20));
        assert_eq!(headroom(&server, "stonewal", Some((0, Duration::ZERO))).unwrap().seconds, Some(200));
        server.slots.as_mut().unwrap()[0].safe_bytes = Some(-5);
        assert_eq!(headroom(&server, "stonewal", None).unwrap().bytes, 0);
        assert_eq!(headroom(&server, "other", None), None);
    }
}
