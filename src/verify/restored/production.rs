//! Is this production? Checks read every row of large tables, which a live database should be spared.

use crate::postgres::{ConnInfo, Result, Session};

/// How production is told.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Whether it is to be checked all the same.
    pub allowed: bool,
    /// `HOST/DATABASE` with `*` for any characters.
    pub patterns: Vec<String>,
    /// The database that is backed up, if one is configured.
    pub source: Option<ConnInfo>,
}

/// Why a database counts as production.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Production {
    /// It is the one that is backed up.
    Source,
    /// Its host and name fit a pattern.
    Pattern(String),
    /// It says so itself.
    Setting,
}

impl std::fmt::Display for Production {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source => f.write_str("it is the database that is backed up"),
            Self::Pattern(pattern) => write!(f, "it fits {pattern:?} of verify.production"),
            Self::Setting => f.write_str("its setting stonewal.production is on"),
        }
    }
}

impl Guard {
    /// Before anything is connected to.
    pub fn by_name(&self, target: &ConnInfo) -> Option<Production> {
        if self.allowed {
            return None;
        }
        let places = || target.endpoints().iter().map(|endpoint| (endpoint.host.as_str(), endpoint.port));
        let is_source = self.source.as_ref().is_some_and(|source| {
            let is_target = |host: &str, port| places().any(|place| place.1 == port && same_host(place.0, host));
            source.dbname() == target.dbname() && source.endpoints().iter().any(|e| is_target(&e.host, e.port))
        });
        if is_source {
            return Some(Production::Source);
        }
        let fits =
            |pattern: &&String| places().any(|(host, _)| is_like(pattern, &format!("{host}/{}", target.dbname())));
        self.patterns.iter().find(fits).cloned().map(Production::Pattern)
    }

    /// By what the database says of itself.
    pub async fn by_setting(&self, session: &Session) -> Result<Option<Production>> {
        Ok((!self.allowed && session.says_production().await?).then_some(Production::Setting))
    }
}

/// Whether two names are of one host: this one has several, and a socket's directory is here too.
fn same_host(one: &str, other: &str) -> bool {
    let is_socket = |host: &str| host.starts_with('/');
    let is_here = |host: &str| {
        is_socket(host) || host.eq_ignore_ascii_case("localhost") || host.starts_with("127.") || host == "::1"
    };
    let two_sockets = is_socket(one) && is_socket(other);
    one.eq_ignore_ascii_case(other) || (!two_sockets && is_here(one) && is_here(other))
}

/// Whether a text fits a pattern in which `*` stands for any characters. Letters count without regard to case, as in names
/// of hosts: rather once too often than not.
fn is_like(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::Environment;

    #[test]
    fn patterns_stand_for_hosts_and_databases() {
        for (pattern, text, fits) in [
            ("db.example/app", "db.example/app", true),
            ("DB.example/App", "db.example/app", true),
            ("db.example/app", "db.example/app2", false),
            ("*/app", "any.host/app", true),
            ("*/app", "any.host/happ", false),
            ("db*.example/*", "db7.example/x", true),
            ("*prod*/*", "eu-prod-1/x", true),
            ("*prod*/*", "staging/x", false),
            ("a*a/b", "a/b", false),
        ] {
            assert_eq!(is_like(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn the_source_is_known_under_every_name_of_this_host() {
        let info = |url: &str| ConnInfo::resolve(url, &Environment::default()).unwrap();
        for (source, target, same) in [
            ("postgres://u@127.0.0.1:5433/app", "postgres://u@localhost:5433/app", true),
            ("postgres://u@LOCALHOST:5433/app", "postgres://u@[::1]:5433/app", true),
            ("postgres://u@localhost:5433/app", "postgres:///app?host=/var/run/postgresql&port=5433&user=u", true),
            ("postgres://u@localhost:5433/app", "postgres://u@localhost:5434/app", false),
            ("postgres:///app?host=/a&port=5433&user=u", "postgres:///app?host=/b&port=5433&user=u", false),
            ("postgres://u@db.example/app", "postgres://u@DB.example/app", true),
            ("postgres://u@db.example/app", "postgres://u@localhost/app", false),
        ] {
            let guard = Guard { source: Some(info(source)), ..Guard::default() };
            assert_eq!(guard.by_name(&info(target)).is_some(), same, "{source} {target}");
        }
    }

    #[test]
    fn the_source_is_production_without_a_pattern() {
        let info = |url: &str| ConnInfo::resolve(url, &Environment::default()).unwrap();
        let mut guard = Guard { source: Some(info("postgres://u@db.example:5433/app")), ..Guard::default() };
        assert_eq!(guard.by_name(&info("postgres://other@db.example:5433/app")), Some(Production::Source));
        assert_eq!(guard.by_name(&info("postgres://u@db.example:5433/app_restored")), None);
        assert_eq!(guard.by_name(&info("postgres://u@db.example:5432/app")), None);
        guard.patterns.push("*/app_*".into());
        let found = guard.by_name(&info("postgres://u@db.example:5433/app_restored"));
        assert_eq!(found, Some(Production::Pattern("*/app_*".into())));
        guard.allowed = true;
        assert_eq!(guard.by_name(&info("postgres://u@db.example:5433/app")), None);
    }
}
