//! An accounting database like that of the first users, and digests to compare it by.

use std::collections::BTreeMap;

use crate::commands::{Error, Result};
use crate::postgres::Session;
use crate::postgres::server::Server;

/// What a table holds, in two numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableDigest {
    pub(super) rows: u64,
    md5: String,
}

/// By table.
pub(super) type Digests = BTreeMap<String, TableDigest>;

const TABLES: [&str; 4] = ["audit_logs", "companies", "invoices", "tax_reports"];

const SCHEMA: &str = r#"
CREATE ROLE bookkeeper LOGIN PASSWORD 'stone';
CREATE TABLE companies (id int PRIMARY KEY, name text NOT NULL, country text NOT NULL);
CREATE TABLE invoices (
  id int PRIMARY KEY, "companyId" int NOT NULL REFERENCES companies, number text NOT NULL UNIQUE, issued date NOT NULL,
  net numeric(12,2) NOT NULL, gross numeric(12,2) GENERATED ALWAYS AS (round(net * 1.19, 2)) STORED, lines jsonb NOT NULL);
CREATE TABLE tax_reports (id int PRIMARY KEY, "companyId" int NOT NULL REFERENCES companies, year int NOT NULL, body bytea NOT NULL);
CREATE TABLE audit_logs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, action text NOT NULL, "resourceId" text NOT NULL,
  "timestamp" timestamptz NOT NULL, hash text NOT NULL, "previousHash" text NOT NULL, immutable bool NOT NULL DEFAULT true);
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO bookkeeper;
"#;

const ROWS: &str = r#"
INSERT INTO companies SELECT i, 'Müller & Söhne № ' || i, (ARRAY['DE','AT','CH'])[1 + i % 3] FROM generate_series(1, 500) i;
INSERT INTO invoices (id, "companyId", number, issued, net, lines) SELECT i, 1 + i % 500, 'R-' || to_char(i, 'FM0000000'), date '2020-01-01' + i % 2000,
  (i * 7919 % 1000000) / 100.0, jsonb_build_object('text', md5(i::text), 'qty', i % 17, 'tags', jsonb_build_array(i % 3, md5((i * 3)::text)))
  FROM generate_series(1, 120000) i;
INSERT INTO tax_reports SELECT i, 1 + i % 500, 2015 + i % 10, decode(repeat(md5(i::text), 40), 'hex') FROM generate_series(1, 4000) i;
DO $$
DECLARE previous text := repeat('0', 64); text_hashed text; i int;
BEGIN
  FOR i IN 1..20000 LOOP
    text_hashed := encode(sha256(convert_to(i || '|invoice.create|' || previous, 'UTF8')), 'hex');
    INSERT INTO audit_logs (action, "resourceId", "timestamp", hash, "previousHash")
      VALUES ('invoice.create', i::text, timestamptz '2026-01-01 00:00:00Z' + i * interval '1 second', text_hashed, previous);
    previous := text_hashed;
  END LOOP;
END $$;
"#;

/// Rows whose hash is not that of their content, or whose predecessor is another.
const BROKEN_LINKS: &str = r#"
SELECT count(*) FROM (SELECT *, lag(hash, 1, repeat('0', 64)) OVER (ORDER BY id) AS before FROM public.audit_logs) rows
WHERE "previousHash" <> before OR hash <> encode(sha256(convert_to("resourceId" || '|' || action || '|' || "previousHash", 'UTF8')), 'hex')
"#;

pub(super) async fn make(server: &Server, database: &str) -> Result<Digests> {
    server.execute("postgres", &format!("CREATE DATABASE {database}")).await?;
    for part in [SCHEMA, ROWS] {
        server.execute(database, &format!("SET search_path = public; {part}")).await?;
    }
    digests(server, database).await
}

pub(super) async fn digests(server: &Server, database: &str) -> Result<Digests> {
    let session = Session::connect(&server.socket_conninfo(database)?, "stonewal demo").await?;
    let mut digests = Digests::new();
    for table in TABLES {
        let sql = format!(
            "SELECT count(*), coalesce(md5(string_agg(md5(t::text), '' ORDER BY t.id)), '') FROM public.{table} t"
        );
        let row = session.client().query_one(&sql, &[]).await.map_err(|e| Error::Demo(e.to_string()))?;
        let rows = u64::try_from(row.get::<_, i64>(0)).unwrap_or_default();
        digests.insert(table.to_owned(), TableDigest { rows, md5: row.get(1) });
    }
    Ok(digests)
}

pub(super) async fn check_chain(server: &Server, database: &str) -> Result<()> {
    let session = Session::connect(&server.socket_conninfo(database)?, "stonewal demo").await?;
    let row = session.client().query_one(BROKEN_LINKS, &[]).await.map_err(|e| Error::Demo(e.to_string()))?;
    match row.get::<_, i64>(0) {
        0 => Ok(()),
        broken => Err(Error::Demo(format!("{broken} links of the hash chain are broken"))),
    }
}
