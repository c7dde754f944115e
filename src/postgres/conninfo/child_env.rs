//! The settings as an environment for pg_dump, pg_dumpall and psql. Nothing secret ever goes on a command line, which
//! every user of the host can read (PAINS F6).

use secrecy::{ExposeSecret as _, SecretString};

use super::ConnInfo;
use super::keywords::{KEYWORDS, OTHER_VARIABLES, Use};

/// Variables to set, after everything else libpq would read was cleared.
#[derive(Debug, Clone)]
pub struct ChildEnv {
    set: Vec<(&'static str, SecretString)>,
    extra: Option<String>,
}

impl ChildEnv {
    pub(super) fn new(info: &ConnInfo, application_name: &str) -> Self {
        let list =
            |part: &dyn Fn(&super::Endpoint) -> String| info.endpoints.iter().map(part).collect::<Vec<_>>().join(",");
        let mut set: Vec<(&'static str, SecretString)> = vec![
            ("PGHOST", list(&|e| e.host.clone()).into()),
            ("PGPORT", list(&|e| e.port.to_string()).into()),
            ("PGUSER", info.user.clone().into()),
            ("PGDATABASE", info.dbname.clone().into()),
            ("PGAPPNAME", application_name.to_owned().into()),
            // Messages in English, as our hints read them; bytes pass untouched.
            ("LC_ALL", "C".to_owned().into()),
        ];
        if info.endpoints.iter().any(|e| e.hostaddr.is_some()) {
            let addresses = list(&|e| e.hostaddr.map(|a| a.to_string()).unwrap_or_default());
            set.push(("PGHOSTADDR", addresses.into()));
        }
        match (&info.password, &info.passfile) {
            (Some(password), _) => set.push(("PGPASSWORD", password.clone())),
            (None, Some(path)) => set.push(("PGPASSFILE", path.to_string_lossy().into_owned().into())),
            (None, None) => {}
        }
        let mut extra = Vec::new();
        for keyword in KEYWORDS.iter().filter(|k| matches!(k.used, Use::Ours | Use::Children)) {
            match (info.params.get(keyword.name), keyword.env) {
                (Some(_), _) if matches!(keyword.name, "service" | "servicefile") => {}
                (Some(value), Some(variable)) => set.push((variable, value.clone().into())),
                (Some(value), None) => extra.push(format!("{}='{}'", keyword.name, escaped(value))),
                (None, _) => {}
            }
        }
        if info.param("connect_timeout").is_none() {
            set.push(("PGCONNECT_TIMEOUT", crate::limits::CONNECT_SECONDS_DEFAULT.to_string().into()));
        }
        Self { set, extra: (!extra.is_empty()).then(|| extra.join(" ")) }
    }

    /// One more variable.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.set.push((name, value.to_owned().into()));
        self
    }

    /// Parameters without a variable (keepalives), as a connection string for `--dbname`. Never anything secret.
    pub fn extra_conninfo(&self) -> Option<&str> {
        self.extra.as_deref()
    }

    /// Names and values to set.
    pub fn variables(&self) -> &[(&'static str, SecretString)] {
        &self.set
    }

    /// Clears what the command would inherit of libpq's variables and of our secrets, then sets what it needs.
    pub fn apply(&self, command: &mut std::process::Command) {
        hide_secrets(command);
        for name in KEYWORDS.iter().filter_map(|k| k.env).chain(OTHER_VARIABLES.iter().copied()) {
            command.env_remove(name);
        }
        for (name, value) in &self.set {
            command.env(name, value.expose_secret());
        }
    }
}

/// What may hold a secret and is no business of PostgreSQL's programs: of a variable that a child inherits, its
/// environment in /proc, its core dumps and its own children know too (PAINS F6).
const SECRETS: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "BACKUP_PASSPHRASE",
    "DATABASE_URL",
    "PGPASSWORD",
    "REPLICATION_DATABASE_URL",
    "RESTORE_DATABASE_URL",
    "STONEWAL_POSTGRES_URL",
];

/// Lets a command inherit none of our secrets.
pub(in crate::postgres) fn hide_secrets(command: &mut std::process::Command) {
    for name in SECRETS {
        command.env_remove(name);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\'', "\\'")
}
