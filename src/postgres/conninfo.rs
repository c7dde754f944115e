//! Connection settings, resolved once as libpq resolves them: connection string, then service file, then `PG*`
//! variables, then defaults (PostgreSQL docs 34.1.2, 34.15 to 34.17).

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use super::{Error, Result, users};

mod child_env;
mod hosts;
mod keywords;
mod pgpass;
mod service;
#[cfg(test)]
mod tests;
mod text;

pub use child_env::ChildEnv;
pub(super) use child_env::hide_secrets;
pub use hosts::Endpoint;
use keywords::{KEYWORDS, Use};

/// Environment variables as `config` read them. Its `Debug` shows names only.
#[derive(Clone, Default)]
pub struct Environment(HashMap<String, String>);

impl Environment {
    /// Takes the variables over.
    pub fn new(variables: HashMap<String, String>) -> Self {
        Self(variables)
    }

    /// A variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    fn home(&self) -> Option<PathBuf> {
        self.get("HOME").map(PathBuf::from).or_else(|| users::current().map(|u| u.home))
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Whether a connection string itself carries a password, which everyone on the host could read in an argument list.
pub fn carries_password(conninfo: &str) -> Result<bool> {
    Ok(text::parse(conninfo)?.iter().any(|(name, value)| name == "password" && !value.is_empty()))
}

/// Where and how to connect. Holds no secret that `Debug` or [`ConnInfo::redacted`] would show.
#[derive(Debug, Clone)]
pub struct ConnInfo {
    endpoints: Vec<Endpoint>,
    user: String,
    dbname: String,
    password: Option<SecretString>,
    passfile: Option<PathBuf>,
    home: Option<PathBuf>,
    /// Everything else that was set, by keyword.
    params: BTreeMap<&'static str, String>,
}

impl ConnInfo {
    /// Resolves a connection string (URI, key=value, or a bare database name) and the environment. Both may be empty.
    pub fn resolve(conninfo: &str, env: &Environment) -> Result<Self> {
        let mut params = BTreeMap::new();
        for (name, value) in text::parse(conninfo)? {
            set(&mut params, &name, value, true);
        }
        add_service(&mut params, env)?;
        for keyword in KEYWORDS {
            if let Some(value) = keyword.env.and_then(|name| env.get(name)) {
                set(&mut params, keyword.name, value.to_owned(), false);
            }
        }
        params.retain(|_, value| !value.is_empty());
        Self::settle(params, env)
    }

    fn settle(mut params: BTreeMap<&'static str, String>, env: &Environment) -> Result<Self> {
        refuse_unsupported(&params)?;
        let mut take = |name: &str| params.remove(name);
        let (host, hostaddr, port) = (take("host"), take("hostaddr"), take("port"));
        let dirs = [Path::new("/var/run/postgresql"), Path::new("/tmp")];
        let list = |value: &Option<String>| value.clone().unwrap_or_default();
        let endpoints = hosts::endpoints(&list(&host), &list(&hostaddr), &list(&port), &dirs)?;
        let user = take("user")
            .or_else(|| users::current().map(|u| u.name))
            .or_else(|| env.get("USER").map(str::to_owned))
            .ok_or_else(|| Error::Setting {
                name: "user".into(),
                what: "is not set and this host has no name for us".into(),
            })?;
        let dbname = take("dbname").unwrap_or_else(|| user.clone());
        let password = take("password").map(SecretString::from);
        let home = env.home();
        let passfile = take("passfile").map(PathBuf::from).or_else(|| home.as_ref().map(|h| h.join(".pgpass")));
        Ok(Self { endpoints, user, dbname, password, passfile, home, params })
    }

    /// `user@host:port/database`, for people and logs.
    pub fn redacted(&self) -> String {
        let hosts: Vec<_> = self.endpoints.iter().map(ToString::to_string).collect();
        format!("{}@{}/{}", self.user, hosts.join(","), self.dbname)
    }

    /// The places to try, in order; at least one.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The role to log in as.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The database.
    pub fn dbname(&self) -> &str {
        &self.dbname
    }

    /// The same settings for another database.
    #[must_use]
    pub fn with_dbname(&self, dbname: &str) -> Self {
        Self { dbname: dbname.to_owned(), ..self.clone() }
    }

    /// The same settings for another role, without a password of their own.
    #[must_use]
    pub fn with_user(&self, user: &str, password: Option<SecretString>) -> Self {
        Self { user: user.to_owned(), password, ..self.clone() }
    }

    /// The same settings with one more parameter, such as `sslmode`.
    pub fn with_param(&self, name: &str, value: &str) -> Result<Self> {
        let keyword = keywords::find(name)
            .filter(|k| !matches!(k.name, "host" | "hostaddr" | "port" | "user" | "dbname" | "password"));
        let Some(keyword) = keyword else {
            return Err(Error::Setting { name: name.into(), what: "cannot be set this way".into() });
        };
        let mut copy = self.clone();
        copy.params.insert(keyword.name, value.to_owned());
        refuse_unsupported(&copy.params)?;
        Ok(copy)
    }

