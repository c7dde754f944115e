//! What PostgreSQL reads when it starts the restored cluster: where recovery ends, where its WAL comes from, and the keys for
//! that, which lie below `pg_wal`: neither a base backup nor pg_verifybackup looks there, and they go when recovery ends.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::owner::Owner;
use super::roots::failed;
use crate::catalog::plan::Goal;
use crate::commands::{Error, Replica, RepositoryOptions, Result};
use crate::format::{ClusterName, Timeline};
use crate::postgres::server::shell_word;
use crate::store::S3Options;

/// Below the data directory: script, configuration and identity for `wal fetch`.
pub(super) const KEYS_DIR: &str = "pg_wal/stonewal.recovery";
/// Below the data directory: WAL that was fetched in advance.
pub(super) const LOCAL_WAL_DIR: &str = "pg_wal/stonewal.wal";
/// What `wal fetch` fetches ahead of PostgreSQL.
const AHEAD_DIR: &str = "pg_wal/stonewal.ahead";

/// What PostgreSQL does at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Opens for writing on a new timeline.
    Promote,
    /// Stays readable and waits for `pg_wal_replay_resume()`.
    Pause,
    /// Stops, so that one can look and set another target.
    Shutdown,
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Promote => "promote",
            Self::Pause => "pause",
            Self::Shutdown => "shutdown",
        })
    }
}

/// Where recovery gets its WAL from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WalSource {
    /// From the repository, by `stonewal wal fetch`.
    Repository,
    /// From a directory that the restore fills.
    Local,
    /// From the base backup alone.
    None,
}

/// How a recovery ends.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    pub(super) goal: Goal,
    pub(super) inclusive: bool,
    /// `None` = that of the base, which has no history file that PostgreSQL would look for.
    pub(super) timeline: Option<Timeline>,
    pub(super) action: Action,
    pub(super) wal: WalSource,
    /// Whether PostgreSQL must not look ahead of what it replays: it would meet a gap behind the target and stop.
    pub(super) narrow: bool,
    /// Whether the cluster may archive once it is promoted, as its source did.
    pub(super) archives: bool,
}

/// The lines for `postgresql.auto.conf`. All parameters of recovery are in them, since the source may have had its own.
pub(super) fn settings(ending: &Ending, server_version: u32, note: &str) -> Result<String> {
    let mut text = format!("\n# {note}\n");
    let mut set = |name: &str, value: &str| {
        let _ = writeln!(text, "{name} = '{}'", value.replace('\\', "\\\\").replace('\'', "''"));
    };
    let (restore, end) = match ending.wal {
        WalSource::Repository => (repository_command(), format!("rm -rf {KEYS_DIR} {AHEAD_DIR}")),
        WalSource::Local => (local_command(), format!("rm -rf {LOCAL_WAL_DIR}")),
        WalSource::None => ("false".into(), String::new()),
    };
    set("restore_command", &restore);
    set("recovery_end_command", &end);
    set("archive_cleanup_command", "");
    set("recovery_min_apply_delay", "0");
    if ending.narrow && server_version >= 150_000 {
        set("recovery_prefetch", "off");
    }
    if !ending.archives {
        set("archive_mode", "off");
    }
    let target = match &ending.goal {
        Goal::Latest => None,
        Goal::Immediate => Some(("recovery_target", "immediate".to_owned())),
        Goal::Time(time) => Some(("recovery_target_time", time.strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string())),
        Goal::Lsn(lsn) => Some(("recovery_target_lsn", lsn.to_string())),
        Goal::Xid(xid) => Some(("recovery_target_xid", xid.to_string())),
        Goal::Name(name) => Some(("recovery_target_name", name.clone())),
    };
    // PostgreSQL takes one target; what is emptied must be emptied before it is given.
    let names = ["", "_time", "_lsn", "_xid", "_name"].map(|suffix| format!("recovery_target{suffix}"));
    for name in names.iter().filter(|name| target.as_ref().is_none_or(|(target, _)| target != name)) {
        set(name, "");
    }
    if let Some((name, value)) = target {
        if value.chars().any(char::is_control) || value.len() > 1000 {
            return Err(Error::Usage(format!("{value:?} cannot be a recovery target")));
        }
        set(name, &value);
    }
    set("recovery_target_inclusive", if ending.inclusive { "on" } else { "off" });
    set("recovery_target_timeline", &ending.timeline.map_or("current".into(), |timeline| timeline.to_string()));
    set("recovery_target_action", &ending.action.to_string());
    Ok(text)
}

/// PostgreSQL takes an exit code up to 125 for "there is no such file" and ends recovery there, and a shell says 2 of a script
/// that it cannot open: we look first, and say 126, at which PostgreSQL stops.
fn repository_command() -> String {
    let script = format!("{KEYS_DIR}/fetch");
    format!("if [ -f {script} ] && [ -r {script} ]; then exec sh {script} \"%f\" \"%p\"; else exit 126; fi")
}

/// Absent is only what a directory that can be looked into does not have.
fn local_command() -> String {
    let dir = LOCAL_WAL_DIR;
    format!(
        "if [ -f {dir}/%f ]; then cp {dir}/%f \"%p\" || exit 126; elif [ -d {dir} ] && [ -x {dir} ]; then exit 1; else exit 126; fi"
    )
}

/// What `wal fetch` needs on the host of the restored server.
pub(super) struct FetchKeys<'a> {
    /// Our own program.
    pub(super) program: &'a Path,
    pub(super) repository: &'a RepositoryOptions,
    pub(super) cluster: &'a ClusterName,
    /// A recovery file or KMS file.
    pub(super) identity: SecretString,
    /// `AWS_*` variables of this process, and how to reach KMS.
    pub(super) aws: &'a [(String, SecretString)],
}

