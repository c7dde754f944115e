//! Writing the records of one command.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::timeout;

use crate::catalog::{self, Access, AuditEntry, AuditTrail, Repository};
use crate::commands::{Connected, Error, RepositoryOptions, Result};
use crate::format::audit::{AuditObject, AuditOutcome, AuditPhase, plain_text};
use crate::format::{AuditId, ClusterName};
use crate::limits::{AUDIT_FAREWELL_SECONDS_MAX, AUDIT_OBJECTS_MAX, AUDIT_SECONDS_MAX, AUDIT_TEXT_BYTES_MAX};
use crate::postgres::users;

/// Where records go, and who writes them.
#[derive(Debug)]
pub struct Options {
    /// Where, with credentials that may append.
    pub repository: RepositoryOptions,
    /// Keys that may sign.
    pub access: Access,
    /// How long a record is locked.
    pub retain: Duration,
    /// Why, in the operator's words.
    pub reason: Option<String>,
}

/// What is done, and to what.
#[derive(Clone, Debug)]
pub struct Deed {
    /// Words with dots between them, such as `backup.dump`.
    pub name: &'static str,
    /// The cluster, if one is meant.
    pub cluster: Option<ClusterName>,
    /// What it is done to or with; grows while more becomes known.
    pub objects: Vec<AuditObject>,
    /// How much of what.
    pub numbers: BTreeMap<&'static str, u64>,
}

impl Deed {
    /// A deed about which nothing more is known yet.
    pub fn named(name: &'static str) -> Self {
        Self { name, cluster: None, objects: Vec::new(), numbers: BTreeMap::new() }
    }

    /// Names one more object, once; what would not fit into a record is counted.
    pub fn object(&mut self, kind: &'static str, name: &str) {
        let object = AuditObject::new(kind, name);
        if self.objects.contains(&object) {
            return;
        }
        if self.objects.len() < AUDIT_OBJECTS_MAX {
            self.objects.push(object);
        } else {
            *self.numbers.entry("objects_not_named").or_default() += 1;
        }
    }
}

/// How a deed ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// The exit code.
    pub exit: u8,
    /// Why it failed, in words that quote nothing of what is stored or of what a database said.
    pub error: Option<String>,
}

/// Writes the records of one command.
#[derive(Debug)]
pub struct Recorder {
    connected: Connected,
    repository: Repository,
    trail: AuditTrail,
    retain: Duration,
    reason: Option<String>,
    begun: Option<AuditId>,
}

impl Recorder {
    /// Opens the repository for writing records; `None` where there is none, and so no place for a record.
    pub async fn open(options: Options) -> Result<Option<Self>> {
        let opening = async {
            let connected = Connected::to(&options.repository).await?;
            let (store, names) = (connected.store.clone(), connected.names.clone());
            // A writer file opens whatever it is shown: one of another repository must not leave its records here.
            let opened = match options.access {
                access @ Access::Writer(_) => Repository::open(store, names, access, &connected.location).await,
                access => Repository::open_lightly(store, names, access, &connected.location).await,
            };
            let repository = match opened {
                Err(catalog::Error::NoRepository { .. }) => return Ok(None),
                opened => opened?,
            };
            let (retain, reason) = (options.retain, options.reason);
            let reason = reason.map(|text| plain_text(&text, AUDIT_TEXT_BYTES_MAX));
            repository.with_keyring(|ring| ring.writer().map(drop))?;
            let trail = AuditTrail::default();
            Ok(Some(Self { connected, repository, trail, retain, reason, begun: None }))
        };
        Box::pin(in_time(AUDIT_SECONDS_MAX, opening)).await
    }

    /// Records that the deed is about to be done; the id of that record names the deed from then on.
    pub async fn begin(&mut self, deed: &Deed) -> Result<AuditId> {
        let id = in_time(AUDIT_SECONDS_MAX, self.append(deed, AuditPhase::Begun, None)).await?;
        self.begun = Some(id.clone());
        Ok(id)
    }

    /// Records how it ended.
    pub async fn end(&mut self, deed: &Deed, ending: &Ending) -> Result<()> {
        let outcome = AuditOutcome::new(ending.exit, ending.error.as_deref(), &deed.numbers);
        let seconds = if ending.error.is_some() { AUDIT_FAREWELL_SECONDS_MAX } else { AUDIT_SECONDS_MAX };
        in_time(seconds, self.append(deed, AuditPhase::Ended, Some(outcome))).await.map(drop)
    }

    async fn append(&mut self, deed: &Deed, phase: AuditPhase, outcome: Option<AuditOutcome>) -> Result<AuditId> {
        let heads = self.trail.heads(&self.repository).await?;
        // After the first answer of the store, whose clock counts (invariant I11).
        let lock = self.connected.lock_for(self.retain)?;
        let entry = AuditEntry {
            deed: deed.name.to_owned(),
            phase,
            begun: self.begun.clone().filter(|_| phase == AuditPhase::Ended),
            cluster: deed.cluster.clone(),
            objects: deed.objects.clone(),
            who: user(),
            host: host(),
            reason: self.reason.clone(),
            outcome,
        };
        let store = &*self.connected.store;
        Ok(self.trail.append(store, &self.repository, entry, heads, lock).await?)
    }
}

/// A store that does not answer must not keep anybody from a restore.
async fn in_time<T>(seconds: u64, job: impl Future<Output = Result<T>>) -> Result<T> {
    match timeout(Duration::from_secs(seconds), job).await {
        Ok(done) => done,
        Err(_) => Err(Error::NoAudit { why: format!("the store did not take it within {seconds} s") }),
    }
}

/// The system's word, not a variable's.
fn user() -> String {
    let uid = rustix::process::geteuid().as_raw();
    let name = users::current().map_or_else(|| format!("uid {uid}"), |user| user.name);
    plain_text(&name, AUDIT_TEXT_BYTES_MAX)
}

fn host() -> String {
    plain_text(&rustix::system::uname().nodename().to_string_lossy(), AUDIT_TEXT_BYTES_MAX)
}
