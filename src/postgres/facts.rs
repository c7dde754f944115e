//! Facts about the source, recorded with every dump: what the stream itself does not say.

use super::sql::{quote_identifier, quote_literal};
use super::{Error, Result, Session};

/// The source at the moment of the dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// `server_version`, such as `15.18 (Debian 15.18-0+deb12u1)`.
    pub server_version: String,
    /// `server_version_num`.
    pub server_version_num: u32,
    /// From pg_control; what identifies a cluster. `None` if the role may not read it.
    pub system_identifier: Option<u64>,
    /// Timeline of the last checkpoint. `None` if the role may not read it.
    pub timeline: Option<u32>,
    /// WAL position when the dump's view of the data was taken, as PostgreSQL prints it. `None` if not readable.
    pub lsn: Option<String>,
    /// Whether the source was a standby.
    pub standby: bool,
    /// The database.
    pub database: DatabaseFacts,
    /// Large objects.
    pub large_objects: u64,
    /// Extensions with versions.
    pub extensions: Vec<(String, String)>,
}

/// Properties of the database itself, which pg_dump writes only with `--create`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseFacts {
    /// Its name.
    pub name: String,
    /// Its owner.
    pub owner: String,
    /// Server encoding.
    pub encoding: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// ICU locale, where the provider is ICU.
    pub icu_locale: Option<String>,
    /// Version of the collation that the operating system's or ICU's library reports (PAINS B13).
    pub collation_version: Option<String>,
    /// Bytes on disk; `None` if not readable.
    pub size_bytes: Option<u64>,
    /// Comment.
    pub comment: Option<String>,
    /// Access rights as PostgreSQL prints an ACL.
    pub acl: Option<String>,
    /// Connection limit, -1 for none.
    pub connection_limit: i32,
    /// `ALTER DATABASE … SET` and `ALTER ROLE … IN DATABASE … SET`.
    pub settings: Vec<DatabaseSetting>,
}

/// One configuration parameter tied to the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseSetting {
    /// Only for this role.
    pub role: Option<String>,
    /// Parameter.
    pub name: String,
    /// Value as stored.
    pub value: String,
}

/// Parameters whose value is a list of names, stored already quoted (`GUC_LIST_QUOTE` in PostgreSQL's source).
const LISTS: [&str; 5] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
];

impl DatabaseFacts {
    /// The statement that creates a database with its encoding and the way it sorts.
    pub fn create_sql(&self, name: &str) -> String {
        let quoted = |text: &str| quote_literal(text);
        let icu = self.icu_locale.as_deref();
        let icu = icu.map(|locale| format!(" LOCALE_PROVIDER icu ICU_LOCALE {}", quoted(locale))).unwrap_or_default();
        format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}{icu}",
            quote_identifier(name),
            quoted(&self.encoding),
            quoted(&self.collate),
            quoted(&self.ctype)
        )
    }

    /// Statements that give another database the comment and the settings of this one. They may run in a transaction.
    ///
    /// Owner, encoding and locale are chosen when a database is created, and access rights belong to whoever created it.
    pub fn restore_sql(&self, target: &str) -> String {
        use std::fmt::Write as _;
        let database = quote_identifier(target);
        let mut sql = String::new();
        if let Some(comment) = &self.comment {
            let _ = writeln!(sql, "COMMENT ON DATABASE {database} IS {};", quote_literal(comment));
        }
        for DatabaseSetting { role, name, value } in &self.settings {
            let whom = role.as_ref().map_or_else(
                || format!("DATABASE {database}"),
                |role| format!("ROLE {} IN DATABASE {database}", quote_identifier(role)),
            );
            let value =
                if LISTS.contains(&name.as_str()) && !value.is_empty() { value.clone() } else { quote_literal(value) };
            let parameter: Vec<_> = name.split('.').map(quote_identifier).collect();
            let _ = writeln!(sql, "ALTER {whom} SET {} TO {value};", parameter.join("."));
        }
        sql
    }
}

