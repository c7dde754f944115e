//! Object names: where everything lies under the prefix of a repository.

mod wal;

pub use wal::WalName;

use super::{AuditId, BackupId, ClusterName, Error, EvidenceId, KeyId, Result, StreamName, Tag};

/// Builds and reads full object names below one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    prefix: String,
}

impl Names {
    /// Names below `prefix`: empty, or path segments that end with one `/` (added when absent).
    pub fn new(prefix: &str) -> Result<Self> {
        if prefix.is_empty() {
            return Ok(Self { prefix: String::new() });
        }
        let trimmed = prefix.strip_suffix('/').unwrap_or(prefix);
        let bad = |segment: &str| segment.is_empty() || segment == "." || segment == "..";
        let control = prefix.chars().any(char::is_control);
        if trimmed.split('/').any(bad) || control || trimmed.len() > 512 {
            let why =
                format!("{prefix:?} must be path segments of at most 512 bytes, without empty ones, \".\" or \"..\"");
            return Err(Error::Malformed { what: "prefix", why });
        }
        Ok(Self { prefix: format!("{trimmed}/") })
    }

    /// The prefix, empty or with its final `/`.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The repository record.
    pub fn repository(&self) -> String {
        format!("{}repository", self.prefix)
    }

    /// Folder of identity bundles.
    pub fn identities(&self) -> String {
        format!("{}identities/", self.prefix)
    }

    /// What the copies of the identity bundle with this fingerprint begin with.
    pub fn identity_copies(&self, fingerprint: Tag) -> String {
        format!("{}{fingerprint}-", self.identities())
    }

    /// One copy of the identity bundle with this fingerprint.
    pub fn identity(&self, fingerprint: Tag, tag: Tag) -> String {
        format!("{}{tag}.age", self.identity_copies(fingerprint))
    }

    /// Folder of writer certificates.
    pub fn writers(&self) -> String {
        format!("{}writers/", self.prefix)
    }

    /// What the copies of the certificate of the writer with this short id begin with.
    pub fn writer_copies(&self, writer: &str) -> String {
        format!("{}{writer}-", self.writers())
    }

    /// One copy of the certificate of the writer with this short id.
    pub fn writer(&self, writer: &str, tag: Tag) -> String {
        format!("{}{tag}", self.writer_copies(writer))
    }

    /// Folder of rosters.
    pub fn rosters(&self) -> String {
        format!("{}roster/", self.prefix)
    }

    /// The roster with this number; copies of it, and one whose name was taken, have a random part.
    pub fn roster(&self, generation: u64, tag: Option<Tag>) -> String {
        let tag = tag.map_or_else(String::new, |tag| format!("-{tag}"));
        format!("{}{generation}{tag}", self.rosters())
    }

    /// The number of the roster stored under `key`.
    pub fn roster_of(&self, key: &str) -> Option<u64> {
        let name = key.strip_prefix(&self.rosters())?;
        let (number, tag) = name.split_once('-').map_or((name, None), |(number, tag)| (number, Some(tag)));
        tag.map(str::parse::<Tag>).transpose().ok()?;
        number.parse().ok().filter(|generation: &u64| generation.to_string() == number)
    }

    /// Folder of the wraps of one data key.
    pub fn wraps(&self, key: KeyId) -> String {
        format!("{}keys/{key}/", self.prefix)
    }

    /// One wrap of a data key.
    pub fn wrap(&self, key: KeyId, tag: Tag) -> String {
        format!("{}{tag}.age", self.wraps(key))
    }

    /// Folder of the backups of one cluster.
    pub fn backups(&self, cluster: &ClusterName) -> String {
        format!("{}{cluster}/backups/", self.prefix)
    }

    /// Folder of one backup.
    pub fn backup(&self, cluster: &ClusterName, backup: &BackupId) -> String {
        format!("{}{backup}/", self.backups(cluster))
    }

    /// What the names of a backup's manifests begin with.
    pub fn manifests(&self, cluster: &ClusterName, backup: &BackupId) -> String {
        format!("{}manifest-", self.backup(cluster, backup))
    }

    /// The manifest of a backup.
    pub fn manifest(&self, cluster: &ClusterName, backup: &BackupId, tag: Tag) -> String {
        format!("{}{tag}", self.manifests(cluster, backup))
    }

    /// One chunk of a stream.
    pub fn chunk(
        &self,
        cluster: &ClusterName,
        backup: &BackupId,
        stream: &StreamName,
        number: u32,
        tag: Tag,
    ) -> String {
        format!("{}{stream}/{number}-{tag}", self.backup(cluster, backup))
    }

    /// Folder of audit records.
    pub fn audit(&self) -> String {
        format!("{}audit/", self.prefix)
    }

    /// One audit record.
    pub fn audit_record(&self, record: &AuditId) -> String {
        format!("{}{record}", self.audit())
    }

    /// The audit record stored under `key`.
    pub fn audit_of(&self, key: &str) -> Option<AuditId> {
        key.strip_prefix(&self.audit())?.parse().ok()
    }

