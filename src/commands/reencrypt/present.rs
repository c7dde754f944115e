//! Copies of a backup that are there, made by an earlier run or by another one at the same time.

use jiff::Timestamp;

use super::{Copied, Job, copied, origin};
use crate::catalog::{Backup, believed};
use crate::commands::Result;
use crate::format::BackupId;
use crate::verify;

/// A whole copy whose keys are wrapped to the recipients that count now.
#[derive(Debug)]
pub(super) struct Present {
    /// When it arrived: of several the newest counts.
    arrived_at: Timestamp,
    pub(super) copied: Copied,
}

impl Present {
    fn rank(&self) -> (Timestamp, &BackupId) {
        (self.arrived_at, &self.copied.to)
    }
}

impl Job<'_> {
    /// Those that are newer than `original`, which may be a copy itself; the one that counts is the last.
    pub(super) async fn present(&self, original: &Backup) -> Result<Vec<Present>> {
        let (clear, root) = (original.clear(), self.repository.trusted_root());
        let first = origin(self.repository, original).backup;
        let mut found: Vec<Present> = Vec::new();
        for id in self.repository.candidates(self.cluster).await? {
            if !id.began_at(clear.started_at) || id == clear.backup {
                continue;
            }
            let (Some(copy), _) = self.repository.look(self.cluster, &id).await? else { continue };
            let named = copy.copy_of(&root).is_some_and(|of| of.backup == first || of.backup == clear.backup);
            let later = (copy.entry.last_modified, &id) > (original.entry.last_modified, &clear.backup);
            let newer = later || original.copy_of(&root).is_none();
            if named && newer && self.counts(&copy).await? {
                let arrived_at = copy.entry.last_modified;
                found.push(Present { arrived_at, copied: copied(original, copy.clear(), true) });
            }
        }
        found.sort_by(|a, b| a.rank().cmp(&b.rank()));
        Ok(found)
    }

    /// Whether it is whole, and was made for the recipients that count now: an earlier one opens for those that were revoked
    /// since. The name of a wrap tells, to whoever holds the key.
    async fn counts(&self, copy: &Backup) -> Result<bool> {
        let record = &copy.clear().payload_key;
        let opened = async {
            let key = self.repository.payload_key(record).await?;
            self.repository.sealed_part(&copy.manifest).await?;
            Ok(key)
        };
        let Some(key) = believed(opened.await)? else { return Ok(false) };
        let current = self.repository.with_keyring(|ring| ring.wrap_tag(&key)) == record.wrap.tag;
        Ok(current && !verify::presence(self.repository, copy).await?.has_damage())
    }
}

/// What is to be said if another run copied the same backup at the same time.
pub(super) fn rivals(made: &Copied, present: &[Present]) -> Option<String> {
    let counting = present.last()?;
    let others = present.iter().filter(|one| one.copied.to != made.to).map(|one| one.copied.to.to_string());
    let others: Vec<_> = others.collect();
    (!others.is_empty()).then(|| {
        format!(
            "backup {} was copied by somebody else at the same time, as {}: of these and {}, the newest, {}, counts and takes the place of the others",
            made.from, others.join(", "), made.to, counting.copied.to
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(number: u8, second: i64) -> Present {
        let id = |number| BackupId::new(Timestamp::UNIX_EPOCH, [0, 0, 0, number]);
        let copied = Copied { from: id(1), to: id(number), already: true, plain_bytes: 1, stored_bytes: 1 };
        Present { arrived_at: Timestamp::from_second(second).unwrap(), copied }
    }

    #[test]
    fn a_copy_made_at_the_same_time_is_told() {
        let (mine, other) = (present(2, 5), present(3, 6));
        assert_eq!(rivals(&mine.copied, &[present(2, 5)]), None);
        let told = rivals(&mine.copied, &[present(2, 5), present(3, 6)]).unwrap();
        let counting = format!("the newest, {}, counts", other.copied.to);
        assert!(told.contains(&counting), "{told}");
        let told = rivals(&other.copied, &[mine, present(3, 6)]).unwrap();
        assert!(told.contains(&counting), "{told}");
    }
}