impl Session {
    /// Collects the facts, inside whatever transaction is open. What a plain role may not read is left out.
    pub async fn facts(&self) -> Result<Facts> {
        let failed = |e| Error::sql("read the facts about the source", e);
        let client = self.client();
        let sql = "SELECT pg_catalog.current_setting('server_version'), pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
                     AND pg_catalog.has_function_privilege('pg_catalog.pg_control_checkpoint()', 'EXECUTE'),
                   (SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata)";
        let row = client.query_one(sql, &[]).await.map_err(failed)?;
        let (mut identifier, mut timeline) = (None, None);
        if row.get(1) {
            let sql = "SELECT s.system_identifier, c.timeline_id FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c";
            let control = client.query_one(sql, &[]).await.map_err(failed)?;
            identifier = Some(control.get::<_, i64>(0).cast_unsigned());
            timeline = u32::try_from(control.get::<_, i32>(1)).ok();
        }
        let lsn = if self.is_standby() { "pg_last_wal_replay_lsn()" } else { "pg_current_wal_lsn()" };
        let sql = format!("SELECT pg_catalog.{lsn}::pg_catalog.text");
        let lsn = client.query_one(&sql, &[]).await.map_err(failed)?.get(0);
        let sql = "SELECT extname::pg_catalog.text, extversion FROM pg_catalog.pg_extension ORDER BY 1";
        let extensions = client.query(sql, &[]).await.map_err(failed)?;
        Ok(Facts {
            server_version: row.get(0),
            server_version_num: self.version(),
            system_identifier: identifier,
            timeline,
            lsn,
            standby: self.is_standby(),
            database: self.database_facts().await?,
            large_objects: unsigned(row.get(2)),
            extensions: extensions.iter().map(|row| (row.get(0), row.get(1))).collect(),
        })
    }

    async fn database_facts(&self) -> Result<DatabaseFacts> {
        let failed = |e| Error::sql("read the properties of the database", e);
        let (icu, version) = match self.major() {
            17.. => ("d.datlocale", "pg_catalog.pg_database_collation_actual_version(d.oid)"),
            15..17 => ("d.daticulocale", "pg_catalog.pg_database_collation_actual_version(d.oid)"),
            _ => ("NULL::pg_catalog.text", "NULL::pg_catalog.text"),
        };
        let sql = format!(
            "SELECT d.datname::pg_catalog.text, pg_catalog.pg_get_userbyid(d.datdba)::pg_catalog.text, pg_catalog.pg_encoding_to_char(d.encoding)::pg_catalog.text,
               d.datcollate::pg_catalog.text, d.datctype::pg_catalog.text, {icu}, {version},
               CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT') THEN pg_catalog.pg_database_size(d.oid) END,
               pg_catalog.shobj_description(d.oid, 'pg_database'), d.datacl::pg_catalog.text, d.datconnlimit, d.oid
             FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()"
        );
        let row = self.client().query_one(&sql, &[]).await.map_err(failed)?;
        let sql = "SELECT r.rolname::pg_catalog.text, u.setting FROM pg_catalog.pg_db_role_setting s
                   CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) WITH ORDINALITY u(setting, at)
                   LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole WHERE s.setdatabase = $1 ORDER BY 1 NULLS FIRST, u.at";
        let settings = self.client().query(sql, &[&row.get::<_, u32>(11)]).await.map_err(failed)?;
        let setting = |row: &tokio_postgres::Row| {
            let text: String = row.get(1);
            let (name, value) = text.split_once('=')?;
            Some(DatabaseSetting { role: row.get(0), name: name.to_owned(), value: value.to_owned() })
        };
        Ok(DatabaseFacts {
            name: row.get(0),
            owner: row.get(1),
            encoding: row.get(2),
            collate: row.get(3),
            ctype: row.get(4),
            icu_locale: row.get(5),
            collation_version: row.get(6),
            size_bytes: row.get::<_, Option<i64>>(7).map(unsigned),
            comment: row.get(8),
            acl: row.get(9),
            connection_limit: row.get(10),
            settings: settings.iter().filter_map(setting).collect(),
        })
    }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
