//! Who may do what at the store: one table of S3 actions per role, in IAM spelling.
//!
//! The embedded server enforces this table, and the policies handed to real stores are generated from it, so what the
//! tests prove with a role is what the policy grants.
//!
//! # The writer and `s3:PutObjectRetention`
//!
//! A PUT that carries `x-amz-object-lock-mode` and `x-amz-object-lock-retain-until-date` is authorised for
//! `s3:PutObject` *and* `s3:PutObjectRetention`; `x-amz-object-lock-legal-hold` likewise asks for
//! `s3:PutObjectLegalHold` (Amazon S3 Service Authorization Reference; API PutObject, "Permissions"). IAM has no way to
//! grant the headers and deny the `PutObjectRetention` call, so a writer that locks what it writes holds the action.
//! It is no way out of a lock: without `s3:BypassGovernanceRetention` that call can only extend a retention
//! (S3 User Guide, "Object Lock considerations"). What it leaves to a stolen writer is over-locking, which a real bucket
//! policy bounds with the condition key `s3:object-lock-remaining-retention-days`.

/// The rights of one kind of user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A backup host: adds locked objects, reads and lists. No delete, no bypass.
    Writer,
    /// A restore host: reads and lists, and has thawed what lies in archive tiers.
    Reader,
    /// Extends locks and sets holds; reads no object.
    Retainer,
    /// Removes versions whose locks have expired; reads and writes no object.
    Pruner,
    /// Checks everything and changes nothing: a reader who also sees the bucket's lifecycle rules, its policy and
    /// uploads that nobody completed.
    Auditor,
    /// For tests: everything except the bypass of governance retention.
    Attacker,
    /// Everything.
    Admin,
}

const BYPASS: &str = "s3:BypassGovernanceRetention";

/// Every action that the embedded server knows; the bypass stands first so that the attacker's list is the rest.
const EVERYTHING: [&str; 32] = [
    BYPASS,
    "s3:AbortMultipartUpload",
    "s3:CreateBucket",
    "s3:DeleteBucket",
    "s3:DeleteBucketPolicy",
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:GetBucketLocation",
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetBucketPolicy",
    "s3:GetBucketVersioning",
    "s3:GetLifecycleConfiguration",
    "s3:GetObject",
    "s3:GetObjectAttributes",
    "s3:GetObjectLegalHold",
    "s3:GetObjectRetention",
    "s3:GetObjectVersion",
    "s3:GetObjectVersionAttributes",
    "s3:ListAllMyBuckets",
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
    "s3:ListBucketVersions",
    "s3:ListMultipartUploadParts",
    "s3:PutBucketObjectLockConfiguration",
    "s3:PutBucketPolicy",
    "s3:PutBucketVersioning",
    "s3:PutLifecycleConfiguration",
    "s3:PutObject",
    "s3:PutObjectLegalHold",
    "s3:PutObjectRetention",
    // Known to AWS, refused by the embedded server whoever asks.
    "s3:PutObjectTagging",
    "s3:RestoreObject",
];

/// The writer reads the lifecycle rules because `doctor` on a backup host is what finds the rule that would delete backups.
const WRITER: [&str; 12] = [
    "s3:GetBucketLocation",
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetBucketVersioning",
    "s3:GetLifecycleConfiguration",
    "s3:GetObject",
    "s3:GetObjectLegalHold",
    "s3:GetObjectRetention",
    "s3:GetObjectVersion",
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:PutObject",
    "s3:PutObjectRetention",
];

/// The reader asks archive tiers for what it is to read: that makes a copy which ends by itself, costs money and changes nothing.
const READER: [&str; 10] = [
    "s3:GetBucketLocation",
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetBucketVersioning",
    "s3:GetObject",
    "s3:GetObjectLegalHold",
    "s3:GetObjectRetention",
    "s3:GetObjectVersion",
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:RestoreObject",
];

const RETAINER: [&str; 9] = [
    "s3:GetBucketLocation",
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetBucketVersioning",
    "s3:GetObjectLegalHold",
    "s3:GetObjectRetention",
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:PutObjectLegalHold",
    "s3:PutObjectRetention",
];

const PRUNER: [&str; 8] = [
    "s3:DeleteObjectVersion",
    "s3:GetBucketLocation",
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetBucketVersioning",
    "s3:GetObjectLegalHold",
    "s3:GetObjectRetention",
    "s3:ListBucket",
    "s3:ListBucketVersions",
];

const AUDITOR: [&str; 12] = [
    "s3:GetBucketLocation",
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetBucketPolicy",
    "s3:GetBucketVersioning",
    "s3:GetLifecycleConfiguration",
    "s3:GetObject",
    "s3:GetObjectLegalHold",
    "s3:GetObjectRetention",
    "s3:GetObjectVersion",
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
    "s3:ListBucketVersions",
];

impl Role {
    /// Every role, in the order in which they are documented.
    pub const ALL: [Self; 7] =
        [Self::Writer, Self::Reader, Self::Retainer, Self::Pruner, Self::Auditor, Self::Attacker, Self::Admin];

    /// The roles that people give out; `infra/policies/` has the IAM policy of each.
    pub const GRANTED: [Self; 5] = [Self::Writer, Self::Reader, Self::Retainer, Self::Pruner, Self::Auditor];

    /// The name used in configuration, logs and policy files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Reader => "reader",
            Self::Retainer => "retainer",
            Self::Pruner => "pruner",
            Self::Auditor => "auditor",
            Self::Attacker => "attacker",
            Self::Admin => "admin",
        }
    }

    /// The S3 actions granted, as IAM spells them (`s3:PutObject`).
    pub fn actions(self) -> &'static [&'static str] {
        match self {
            Self::Writer => &WRITER,
            Self::Reader => &READER,
            Self::Retainer => &RETAINER,
            Self::Pruner => &PRUNER,
            Self::Auditor => &AUDITOR,
            Self::Attacker => EVERYTHING.split_at(1).1,
            Self::Admin => &EVERYTHING,
        }
    }

    /// Whether `action` is granted.
    pub fn allows(self, action: &str) -> bool {
        self.actions().contains(&action)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn i03_only_the_pruner_the_attacker_and_the_admin_can_delete() {
        for role in Role::ALL {
            let deletes = role.actions().iter().any(|action| action.contains("Delete"));
            assert_eq!(deletes, matches!(role, Role::Pruner | Role::Attacker | Role::Admin), "{role}");
        }
    }

    #[test]
    fn only_the_admin_may_bypass_governance() {
        for role in Role::ALL {
            assert_eq!(role.allows(BYPASS), role == Role::Admin, "{role}");
        }
        assert_eq!(Role::Attacker.actions().len() + 1, Role::Admin.actions().len());
    }

    #[test]
    fn only_admin_and_attacker_change_buckets() {
        for role in Role::GRANTED {
            for action in role.actions() {
                let kinds = ["PutBucket", "DeleteBucket", "Create", "PutLifecycle"];
                assert!(!kinds.iter().any(|kind| action[3..].starts_with(kind)), "{role} has {action}");
            }
        }
    }

    #[test]
    fn the_auditor_changes_nothing() {
        assert!(
            Role::Auditor
                .actions()
                .iter()
                .all(|action| action[3..].starts_with("Get") || action[3..].starts_with("List"))
        );
    }

    #[test]
    fn lists_have_known_actions_once_each() {
        for role in Role::ALL {
            let unique: BTreeSet<_> = role.actions().iter().collect();
            assert_eq!(unique.len(), role.actions().len(), "{role}");
            assert!(role.actions().iter().all(|action| EVERYTHING.contains(action)), "{role}");
        }
    }
}