#[derive(Serialize)]
struct Config<'a> {
    repository: String,
    cluster: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_replica: Option<&'a str>,
    s3: S3Config<'a>,
    keys: KeysConfig,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    replica: BTreeMap<&'a str, ReplicaConfig<'a>>,
}

#[derive(Serialize)]
struct ReplicaConfig<'a> {
    repository: String,
    #[serde(flatten)]
    s3: S3Config<'a>,
}

#[derive(Serialize)]
struct S3Config<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_style: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct KeysConfig {
    identity_file: &'static str,
}

impl<'a> S3Config<'a> {
    fn of(s3: &'a S3Options) -> std::io::Result<Self> {
        Ok(Self {
            endpoint: s3.endpoint.as_deref(),
            region: s3.region.as_deref(),
            profile: s3.profile.as_deref(),
            path_style: s3.path_style,
            ca_file: s3.ca_file.as_ref().map(std::path::absolute).transpose()?,
        })
    }
}

impl FetchKeys<'_> {
    /// Writes the directory below the data directory `data`.
    pub(super) fn write(&self, data: &Path, owner: Owner) -> Result<()> {
        let dir = data.join(KEYS_DIR);
        let made = fs::DirBuilder::new().mode(0o700).recursive(true).create(&dir);
        made.and_then(|()| owner.give(&dir)).map_err(failed(&dir))?;
        let url = |s3: &S3Options| format!("s3://{}/{}", s3.bucket, self.repository.prefix);
        let url = |s3| url(s3).trim_end_matches('/').to_owned();
        let s3 = |s3| S3Config::of(s3).map_err(failed(&dir));
        let mut replica = BTreeMap::new();
        for Replica { name, s3: options, .. } in &self.repository.replicas {
            replica.insert(name.as_str(), ReplicaConfig { repository: url(options), s3: s3(options)? });
        }
        let config = Config {
            repository: url(&self.repository.s3),
            cluster: self.cluster.as_str(),
            from_replica: self.repository.from_replica.as_deref(),
            s3: s3(&self.repository.s3)?,
            keys: KeysConfig { identity_file: "identity" },
            replica,
        };
        let config = toml::to_string(&config).map_err(|error| Error::Usage(error.to_string()))?;
        secret_file(&dir.join("stonewal.toml"), &config, owner)?;
        secret_file(&dir.join("identity"), self.identity.expose_secret(), owner)?;
        secret_file(&dir.join("fetch"), self.script().expose_secret(), owner)
    }

    /// Run by PostgreSQL in its data directory. Our exit code is the script's; without our program it is 127, at which
    /// PostgreSQL stops.
    fn script(&self) -> SecretString {
        let mut text = String::from("# restore_command of this recovery; removed when it ends.\n");
        for (name, value) in self.credentials() {
            let _ = writeln!(text, "export {name}={}", shell_word(value));
        }
        let program = shell_word(&self.program.display().to_string());
        let _ = writeln!(text, "exec {program} --config {KEYS_DIR}/stonewal.toml wal fetch \"$1\" \"$2\"");
        SecretString::from(text)
    }

    fn credentials(&self) -> Vec<(&str, &str)> {
        let mut all: Vec<(&str, &str)> =
            self.aws.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
        if let Some(fixed) = &self.repository.s3.credentials {
            all.push(("AWS_ACCESS_KEY_ID", &fixed.access_key));
            all.push(("AWS_SECRET_ACCESS_KEY", fixed.secret_key.expose_secret()));
            all.extend(fixed.session_token.as_ref().map(|token| ("AWS_SESSION_TOKEN", token.expose_secret())));
        }
        all
    }
}

/// Readable by the owner only, from the first byte on.
fn secret_file(path: &Path, text: &str, owner: Owner) -> Result<()> {
    let _ = fs::remove_file(path);
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| {
        owner.give_file(&file)?;
        file.write_all(text.as_bytes())
    });
    written.map_err(failed(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(goal: Goal, wal: WalSource) -> Ending {
        let timeline = Some(Timeline::new(3).unwrap());
        Ending { goal, inclusive: false, timeline, action: Action::Pause, wal, narrow: true, archives: false }
    }

    #[test]
    fn the_target_comes_last_and_the_others_are_emptied() {
        let time = Goal::Time("2026-11-24T04:45:00.5+01:00".parse().unwrap());
        let text = settings(&ending(time, WalSource::Repository), 150_000, "note").unwrap();
        let at = |line: &str| text.find(line).unwrap_or_else(|| panic!("{line} is not in {text}"));
        let set = at("recovery_target_time = '2026-11-24 03:45:00.500000+00'");
        for name in ["", "_lsn", "_xid", "_name"] {
            assert!(at(&format!("recovery_target{name} = ''")) < set);
        }
        at("then exec sh pg_wal/stonewal.recovery/fetch \"%f\" \"%p\"; else exit 126; fi'");
        at("recovery_target_inclusive = 'off'");
        at("recovery_prefetch = 'off'");
        at("archive_mode = 'off'");
        at("recovery_target_timeline = '3'");
        at("recovery_target_action = 'pause'");
    }

    #[test]
    fn names_are_quoted() {
        let name = Goal::Name("it's \\ here".into());
        let text = settings(&ending(name, WalSource::None), 140_000, "note").unwrap();
        assert!(
            text.contains("recovery_target_name = 'it''s \\\\ here'") && text.contains("restore_command = 'false'")
        );
        assert!(settings(&ending(Goal::Name("a\nb".into()), WalSource::None), 140_000, "note").is_err());
        assert_eq!(shell_word("a'b c"), "'a'\\''b c'");
    }
}
