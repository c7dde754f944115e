//! The connection parameters libpq knows, with their environment variables (PostgreSQL docs 34.1.2 and 34.15).

/// How a parameter is treated here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Honoured by our own sessions and handed to children.
    Ours,
    /// Means nothing to our own sessions and is safe to ignore there; handed to children.
    Children,
    /// Would weaken or change what the operator asked for if we ignored it: refused.
    Refused,
    /// Accepted and dropped: obsolete, or decided by ourselves.
    Dropped,
}

/// One parameter.
#[derive(Debug)]
pub(super) struct Keyword {
    pub(super) name: &'static str,
    pub(super) env: Option<&'static str>,
    pub(super) used: Use,
}

const fn word(name: &'static str, env: Option<&'static str>, used: Use) -> Keyword {
    Keyword { name, env, used }
}

use Use::{Children, Dropped, Ours, Refused};

pub(super) const KEYWORDS: &[Keyword] = &[
    word("service", Some("PGSERVICE"), Ours),
    word("servicefile", Some("PGSERVICEFILE"), Ours),
    word("user", Some("PGUSER"), Ours),
    word("password", Some("PGPASSWORD"), Ours),
    word("passfile", Some("PGPASSFILE"), Ours),
    word("dbname", Some("PGDATABASE"), Ours),
    word("host", Some("PGHOST"), Ours),
    word("hostaddr", Some("PGHOSTADDR"), Ours),
    word("port", Some("PGPORT"), Ours),
    word("options", Some("PGOPTIONS"), Ours),
    word("connect_timeout", Some("PGCONNECT_TIMEOUT"), Ours),
    word("channel_binding", Some("PGCHANNELBINDING"), Ours),
    word("target_session_attrs", Some("PGTARGETSESSIONATTRS"), Ours),
    word("sslmode", Some("PGSSLMODE"), Ours),
    word("sslnegotiation", Some("PGSSLNEGOTIATION"), Ours),
    word("sslrootcert", Some("PGSSLROOTCERT"), Ours),
    word("sslcert", Some("PGSSLCERT"), Ours),
    word("sslkey", Some("PGSSLKEY"), Ours),
    word("sslcertmode", Some("PGSSLCERTMODE"), Ours),
    word("sslcrl", Some("PGSSLCRL"), Ours),
    word("gssencmode", Some("PGGSSENCMODE"), Ours),
    word("keepalives", None, Ours),
    word("keepalives_idle", None, Ours),
    word("keepalives_interval", None, Ours),
    word("keepalives_count", None, Ours),
    word("tcp_user_timeout", None, Ours),
    word("load_balance_hosts", Some("PGLOADBALANCEHOSTS"), Children),
    word("ssl_min_protocol_version", Some("PGSSLMINPROTOCOLVERSION"), Children),
    word("sslsni", Some("PGSSLSNI"), Children),
    word("krbsrvname", Some("PGKRBSRVNAME"), Children),
    word("gsslib", Some("PGGSSLIB"), Children),
    word("gssdelegation", Some("PGGSSDELEGATION"), Children),
    word("min_protocol_version", Some("PGMINPROTOCOLVERSION"), Children),
    word("max_protocol_version", Some("PGMAXPROTOCOLVERSION"), Children),
    word("requirepeer", Some("PGREQUIREPEER"), Refused),
    word("require_auth", Some("PGREQUIREAUTH"), Refused),
    word("ssl_max_protocol_version", Some("PGSSLMAXPROTOCOLVERSION"), Refused),
    word("sslcrldir", Some("PGSSLCRLDIR"), Refused),
    word("sslpassword", None, Refused),
    word("sslkeylogfile", None, Refused),
    word("scram_client_key", None, Refused),
    word("scram_server_key", None, Refused),
    word("oauth_issuer", None, Refused),
    word("oauth_client_id", None, Refused),
    word("oauth_client_secret", None, Refused),
    word("oauth_scope", None, Refused),
    word("replication", None, Dropped),
    word("authtype", None, Dropped),
    word("tty", None, Dropped),
    word("sslcompression", Some("PGSSLCOMPRESSION"), Dropped),
    word("client_encoding", Some("PGCLIENTENCODING"), Dropped),
    word("application_name", Some("PGAPPNAME"), Dropped),
    word("fallback_application_name", None, Dropped),
];

/// Further variables libpq and its programs read; cleared for children so that nothing but our settings counts.
pub(super) const OTHER_VARIABLES: &[&str] =
    &["PGSYSCONFDIR", "PGREQUIRESSL", "PGDATESTYLE", "PGTZ", "PGGEQO", "PGLOCALEDIR", "PSQLRC", "PSQL_HISTORY"];

/// The parameter with this name.
pub(super) fn find(name: &str) -> Option<&'static Keyword> {
    KEYWORDS.iter().find(|k| k.name == name)
}
