//! How a store treats unusual requests. Nothing depends on the answers, except which checksum to configure.

use jiff::SignedDuration;

use super::{Outcome, Status};
use crate::commands::{Connected, Error, Immutability};
use crate::keys::tag;
use crate::store::{self, Checksum, Lock, ObjectKey, Probe, Read as _};

const FOREIGN_KEY: &str = "a PUT under a foreign key is refused";

pub(super) async fn check(connected: &Connected, immutability: Immutability, outcome: &mut Outcome) {
    let checksum = connected.store.checksum();
    let mut probes = vec![
        ("configured checksum is kept", Probe::ChecksumKept(checksum)),
        ("crc64nvme is kept", Probe::ChecksumKept(Checksum::Crc64Nvme)),
        ("sha256 is kept", Probe::ChecksumKept(Checksum::Sha256)),
        ("a wrong checksum is refused", Probe::WrongChecksumRefused(checksum)),
        ("a second conditional PUT is refused", Probe::SecondPutRefused),
        (FOREIGN_KEY, Probe::ForeignKeyRefused),
    ];
    if let (Immutability::ObjectLock { mode, .. }, Ok(retain_until)) =
        (immutability, connected.store.clock().now().checked_add(SignedDuration::from_mins(1)))
    {
        probes
            .push(("a locked PUT without a checksum is refused", Probe::BareLockRefused(Lock { mode, retain_until })));
    }
    for (name, probe) in probes {
        let Ok(tag) = tag() else { return };
        match connected.store.probe(probe, &ObjectKey::new(connected.names.canary(tag))).await {
            Ok(answer) => drop(outcome.capabilities.insert(name, answer)),
            Err(store::Error::Denied { .. }) => return,
            Err(error) => return outcome.fail("capabilities", &Error::from(error)),
        }
    }
    judge(outcome);
}

fn judge(outcome: &mut Outcome) {
    let answer = |name| outcome.capabilities.get(name).copied().unwrap_or(false);
    let (wrong, sha256) = (answer("a wrong checksum is refused"), answer("sha256 is kept"));
    if answer(FOREIGN_KEY) {
        outcome.add("foreign keys", Status::Ok, "an object under a key of the client's own (SSE-C) is refused");
    } else {
        outcome.advise(
            "foreign keys",
            Status::Warn,
            "these credentials may store objects under a key that only they have (SSE-C)",
            "deny it in the bucket policy, as infra/policies/bucket.json does: it is how stolen keys hold data to ransom",
        );
    }
    if wrong {
        outcome.add("checksum", Status::Ok, "the store refuses objects that were damaged on the way");
    } else {
        let hint = if sha256 {
            "try s3.checksum = \"sha256\""
        } else {
            "try s3.checksum = \"md5\"; the digests in every manifest are checked in any case"
        };
        outcome.advise("checksum", Status::Warn, "the store accepts an object whose checksum header is wrong", hint);
    }
}
