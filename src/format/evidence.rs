//! Evidence: the signed record of a drill. JSON with an envelope behind it; no row of a database is ever in it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::manifest::Kind;
use super::signed::{self, Purpose};
use super::{BackupId, ClusterName, Digest, Error, EvidenceId, Lsn, RepositoryId, Result, Timeline, WriterPublic};
use crate::limits::{EVIDENCE_CHAINS_MAX, EVIDENCE_CHECKS_MAX, EVIDENCE_PHASES_MAX, EVIDENCE_TEXT_BYTES_MAX};

/// What was done, with what, and how it came out. Times are store time, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Version of this record.
    pub format: u32,
    /// Id of the repository.
    pub repository: RepositoryId,
    /// Name of the cluster.
    pub cluster: ClusterName,
    /// Its own id: a copy under another name is not this evidence.
    pub evidence: EvidenceId,
    /// Of what.
    pub kind: EvidenceKind,
    /// Version of stonewal.
    pub stonewal: String,
    /// Name of the host.
    pub host: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When the last check was done, or it failed.
    pub finished_at: Timestamp,
    /// What was asked for.
    pub request: RequestRecord,
    /// The backup that was restored; `None` if none was found.
    pub backup: Option<DrilledBackup>,
    /// Version of the PostgreSQL server that ran it, as that reports it; `None` if none started.
    pub server_version: Option<String>,
    /// Where a recovery ended; `None` for a dump, and where it did not end.
    pub reached: Option<ReachedRecord>,
    /// Whether the restored data directory had a `recovery.signal` before the server started; `None` for a dump, and where
    /// nothing was restored.
    pub recovery_signal: Option<bool>,
    /// What took how long, in order.
    pub phases: Vec<PhaseRecord>,
    /// From the start until every check was done; `None` if it did not come to that.
    pub rto_milliseconds: Option<u64>,
    /// The latest commit in what was recovered, by the clock of the cluster; for a dump, when its snapshot was taken; `None`
    /// where that is not known.
    pub newest_committed_at: Option<Timestamp>,
    /// The moment whose state was wanted: the target, or the start of the drill; `None` where none was: a position, or a
    /// dump that was chosen by its id or by lot.
    pub requested_at: Option<Timestamp>,
    /// By how much the one lies before the other.
    pub rpo_milliseconds: Option<u64>,
    /// What was allowed.
    pub objectives: ObjectivesRecord,
    /// Bytes restored.
    pub bytes: u64,
    /// Bytes of WAL that could be replayed.
    pub wal_bytes: u64,
    /// The checks in order.
    pub checks: Vec<CheckRecord>,
    /// Where hash chains that held ended; absent where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chains: Vec<ChainRecord>,
    /// The release that the database named.
    pub release: Option<String>,
    /// How it came out.
    pub result: EvidenceResult,
    /// Why it could not be carried out, if so.
    pub error: Option<String>,
}

/// Kinds of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvidenceKind {
    /// A restore into a disposable server.
    Drill,
}

/// How it came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvidenceResult {
    /// Restored, checked, within the objectives.
    Passed,
    /// Restored; a check failed or an objective was missed.
    Failed,
    /// It could not be carried out.
    Error,
}

impl std::fmt::Display for EvidenceResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Error => "error",
        })
    }
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestRecord {
    /// How the backup was chosen.
    pub choice: Choice,
    /// The moment to recover to, if one was named.
    pub time: Option<Timestamp>,
    /// The position to recover to, if one was named.
    pub lsn: Option<Lsn>,
}

/// How a backup was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// The newest, or the one that fits the target best.
    Latest,
    /// One of all, by lot.
    Random,
    /// By its id.
    Id,
}

/// The backup that was restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrilledBackup {
    /// Its id.
    pub id: BackupId,
    /// What it is.
    pub kind: Kind,
    /// SHA-256 of its manifest's object.
    pub manifest_sha256: Digest,
}

/// Where a recovery ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReachedRecord {
    /// The position.
    pub lsn: Lsn,
    /// The timeline that was followed.
    pub timeline: Timeline,
}

