//! One backup's locks, one after the other: which ends first, and which end too soon. Pure.

use jiff::Timestamp;

use super::{BackupLocks, Dependency, Part, Standing};
use crate::catalog::{Finding, FindingKind, Footing};
use crate::retention::BackupDecision;
use crate::store::Lock;
use crate::verify::Findings;

/// What the store said of an object's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// This is its lock, if it has one.
    Is(Option<Lock>),
    /// It is not there.
    Gone,
}

impl Asked {
    pub(super) fn until(self) -> Option<Timestamp> {
        match self {
            Self::Is(lock) => lock.map(|lock| lock.retain_until),
            Self::Gone => None,
        }
    }

    /// Whether it ends before `moment`. Stores keep whole seconds.
    pub(super) fn is_short(self, moment: Timestamp) -> bool {
        self.until().is_none_or(|until| until.as_second() < moment.as_second())
    }
}

/// One backup.
pub(super) struct Tally {
    told: BackupLocks,
    soon: Timestamp,
    /// The manifest's own lock, which what it names must outlast.
    promised: Option<Lock>,
}

impl Tally {
    pub(super) fn of(decision: &BackupDecision, needed_until: Timestamp, soon: Timestamp) -> Self {
        let told = BackupLocks {
            backup: decision.backup.clone(),
            kind: decision.kind,
            needed_until,
            standing: Standing::Good,
            first: None,
            asked: 0,
            findings: Findings::default(),
        };
        Self { told, soon, promised: None }
    }

    pub(super) fn told(self) -> BackupLocks {
        self.told
    }

    /// The manifest, before anything that it names.
    pub(super) fn manifest(&mut self, key: &str, asked: Asked) {
        if let Asked::Is(lock) = asked {
            self.promised = lock;
        }
        self.needed(Part::Manifest, key, asked, self.told.needed_until);
    }

    /// Something that the manifest needs.
    pub(super) fn take(&mut self, part: Part, key: &str, asked: Asked) {
        let short = self.needed(part, key, asked, self.told.needed_until);
        let (Asked::Is(Some(lock)), Some(promised), false) = (asked, self.promised, short) else { return };
        if !lock.outlasts(promised) {
            let (mode, until) = (lock.mode, lock.retain_until);
            self.short(
                key,
                format!(
                    "it is locked in {mode} mode until {until}, the manifest that needs it in {} mode until {}",
                    promised.mode, promised.retain_until
                ),
            );
        }
    }

    /// Something of which there are copies: one suffices.
    pub(super) fn footing(&mut self, part: Part, copies: &str, found: &[Footing]) {
        match Footing::best(found, self.promised) {
            Some(found) => self.take(part, found.key.as_str(), Asked::Is(found.lock)),
            None => self.gone(copies),
        }
    }

    /// Something that is needed until a moment. True if its lock is too short for that.
    pub(super) fn needed(&mut self, part: Part, key: &str, asked: Asked, needed_until: Timestamp) -> bool {
        self.told.asked += 1;
        if asked == Asked::Gone {
            self.gone(key);
            return true;
        }
        let until = asked.until();
        if self.told.first.as_ref().is_none_or(|first| until < first.until) {
            self.told.first = Some(Dependency { part, key: key.to_owned(), until, needed_until });
        }
        if asked.is_short(needed_until.min(self.soon)) {
            let ends = until.map_or_else(|| "it is not locked".into(), |at| format!("its lock ends {at}"));
            self.short(key, format!("{ends}, and it is needed until {needed_until}"));
            return true;
        }
        if asked.is_short(needed_until) {
            self.told.standing = self.told.standing.max(Standing::Due);
        }
        false
    }

    /// Something that is needed and is not there.
    pub(super) fn gone(&mut self, key: &str) {
        self.told.standing = Standing::Short;
        self.told.findings.push(Finding::new(FindingKind::Missing, key, None, "it is needed and is gone"));
    }

    fn short(&mut self, key: &str, detail: String) {
        self.told.standing = Standing::Short;
        self.told.findings.push(Finding::new(FindingKind::LockShort, key, None, detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::manifest::Kind;
    use crate::retention::{Reason, Verdict, Verified};
    use crate::store::LockMode;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + day * 86_400).unwrap()
    }

    fn lock(day: i64) -> Asked {
        Asked::Is(Some(Lock { mode: LockMode::Governance, retain_until: at(day) }))
    }

    /// A backup that is needed for 30 days more, and a margin of 7.
    fn tally() -> Tally {
        let decision = BackupDecision {
            backup: "20270115T070000Z-5b0c6f2e".parse().unwrap(),
            kind: Kind::Dump,
            arrived_at: at(0),
            verified: Verified::Yes,
            bytes: 1,
            verdict: Verdict::Keep { until: at(30), why: Reason::Marked },
            also: Vec::new(),
            own_end_only: false,
        };
        Tally::of(&decision, at(30), at(7))
    }

    fn of(manifest: Asked, chunk: Asked) -> BackupLocks {
        let mut tally = tally();
        tally.manifest("manifest", manifest);
        tally.take(Part::Chunk, "chunk", chunk);
        tally.told()
    }

    /// PAINS A16.
    #[test]
    fn i11_a_lock_that_ends_before_what_needs_it_is_found() {
        for (manifest, chunk, standing, first) in [
            (lock(30), lock(30), Standing::Good, ("manifest", Some(at(30)))),
            (lock(30), lock(31), Standing::Good, ("manifest", Some(at(30)))),
            (lock(20), lock(21), Standing::Due, ("manifest", Some(at(20)))),
            (lock(20), lock(19), Standing::Short, ("chunk", Some(at(19)))), // in time, but before the manifest
            (lock(6), lock(40), Standing::Short, ("manifest", Some(at(6)))),
            (lock(30), Asked::Is(None), Standing::Short, ("chunk", None)),
            (lock(30), Asked::Gone, Standing::Short, ("manifest", Some(at(30)))),
        ] {
            let told = of(manifest, chunk);
            let found = told.first.as_ref().map(|first| (first.key.as_str(), first.until));
            assert_eq!((told.standing, found), (standing, Some(first)), "{manifest:?} {chunk:?}");
            assert_eq!(told.findings.total(), u64::from(standing == Standing::Short), "{told:?}");
            assert_eq!(told.findings.has_damage(), chunk == Asked::Gone);
        }
    }

    #[test]
    fn i11_a_weaker_mode_than_the_manifests_is_found() {
        let strict = Asked::Is(Some(Lock { mode: LockMode::Compliance, retain_until: at(30) }));
        let told = of(strict, lock(40));
        assert_eq!(told.standing, Standing::Short);
        assert!(told.findings.details[0].detail.starts_with("it is locked in governance mode"), "{told:?}");
        assert_eq!(of(lock(30), strict).standing, Standing::Good);
    }

    #[test]
    fn i11_ground_that_is_gone_is_damage() {
        let mut tally = tally();
        tally.footing(Part::Bundle, "prod/identities/", &[]);
        let told = tally.told();
        assert!(told.standing == Standing::Short && told.findings.has_damage(), "{told:?}");
    }
}