    /// Folder of the evidence about one cluster.
    pub fn all_evidence(&self, cluster: &ClusterName) -> String {
        format!("{}{cluster}/evidence/", self.prefix)
    }

    /// One piece of evidence.
    pub fn evidence(&self, cluster: &ClusterName, id: &EvidenceId) -> String {
        format!("{}{id}", self.all_evidence(cluster))
    }

    /// Where the repository probes what the store enforces.
    pub fn canary(&self, tag: Tag) -> String {
        format!("{}canary/{tag}", self.prefix)
    }

    /// Clusters named by the folders of a listing of the prefix; other folders are not clusters.
    pub fn clusters(&self, folders: &[String]) -> Vec<ClusterName> {
        let name = |folder: &String| folder.strip_prefix(&self.prefix)?.strip_suffix('/')?.parse().ok();
        folders.iter().filter_map(name).collect()
    }

    /// The backup named by a folder of a listing of [`Names::backups`].
    pub fn backup_of(&self, cluster: &ClusterName, folder: &str) -> Option<BackupId> {
        folder.strip_prefix(&self.backups(cluster))?.strip_suffix('/')?.parse().ok()
    }

    /// The data key that a wrap stored under `key` is of.
    pub fn key_of(&self, key: &str) -> Option<KeyId> {
        let (id, tag) = key.strip_prefix(&self.prefix)?.strip_prefix("keys/")?.strip_suffix(".age")?.split_once('/')?;
        tag.parse::<Tag>().ok()?;
        id.parse().ok()
    }

    /// Whether `key` is named like the certificate of a writer.
    pub fn is_writer(&self, key: &str) -> bool {
        let parts = key.strip_prefix(&self.writers()).and_then(|name| name.split_once('-'));
        parts.is_some_and(|(writer, tag)| writer.parse::<Tag>().is_ok() && tag.parse::<Tag>().is_ok())
    }

    /// Fingerprint of the identity bundle stored under `key`.
    pub fn fingerprint_of(&self, key: &str) -> Option<Tag> {
        let (fingerprint, tag) = key.strip_prefix(&self.identities())?.strip_suffix(".age")?.split_once('-')?;
        tag.parse::<Tag>().ok()?;
        fingerprint.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_segments() {
        assert_eq!(Names::new("").unwrap().repository(), "repository");
        assert_eq!(Names::new("a/b").unwrap(), Names::new("a/b/").unwrap());
        assert_eq!(Names::new("a/b").unwrap().repository(), "a/b/repository");
        for bad in ["/", "/a", "a//b", "..", "a/../b", "a\nb", "a//", &"a".repeat(600)] {
            assert!(Names::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_read_back() {
        let names = Names::new("p/").unwrap();
        let cluster: ClusterName = "main".parse().unwrap();
        let backup: BackupId = "20261124T031500Z-5b0c6f2e".parse().unwrap();
        let folder = names.backup(&cluster, &backup);
        assert_eq!(folder, "p/main/backups/20261124T031500Z-5b0c6f2e/");
        assert_eq!(names.backup_of(&cluster, &folder), Some(backup));
        assert_eq!(names.backup_of(&cluster, "p/main/backups/x/"), None);
        assert_eq!(names.backup_of(&cluster, "q/main/backups/20261124T031500Z-5b0c6f2e/"), None);
        let tag = Tag::new([1; 8]);
        let print = Tag::new([2; 8]);
        assert_eq!(names.fingerprint_of(&names.identity(print, tag)), Some(print));
        assert_eq!(names.fingerprint_of("p/identities/x.age"), None);
        let id = KeyId::new([3; 16]);
        assert_eq!(names.key_of(&names.wrap(id, tag)), Some(id));
        for bad in ["p/keys/03/0101010101010101.age", "keys/x", &format!("{}x.age", names.wraps(id)), &names.wraps(id)]
        {
            assert_eq!(names.key_of(bad), None, "{bad}");
        }
        let record: AuditId = "20261124T031500Z-5b0c6f2e00112233".parse().unwrap();
        assert_eq!(names.audit_record(&record), "p/audit/20261124T031500Z-5b0c6f2e00112233");
        assert_eq!(names.audit_of(&names.audit_record(&record)), Some(record));
        assert_eq!(names.audit_of("p/audit/20261124T031500Z-5b0c6f2e"), None);
        for tag in [None, Some(tag)] {
            assert_eq!(names.roster_of(&names.roster(12, tag)), Some(12));
        }
        for bad in ["p/roster/", "p/roster/012", "p/roster/+1", "p/roster/1-", "p/roster/1-x", "roster/1"] {
            assert_eq!(names.roster_of(bad), None, "{bad}");
        }
        let writer = crate::format::WriterPublic::new([4; 32]).id();
        assert!(names.is_writer(&names.writer(&writer, tag)) && !names.is_writer("p/writers/x-y"));
        let folders = ["p/main/".into(), "p/keys/".into(), "p/Bad/".into(), "p/canary/".into()];
        assert_eq!(names.clusters(&folders), [cluster]);
    }
}
