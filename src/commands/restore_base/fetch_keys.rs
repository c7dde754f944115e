//! The keys with which PostgreSQL fetches its WAL, which lie below `pg_wal`: neither a base backup nor pg_verifybackup looks
//! there, and they go when recovery ends.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::owner::Owner;
use super::recovery::KEYS_DIR;
use super::roots::failed;
use crate::commands::{Error, Replica, RepositoryOptions, Result};
use crate::format::ClusterName;
use crate::postgres::server::shell_word;
use crate::store::S3Options;

/// Variables that name the files of the AWS tools, and what copies of these are called. Credentials are in the last one.
const AWS_FILES: [(&str, &str); 2] =
    [("AWS_CONFIG_FILE", "aws-config"), ("AWS_SHARED_CREDENTIALS_FILE", "aws-credentials")];

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
        let carried = self.carry_profiles(&dir, owner)?;
        secret_file(&dir.join("fetch"), self.script(&carried).expose_secret(), owner)
    }

    /// Copies the AWS files, those with credentials where something beside the variables is used: PostgreSQL runs as somebody else,
    /// who has another home and may not look into this one. Gives the variables that name the copies.
    fn carry_profiles(&self, dir: &Path, owner: Owner) -> Result<Vec<(&'static str, String)>> {
        let given =
            |name: &str| self.aws.iter().find(|(given, _)| given == name).map(|(_, value)| value.expose_secret());
        let replicas = self.repository.replicas.iter().map(|replica| &replica.s3);
        let named = replicas.chain([&self.repository.s3]).any(|s3| s3.profile.is_some());
        let has_keys = given("AWS_ACCESS_KEY_ID").is_some() || self.repository.s3.credentials.is_some();
        let named = named || ["AWS_PROFILE", "STONEWAL_KMS_PROFILE"].into_iter().any(|name| given(name).is_some());
        let files = if has_keys && !named { &AWS_FILES[..1] } else { &AWS_FILES[..] };
        let mut carried = Vec::new();
        for &(variable, file) in files {
            let Some(text) = given(variable).and_then(|path| fs::read_to_string(path).ok()) else { continue };
            secret_file(&dir.join(file), &text, owner)?;
            carried.push((variable, format!("{KEYS_DIR}/{file}")));
        }
        Ok(carried)
    }

    /// Run by PostgreSQL in its data directory. Our exit code is the script's; without our program it is 127, at which
    /// PostgreSQL stops.
    fn script(&self, carried: &[(&str, String)]) -> SecretString {
        let mut text = String::from("# restore_command of this recovery; removed when it ends.\n");
        // Who starts the server may have settings of their own in the environment, which would win over the file.
        text.push_str(
            "for name in $(env | sed -n 's/^\\(STONEWAL_[A-Z0-9_]*\\)=.*/\\1/p'); do unset \"$name\"; done\n",
        );
        let carried = carried.iter().map(|(name, path)| (*name, path.as_str()));
        for (name, value) in self.credentials().into_iter().chain(carried) {
            let _ = writeln!(text, "export {name}={}", shell_word(value));
        }
        let program = shell_word(&self.program.display().to_string());
        let _ = writeln!(text, "exec {program} --config {KEYS_DIR}/stonewal.toml wal fetch \"$1\" \"$2\"");
        SecretString::from(text)
    }

    /// All variables but those that name files: of these the copies count, and without copies what its user has.
    fn credentials(&self) -> Vec<(&str, &str)> {
        let given = self.aws.iter().map(|(name, value)| (name.as_str(), value.expose_secret()));
        let mut all: Vec<(&str, &str)> =
            given.filter(|(name, _)| AWS_FILES.iter().all(|(file, _)| file != name)).collect();
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
    use std::time::Duration;

    use super::*;
    use crate::commands::Immutability;

    #[test]
    fn words_of_a_script_are_quoted() {
        assert_eq!(shell_word("a'b c"), "'a'\\''b c'");
    }

    /// The variables of the script, as names and values.
    fn exported(aws: &[(&str, &str)], profile: Option<&str>) -> Vec<(String, String)> {
        let dir = tempfile::tempdir().unwrap();
        let home = |file: &str| dir.path().join(file);
        fs::write(home("config"), "[profile far]\nregion = eu-west-1\n").unwrap();
        fs::write(home("credentials"), "[far]\n").unwrap();
        let files = [("AWS_CONFIG_FILE", home("config")), ("AWS_SHARED_CREDENTIALS_FILE", home("credentials"))];
        let files = files.map(|(name, path)| (name, path.display().to_string()));
        let files = files.iter().map(|(name, path)| (*name, path.as_str()));
        let aws: Vec<_> = aws.iter().copied().chain(files).collect();
        let aws: Vec<_> =
            aws.into_iter().map(|(name, value)| (name.to_owned(), SecretString::from(value.to_owned()))).collect();
        let repository = RepositoryOptions {
            s3: S3Options { profile: profile.map(str::to_owned), ..S3Options::new("b") },
            prefix: String::new(),
            immutability: Immutability::None,
            require_worm: false,
            lock_max: Duration::ZERO,
            replicas: Vec::new(),
            from_replica: None,
        };
        let cluster: ClusterName = "main".parse().unwrap();
        let (program, identity) = (Path::new("/stonewal"), SecretString::from(String::new()));
        let keys = FetchKeys { program, repository: &repository, cluster: &cluster, identity, aws: &aws };
        let data = home("data");
        fs::create_dir(&data).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&data, Some(4001), Some(4001)).unwrap();
        }
        let carried = keys.carry_profiles(&data, Owner::of(&data).unwrap()).unwrap();
        let script = keys.script(&carried);
        let line = |line: &str| {
            let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
            Some((name.to_owned(), value.trim_matches('\'').to_owned()))
        };
        let copies = carried.iter().all(|(_, path)| data.join(Path::new(path).file_name().unwrap()).is_file());
        assert!(copies, "{carried:?}");
        script.expose_secret().lines().filter_map(line).collect()
    }

    #[test]
    fn what_a_script_names_is_carried() {
        let id = ("AWS_ACCESS_KEY_ID", "x");
        let config = ("AWS_CONFIG_FILE", "pg_wal/stonewal.recovery/aws-config");
        let secrets = ("AWS_SHARED_CREDENTIALS_FILE", "pg_wal/stonewal.recovery/aws-credentials");
        let kms = ("STONEWAL_KMS_PROFILE", "far");
        let check = |aws: &[(&str, &str)], profile, want: &[(&str, &str)]| {
            let found = exported(aws, profile);
            let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(found, want);
        };
        check(&[id], None, &[id, config]);
        check(&[], None, &[config, secrets]);
        check(&[id], Some("far"), &[id, config, secrets]);
        check(&[id, kms], None, &[id, kms, config, secrets]);
    }
}
