//! Is this database fit to be restored into: empty, and with a psql and a server that understand the dump.

use super::{Error, Result, Session};

/// Names shown of what is in the way.
const SHOWN_MAX: usize = 8;

/// Everything a user may have put into a database. Extensions come with the template only if someone put them there;
/// plpgsql always does.
const CONTENTS: &str = "
    WITH mine AS (SELECT oid, nspname FROM pg_catalog.pg_namespace
                  WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND nspname !~ '^pg_(temp|toast_temp)_'),
         members AS (SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'),
         found (rank, what) AS (
      SELECT 1, CASE c.relkind WHEN 'S' THEN 'sequence ' WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view '
                  WHEN 'c' THEN 'type ' WHEN 'f' THEN 'foreign table ' ELSE 'table ' END || n.nspname || '.' || c.relname
        FROM pg_catalog.pg_class c JOIN mine n ON n.oid = c.relnamespace
        WHERE c.relkind NOT IN ('i', 'I', 't') AND ('pg_catalog.pg_class'::pg_catalog.regclass, c.oid) NOT IN (SELECT * FROM members)
      UNION ALL SELECT 2, 'extension ' || extname FROM pg_catalog.pg_extension WHERE extname <> 'plpgsql'
      UNION ALL SELECT 3, 'schema ' || nspname FROM mine
        WHERE nspname <> 'public' AND ('pg_catalog.pg_namespace'::pg_catalog.regclass, oid) NOT IN (SELECT * FROM members)
      UNION ALL SELECT 4, 'function ' || n.nspname || '.' || p.proname
        FROM pg_catalog.pg_proc p JOIN mine n ON n.oid = p.pronamespace
        WHERE ('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid) NOT IN (SELECT * FROM members)
      UNION ALL SELECT 5, 'type ' || n.nspname || '.' || t.typname
        FROM pg_catalog.pg_type t JOIN mine n ON n.oid = t.typnamespace
        WHERE t.typtype IN ('d', 'e', 'r') AND ('pg_catalog.pg_type'::pg_catalog.regclass, t.oid) NOT IN (SELECT * FROM members)
      UNION ALL SELECT 6, 'large object ' || oid::pg_catalog.text FROM pg_catalog.pg_largeobject_metadata
      UNION ALL SELECT 7, 'publication ' || pubname FROM pg_catalog.pg_publication
      UNION ALL SELECT 7, 'event trigger ' || evtname FROM pg_catalog.pg_event_trigger)
    SELECT what, pg_catalog.count(*) OVER () FROM found ORDER BY rank, what LIMIT $1";

/// Refuses a database that holds anything, and names the first few things.
pub async fn ensure_empty(session: &Session) -> Result<()> {
    let limit = i64::try_from(SHOWN_MAX).unwrap_or(i64::MAX);
    let rows = session.client().query(CONTENTS, &[&limit]).await;
    let rows = rows.map_err(|e| Error::sql("look into the target", e))?;
    let Some(first) = rows.first() else { return Ok(()) };
    let total = u64::try_from(first.get::<_, i64>(1)).unwrap_or_default();
    let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let more = total - found.len() as u64;
    Err(Error::NotEmpty { target: session.info().redacted(), found, more })
}

/// A difference between source and target that does not forbid the restore, in words.
pub fn version_warning(dumped_major: u32, target_major: u32) -> Option<String> {
    (target_major < dumped_major).then(|| {
        format!("the dump comes from PostgreSQL {dumped_major}, the target is PostgreSQL {target_major}: statements it does not know will stop the restore")
    })
}

impl Session {
    /// Whether this role may change the database itself: as its owner, a member of the owner, or a superuser.
    pub async fn owns_database(&self) -> Result<bool> {
        let sql = "SELECT pg_catalog.pg_has_role(datdba, 'USAGE') FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()";
        let row = self.client().query_one(sql, &[]).await;
        Ok(row.map_err(|e| Error::sql("ask who owns the target", e))?.get(0))
    }
}
