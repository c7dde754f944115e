//! Roles, memberships, role settings and tablespaces: what no dump of a single database holds (PAINS B9).

use super::child::Child;
use super::dump::Trailer;
use super::programs::Program;
use super::{ConnInfo, Error, Result, Session};
use crate::pipeline::stage::SourceReceipt;

mod filter;

pub use filter::{Existing, Restorable, filter_globals};

/// How much of the globals to record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GlobalsMode {
    /// Everything, with the hashes of role passwords; needs SELECT on `pg_authid`.
    #[default]
    Full,
    /// Everything but passwords; any role may.
    NoPasswords,
    /// Nothing.
    Off,
}

/// `pg_dumpall --globals-only` as a source.
#[derive(Debug)]
#[must_use]
pub struct Globals {
    child: Child,
    trailer: Trailer,
}

impl Globals {
    /// Checks the rights first, so that the refusal is ours and clear, then starts pg_dumpall. `None` for
    /// [`GlobalsMode::Off`].
    pub async fn start(info: &ConnInfo, mode: GlobalsMode, program: &Program) -> Result<Option<Self>> {
        let application_name = "stonewal globals";
        let session = Session::connect(info, application_name).await?;
        match mode {
            GlobalsMode::Off => return Ok(None),
            GlobalsMode::Full => check_passwords_readable(&session).await?,
            GlobalsMode::NoPasswords => {}
        }
        let env = session.info().child_env(application_name);
        let mut args = vec!["--globals-only".to_owned(), "--no-password".into(), start_database(info.dbname())];
        if mode == GlobalsMode::NoPasswords {
            args.push("--no-role-passwords".into());
        }
        args.extend(env.extra_conninfo().map(|conninfo| format!("--dbname={conninfo}")));
        let child = Child::spawn(&program.path, &args, &env)?;
        Ok(Some(Self { child, trailer: Trailer::new("-- PostgreSQL database cluster dump complete") }))
    }

    /// Reads some bytes; 0 only after pg_dumpall ended well and said so. Safe to drop and call again.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.child.read(buffer).await?;
        if count == 0 {
            self.trailer.check("pg_dumpall", self.child.bytes())?;
        }
        self.trailer.push(&buffer[..count]);
        Ok(count)
    }

    /// The proof of success, after [`Globals::read`] returned 0.
    pub fn finish(self) -> Result<SourceReceipt> {
        self.child.finish()
    }

    /// Ends pg_dumpall early.
    pub async fn abort(mut self) {
        self.child.terminate().await;
    }
}

/// The database that pg_dumpall starts from. libpq takes a name with `=` in it, or one that begins like a URL, for a whole
/// connection string, and would go wherever it says; so it gets one that says nothing but the name.
fn start_database(name: &str) -> String {
    let quoted = name.replace('\\', "\\\\").replace('\'', "\\'");
    format!("--database=dbname='{quoted}'")
}

async fn check_passwords_readable(session: &Session) -> Result<()> {
    let action = "read the role passwords (pg_authid)";
    let sql = "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT')";
    let row = session.client().query_one(sql, &[]).await.map_err(|e| Error::sql(action, e))?;
    if row.get(0) {
        return Ok(());
    }
    Err(Error::Denied { action: action.into(), what: format!("{} may not read them", session.info().user()) })
}

impl Existing {
    /// Roles and tablespaces of a server.
    pub async fn of(session: &Session) -> Result<Self> {
        let failed = |e| Error::sql("list roles and tablespaces", e);
        let names = async |sql: &str| -> Result<std::collections::BTreeSet<String>> {
            let rows = session.client().query(sql, &[]).await.map_err(failed)?;
            Ok(rows.iter().map(|row| row.get(0)).collect())
        };
        let roles = names("SELECT rolname::pg_catalog.text FROM pg_catalog.pg_roles").await?;
        let tablespaces = names("SELECT spcname::pg_catalog.text FROM pg_catalog.pg_tablespace").await?;
        Ok(Self { roles, tablespaces })
    }
}
