//! The types that options and outcomes are made of, so that whoever calls a command needs no other module.

pub use super::frozen::FrozenPart;
pub use crate::catalog::plan::{Goal, Leg, Request, TimelineChoice};
pub use crate::catalog::{Access, Finding, FindingKind};
pub use crate::format::audit::{AuditObject, AuditPhase, AuditRecord};
pub use crate::format::evidence;
pub use crate::format::manifest::{BaseFacts, ClearPart, DumpFacts, Kind};
pub use crate::format::{AuditId, BackupId, ClusterName, Codec, EvidenceId, LockRecord, Lsn, Tag, Timeline};
pub use crate::keys::{Error as KeyError, KmsAccess, KmsFile, Recipient, RecoveryFile, WriterFile};
pub use crate::kms::{KmsOptions, service as kms_service};
pub use crate::pipeline::Encoding;
pub use crate::postgres::conninfo::carries_password;
pub use crate::postgres::dump::DumpOptions;
pub use crate::postgres::globals::GlobalsMode;
pub use crate::postgres::programs::Search;
pub use crate::postgres::rows::TableName;
pub use crate::postgres::slot::WalStatus;
pub use crate::postgres::{ConnInfo, Environment as PostgresEnvironment};
pub use crate::retention::{BackupDecision, Policy, Reason, UnfinishedDecision, Verdict, Verified, WalDecision};
pub use crate::store::{Checksum, LockMode, Retrieval, S3Options, Thaw};
pub use crate::verify::chain;
pub use crate::verify::restored::{Check, Expected, Guard, Recorded, Status as CheckStatus};
pub use crate::verify::{Break as AuditBreak, BreakKind as AuditBreakKind};
pub use crate::verify::{Coverage, Findings, Level, Percent, Sample, TimelineReport, WalLevel, WalReport};
