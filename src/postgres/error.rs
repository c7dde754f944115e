//! What went wrong around PostgreSQL, by meaning.

use std::path::PathBuf;

use super::replication::Failure;
use crate::observe::chain;

/// Result of a call in [`crate::postgres`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure, named after what the caller can do about it. No variant ever holds a password: values of connection
/// settings are not repeated, only their names.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A connection setting is unknown, malformed, or cannot be honoured.
    #[error("connection setting {name}: {what}")]
    Setting {
        /// Keyword as libpq spells it, or the part of the connection string.
        name: String,
        /// What is wrong with it; never its value.
        what: String,
    },
    /// A file that the connection settings name cannot be used.
    #[error("{path}: {what}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Nothing answers there.
    #[error("no connection to {target}: {what}")]
    Unreachable {
        /// user@host:port/database.
        target: String,
        /// The transport's own words.
        what: String,
    },
    /// The server does not accept the user, the password or the way we came.
    #[error("{target} refuses the login: {what}")]
    Authentication {
        /// user@host:port/database.
        target: String,
        /// The server's own words.
        what: String,
    },
    /// The server is there, the database is not.
    #[error("database of {target} does not exist")]
    NoDatabase {
        /// user@host:port/database.
        target: String,
    },
    /// No TLS as `sslmode` demands it.
    #[error("no trusted TLS connection to {target}: {what}")]
    Tls {
        /// user@host:port/database.
        target: String,
        /// The TLS library's own words.
        what: String,
    },
    /// The server answers, but takes no more connections, is starting or shutting down.
    #[error("{target} takes no connections now: {what}")]
    Busy {
        /// user@host:port/database.
        target: String,
        /// The server's own words.
        what: String,
    },
    /// A session that was needed until the end has ended.
    #[error("the connection to {target} was lost: {what}")]
    Lost {
        /// user@host:port/database.
        target: String,
        /// Last words.
        what: String,
    },
    /// The server refused a replication command, or broke it off.
    #[error("{action}: {failure}")]
    Replication {
        /// What was being done.
        action: String,
        /// What it means, and the server's own words.
        failure: Box<Failure>,
    },
    /// What answers there breaks PostgreSQL's protocol.
    #[error("{target} does not keep to PostgreSQL's protocol: {what}")]
    Protocol {
        /// user@host:port/database.
        target: String,
        /// What came.
        what: String,
    },
    /// The role lacks a right.
    #[error("{action}: {what}")]
    Denied {
        /// What was being done.
        action: String,
        /// The server's own words.
        what: String,
    },
    /// A statement failed.
    #[error("{action}: {what}")]
    Sql {
        /// What was being done.
        action: String,
        /// SQLSTATE and message.
        what: String,
        /// The driver's error.
        #[source]
        source: Option<Box<tokio_postgres::Error>>,
    },
    /// No such program.
    #[error("{program} is not installed{}", in_places(.looked))]
    ProgramMissing {
        /// `pg_dump`, `psql`, …
        program: String,
        /// Where we looked.
        looked: Vec<PathBuf>,
    },
    /// No server of this major version.
    #[error("the server programs of PostgreSQL {major} are not installed here ({})", there(.found))]
    ServerMissing {
        /// The version.
        major: u32,
        /// Those that are there.
        found: Vec<u32>,
    },
    /// The program is older than the job needs.
    #[error("{program} {found} ({path}) is too old: {needs}")]
    ProgramTooOld {
        /// `pg_dump`, `psql`, …
        program: String,
        /// The newest one found.
        path: PathBuf,
        /// Its version.
        found: String,
        /// Why it does not do.
        needs: String,
        /// Major version to install.
        major: u32,
    },
    /// A child could not be started or spoken to.
    #[error("{program}: {what}")]
    ChildIo {
        /// The program.
        program: String,
        /// What was being done.
        what: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A child ended with something else than exit status 0.
    #[error("{program} {status}{}", said(.stderr))]
    ChildFailed {
        /// The program.
        program: String,
        /// Exit status or signal, in words.
        status: String,
        /// The end of its standard error.
        stderr: String,
    },
    /// A child ended well, but its output does not say that it is complete.
    #[error("{program} ended without its closing line after {bytes} bytes")]
    Incomplete {
        /// The program.
        program: String,
        /// Bytes it delivered.
        bytes: u64,
    },
    /// The connection was lost after the COMMIT was sent.
    #[error("whether the restore was committed is not known: {what}")]
    OutcomeUnknown {
        /// What happened to the connection.
        what: String,
    },
    /// psql stopped at a statement, or did not confirm the commit.
    #[error("the restore was rolled back: {what}")]
    LoadFailed {
        /// psql's message about the statement.
        what: String,
    },
    /// The stream ended the transaction that was to hold all of it.
    #[error("the dump ended the transaction of its own restore: what followed may be committed in part")]
    Escaped,
    /// The database to restore into holds something.
    #[error("{target} is not empty: {}", list(.found, *.more))]
    NotEmpty {
        /// user@host:port/database.
        target: String,
        /// The first few things found.
        found: Vec<String>,
        /// How many more there are.
        more: u64,
    },
    /// Something the dump or the globals contain is not understood.
    #[error("{what}")]
    Unsupported {
        /// What it is.
        what: String,
    },
    /// The disposable server does not start or stop.
    #[error("disposable PostgreSQL in {dir}: {what}")]
    Server {
        /// Its directory.
        dir: PathBuf,
        /// What happened, with the end of its log.
        what: String,
    },
    /// The server cannot do what it is asked for as it is set up.
    #[error("{target} is not ready: {}", problems_list(.problems))]
    NotReady {
        /// user@host:port/database.
        target: String,
        /// Everything that is missing.
        problems: Vec<Problem>,
    },
    /// A pattern of `dump.digests` stands for nothing.
    #[error("dump.digests: no table whose rows are dumped fits {pattern:?}")]
    NoTable {
        /// The pattern.
        pattern: String,
    },
    /// A table cannot be restored on its own, or not like this.
    #[error("{what}")]
    NotPicked {
        /// Which one, and why not.
        what: String,
        /// What to do instead.
        way_out: String,
    },
    /// The caller asked us to stop.
    #[error("cancelled")]
    Cancelled,
}