    /// The same settings for one server only: the one that answered. What follows must see the same data.
    #[must_use]
    pub(super) fn pinned(&self, endpoint: Endpoint) -> Self {
        let mut copy = Self { endpoints: vec![endpoint], ..self.clone() };
        copy.params.remove("target_session_attrs");
        copy.params.remove("load_balance_hosts");
        copy
    }

    /// A further parameter, if it was set.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str)
    }

    /// A further parameter that must be a whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>> {
        let parse = |text: &str| {
            text.trim().parse().map_err(|_| Error::Setting { name: name.into(), what: "is not a whole number".into() })
        };
        self.param(name).map(parse).transpose()
    }

    /// `~/.postgresql/<name>`, where libpq looks for certificates (docs 34.19).
    pub(super) fn home_file(&self, name: &str) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(".postgresql").join(name))
    }

    /// The password for one endpoint: given, or from the password file.
    pub(super) fn password_for(&self, endpoint: &Endpoint) -> Result<Option<SecretString>> {
        if let Some(password) = &self.password {
            return Ok(Some(password.clone()));
        }
        let Some(path) = &self.passfile else { return Ok(None) };
        let Some(file) = pgpass::read(path)? else { return Ok(None) };
        let default_socket = endpoint.host == "/var/run/postgresql" || endpoint.host == "/tmp";
        let host = if default_socket { "localhost" } else { endpoint.host.as_str() };
        Ok(pgpass::lookup(file.expose_secret(), host, endpoint.port, &self.dbname, &self.user))
    }

    /// The same settings for a child that uses libpq, through its environment alone.
    pub fn child_env(&self, application_name: &str) -> ChildEnv {
        ChildEnv::new(self, application_name)
    }
}

fn set(params: &mut BTreeMap<&'static str, String>, name: &str, value: String, replace: bool) {
    if let Some(keyword) = keywords::find(name)
        && (replace || !params.contains_key(keyword.name))
    {
        params.insert(keyword.name, value);
    }
}

/// Fills what is still unset from the service file, if a service is named.
fn add_service(params: &mut BTreeMap<&'static str, String>, env: &Environment) -> Result<()> {
    let Some(name) = params.get("service").cloned().or_else(|| env.get("PGSERVICE").map(str::to_owned)) else {
        return Ok(());
    };
    let named = params.get("servicefile").cloned().or_else(|| env.get("PGSERVICEFILE").map(str::to_owned));
    let mut files = Vec::new();
    match named {
        Some(path) => files.push((PathBuf::from(path), true)),
        None => files.extend(env.home().map(|home| (home.join(".pg_service.conf"), false))),
    }
    let system = env.get("PGSYSCONFDIR").unwrap_or("/etc/postgresql-common");
    files.push((Path::new(system).join("pg_service.conf"), false));
    for (name, value) in service::read(&name, &files)? {
        set(params, &name, value, false);
    }
    Ok(())
}

/// Settings that we would have to break silently are refused instead.
fn refuse_unsupported(params: &BTreeMap<&'static str, String>) -> Result<()> {
    let refuse = |name: &str, what: &str| Err(Error::Setting { name: name.into(), what: what.into() });
    for keyword in KEYWORDS {
        if keyword.used == Use::Refused && params.contains_key(keyword.name) {
            return refuse(keyword.name, "is not supported");
        }
    }
    one_of(params, "sslmode", &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])?;
    one_of(params, "sslnegotiation", &["postgres", "direct"])?;
    one_of(params, "channel_binding", &["disable", "prefer", "require"])?;
    one_of(params, "sslcertmode", &["disable", "allow", "require"])?;
    one_of(params, "gssencmode", &["disable", "prefer", "require"])?;
    let attrs = ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"];
    one_of(params, "target_session_attrs", &attrs)?;
    let get = |name: &str| params.get(name).map(String::as_str);
    if get("gssencmode") == Some("require") {
        return refuse("gssencmode", "GSSAPI encryption is not supported");
    }
    let weak = matches!(get("sslmode"), Some("disable" | "allow" | "prefer"));
    if get("sslnegotiation") == Some("direct") && get("sslmode").is_none_or(|_| weak) {
        return refuse("sslnegotiation", "direct needs sslmode require, verify-ca or verify-full");
    }
    if get("sslrootcert") == Some("system") && get("sslmode").is_some_and(|mode| mode != "verify-full") {
        return refuse("sslrootcert", "system may only be used with sslmode verify-full");
    }
    Ok(())
}

fn one_of(params: &BTreeMap<&'static str, String>, name: &str, allowed: &[&str]) -> Result<()> {
    match params.get(name) {
        Some(value) if !allowed.contains(&value.as_str()) => {
            Err(Error::Setting { name: name.into(), what: format!("must be one of {}", allowed.join(", ")) })
        }
        _ => Ok(()),
    }
}