/// One phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseRecord {
    /// `plan`, `fetch`, `replay`, `ready` or `checks`.
    pub name: String,
    /// How long it took.
    pub milliseconds: u64,
}

/// What was allowed; `None` = no objective.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectivesRecord {
    /// Time to recover.
    pub rto_milliseconds: Option<u64>,
    /// Data lost.
    pub rpo_milliseconds: Option<u64>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckRecord {
    /// What was looked at.
    pub name: String,
    /// How it came out.
    pub status: CheckResult,
    /// In words; no contents of rows.
    pub detail: String,
}

/// Where a hash chain that held ended. What is restored later must still contain it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainRecord {
    /// The operator's name for it.
    pub name: String,
    /// The database that it is in, by its name in the source.
    pub database: String,
    /// `schema.table`.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// The hash of its last row, as it is stored there.
    pub head: String,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckResult {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// Should be looked at.
    Warn,
    /// Not as it must be.
    Fail,
}

impl Evidence {
    /// The version that is written.
    pub const FORMAT: u32 = 1;
    /// Name of the note that a replica alone was read.
    pub const READ_FROM: &str = "read from";

    /// Which replica alone was read, in words; `None` where the repository was: only that proves that the repository restores.
    pub fn replica(&self) -> Option<&str> {
        self.checks.iter().find(|check| check.name == Self::READ_FROM).map(|check| check.detail.as_str())
    }

    /// The object.
    pub fn encode(&self, writer: &WriterPublic, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Result<Vec<u8>> {
        self.check()?;
        let json = serde_json::to_vec(self).map_err(|error| malformed(error.to_string()))?;
        Ok(signed::seal(Purpose::Evidence, json, writer, sign))
    }

    /// Reads an object signed by one of `trusted`.
    pub fn decode(bytes: &[u8], trusted: &[WriterPublic]) -> Result<Self> {
        let (json, _) = signed::open(Purpose::Evidence, bytes, trusted)?;
        let version: Version = serde_json::from_slice(json).map_err(|error| malformed(error.to_string()))?;
        if version.format != Self::FORMAT {
            return Err(Error::Version { what: WHAT, version: version.format });
        }
        let evidence: Self = serde_json::from_slice(json).map_err(|error| malformed(error.to_string()))?;
        evidence.check()?;
        Ok(evidence)
    }

    /// A text as it may stand in evidence: of one line, and short.
    pub fn text(text: &str) -> String {
        let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let end = clean.floor_char_boundary(EVIDENCE_TEXT_BYTES_MAX);
        clean[..end].to_owned()
    }

    fn check(&self) -> Result<()> {
        if !self.evidence.began_at(self.started_at) {
            return Err(malformed(format!("{} did not begin at {}", self.evidence, self.started_at)));
        }
        if self.finished_at < self.started_at {
            return Err(malformed("it ends before it begins".into()));
        }
        within("number of checks", self.checks.len(), EVIDENCE_CHECKS_MAX)?;
        within("number of phases", self.phases.len(), EVIDENCE_PHASES_MAX)?;
        within("number of chains", self.chains.len(), EVIDENCE_CHAINS_MAX)?;
        let checks = self.checks.iter().flat_map(|check| [&check.name, &check.detail]);
        let phases = self.phases.iter().map(|phase| &phase.name);
        let chains = self.chains.iter().flat_map(|chain| [&chain.name, &chain.database, &chain.table, &chain.head]);
        let maybe = [&self.server_version, &self.release, &self.error].into_iter().flatten();
        for text in [&self.stonewal, &self.host].into_iter().chain(maybe).chain(checks).chain(phases).chain(chains) {
            within("text", text.len(), EVIDENCE_TEXT_BYTES_MAX)?;
            if text.chars().any(char::is_control) {
                return Err(malformed("a text holds control characters".into()));
            }
        }
        Ok(())
    }
}

const WHAT: &str = "evidence";

/// What stands in every version.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

fn malformed(why: String) -> Error {
    Error::Malformed { what: WHAT, why }
}

fn within(what: &'static str, claimed: usize, max: usize) -> Result<()> {
    if claimed > max { Err(Error::Absurd { what, claimed: claimed as u64, max: max as u64 }) } else { Ok(()) }
}