/// Something that a server lacks, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is missing.
    pub what: String,
    /// The statement or setting that helps.
    pub remedy: String,
}

impl Error {
    /// What the operator should do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Setting { .. } => "check the connection URL, the PG* variables and the service file; in a URL, special characters of the password must be percent-encoded".into(),
            Self::File { .. } => "correct the path or the permissions of the file".into(),
            Self::Unreachable { .. } => "check host and port, listen_addresses of the server, and any firewall in between".into(),
            Self::Authentication { .. } => "check user, password (PGPASSWORD, ~/.pgpass) and pg_hba.conf of the server".into(),
            Self::NoDatabase { .. } => "create the database, or correct its name in the connection URL".into(),
            Self::Tls { .. } => "check sslmode and sslrootcert; verify-full needs the CA of the server and its name as written in the certificate".into(),
            Self::Busy { .. } => "try again when the server is up, or raise max_connections".into(),
            Self::Lost { .. } => "nothing was published; look into the server's log, then run the command again".into(),
            Self::Replication { failure, .. } => return failure.hint(),
            Self::Protocol { .. } => "check that host and port are those of PostgreSQL itself: replication does not pass through a connection pooler".into(),
            Self::Denied { action, .. } if action.contains("role passwords") => "run as a superuser, or as a role that may read pg_authid (since PostgreSQL 14 a member of pg_read_all_data), or leave the passwords out (globals = \"no-passwords\")".into(),
            Self::Denied { .. } => "grant the missing right; pg_read_all_data (PostgreSQL 14 and newer) and, with row security, BYPASSRLS let a role dump everything".into(),
            Self::ProgramMissing { program, .. } => format!("install the PostgreSQL client programs (Debian: postgresql-client), or name the path of {program}"),
            Self::ServerMissing { major, .. } => format!("install them (Debian: postgresql-{major}), or name their directory in postgres.bin_dir"),
            Self::ProgramTooOld { major, .. } => format!("install the client programs of PostgreSQL {major} or newer (Debian: postgresql-client-{major}), or name their path"),
            Self::ChildFailed { stderr, .. } if stderr.contains("permission denied") => "grant the missing right; pg_read_all_data (PostgreSQL 14 and newer) lets a role dump everything".into(),
            Self::ChildFailed { .. } | Self::Incomplete { .. } => "nothing was published; mend what the program complains about and run the command again".into(),
            Self::OutcomeUnknown { .. } => "look into the target: it holds the whole backup or nothing; nothing in between is possible".into(),
            Self::LoadFailed { .. } => "the target is as it was before; mend the cause and restore again".into(),
            Self::Escaped => "pg_dump writes no such thing: whoever wrote into this dump may have done anything that the role may do. Drop the target, and read the SQL before it is loaded anywhere".into(),
            Self::NotReady { problems, .. } => {
                problems.iter().map(|problem| problem.remedy.as_str()).collect::<Vec<_>>().join("; ")
            }
            Self::NotPicked { way_out, .. } => way_out.clone(),
            Self::NoTable { .. } => "name a table that is dumped, as SCHEMA.TABLE; of a partitioned table, its partitions".into(),
            Self::NotEmpty { .. } => "restore into a newly created database: createdb NAME".into(),
            Self::Sql { .. } | Self::ChildIo { .. } | Self::Unsupported { .. } | Self::Server { .. } | Self::Cancelled => return None,
        })
    }

    /// Whether what was asked for cannot be done, rather than that it failed.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::NotPicked { .. } | Self::NoTable { .. })
    }

    /// A failed statement on an open session.
    pub(super) fn sql(action: &str, source: tokio_postgres::Error) -> Self {
        let what = words(&source);
        match source.code().map(tokio_postgres::error::SqlState::code) {
            Some("42501") => Self::Denied { action: action.into(), what },
            _ => Self::Sql { action: action.into(), what, source: Some(Box::new(source)) },
        }
    }
}

/// A driver error in the server's words where there are any, with the chain of causes otherwise.
pub(super) fn words(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        let detail = db.detail().map(|d| format!(" ({d})")).unwrap_or_default();
        return format!("{}{detail} [{}]", db.message(), db.code().code());
    }
    chain(error)
}

fn problems_list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| problem.what.as_str()).collect::<Vec<_>>().join("; ")
}

fn there(majors: &[u32]) -> String {
    let numbers: Vec<_> = majors.iter().map(u32::to_string).collect();
    if numbers.is_empty() { "there are none".into() } else { format!("there is {}", numbers.join(", ")) }
}

fn in_places(paths: &[PathBuf]) -> String {
    if paths.is_empty() {
        return String::new();
    }
    let shown: Vec<_> = paths.iter().map(|p| p.display().to_string()).collect();
    format!(" (looked in {})", shown.join(", "))
}

fn said(stderr: &str) -> String {
    let text = stderr.trim_end();
    if text.is_empty() { String::new() } else { format!(":\n{text}") }
}

fn list(found: &[String], more: u64) -> String {
    let shown = found.join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}
