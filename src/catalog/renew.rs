//! Copies of what backups and WAL stand on, so that it stays locked for as long as they do (invariant I11).

use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::copies::Copies;
use super::footing::Foundation;
use super::{Repository, Result};
use crate::store::{self, Append, Entry, Lock, ObjectKey, Put, Read};

/// Where locks may not reach twice as far ahead, a copy still gets a lock so much longer than was asked for, in parts of it: else
/// every backup would need a copy of its own.
const HEADROOM: i32 = 8;

/// Copies a genuine copy to a fresh name, unless one is locked until `lock` ends. False if there is none.
/// Among any number of planted ones no more than some hundred are read once the content is known: then a further copy costs less.
pub(super) async fn renew<S: Read + Append>(
    store: &S,
    repository: &Repository,
    of: Foundation<'_>,
    (lock, most): (Lock, Duration),
) -> Result<bool> {
    let mut known = repository.content(of);
    let mut copies = Copies::list(store, repository, of, known.is_none()).await?;
    let mut found = false;
    while let Some((entry, body)) = copies.next().await? {
        if is_locked(store, &entry, lock).await? {
            return Ok(true);
        }
        found = true;
        known = Some(body);
    }
    // What all of them hold may be known although the bucket has none any more: that is told.
    let Some(body) = known.filter(|_| found || copies.left_out()) else { return Ok(false) };
    put(store, repository, of, body, (lock, longer(lock, store.clock().now(), most))).await?;
    Ok(true)
}

async fn is_locked(store: &impl Read, entry: &Entry, lock: Lock) -> Result<bool> {
    let held = store.head(&entry.key, &entry.version).await?.lock;
    Ok(held.is_some_and(|held| held.outlasts(lock)))
}

/// With the longer lock, or else with the one that was asked for: what is needed is not to fail for what would be nice.
async fn put<S: Append>(
    store: &S,
    repository: &Repository,
    of: Foundation<'_>,
    body: Bytes,
    (lock, longer): (Lock, Lock),
) -> Result<()> {
    let copy = |lock| -> Result<Put> {
        Ok(Put { key: ObjectKey::new(repository.fresh_copy(of)?), body: body.clone(), lock: Some(lock) })
    };
    match store.put(copy(longer)?).await {
        // The bucket's policy may allow no more.
        Err(store::Error::Denied { .. }) if longer != lock => store.put(copy(lock)?).await?,
        stored => stored?,
    };
    Ok(())
}

/// Twice as long, so that copies stay few; no further ahead than `most`, since nobody can take a lock back (PAINS E4), and in any
/// case a little longer than was asked.
fn longer(lock: Lock, now: Timestamp, most: Duration) -> Lock {
    let span = now.duration_until(lock.retain_until);
    let after = |span: SignedDuration| lock.retain_until.checked_add(span).unwrap_or(lock.retain_until);
    let (twice, least) = (after(span), after(span / HEADROOM));
    let most = SignedDuration::try_from(most).ok().and_then(|most| now.checked_add(most).ok()).unwrap_or(twice);
    Lock { retain_until: twice.min(most).max(least), ..lock }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::LockMode;

    #[test]
    fn e04_copies_are_locked_hardly_further_ahead_than_anything() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let days = |days: i64| now + SignedDuration::from_hours(24 * days);
        let most = |days: u64| Duration::from_hours(24 * days);
        for (asked, max, until) in
            [(32, 400, 64), (300, 400, 400), (384, 400, 432), (400, 400, 450), (408, 400, 459), (32, 36_500_000, 64)]
        {
            let lock = Lock { mode: LockMode::Compliance, retain_until: days(asked) };
            let longer = longer(lock, now, most(max));
            assert_eq!((longer.mode, longer.retain_until), (lock.mode, days(until)), "{asked} of {max}");
        }
    }
}
