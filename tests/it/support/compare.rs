//! Are two databases the same: schema, rows, sequences, large objects, globals.

use stonewal::postgres::server::Server;
use stonewal::postgres::{ConnInfo, Session};

use super::fixture::{beside, run};

/// Fails with the first differences unless the databases are equal in everything a dump carries.
pub(crate) async fn assert_same_database(server: &Server, source: &ConnInfo, target: &ConnInfo) {
    assert_same_text("schema", &schema(server, source), &schema(server, target));
    assert_same_text("rows", &rows(source).await, &rows(target).await);
}

/// Fails unless the globals of two servers are equal.
pub(crate) fn assert_same_globals(source: &Server, target: &Server) {
    assert_same_text("globals", &globals(source), &globals(target));
}

fn assert_same_text(what: &str, left: &str, right: &str) {
    if left == right {
        return;
    }
    let (left, right): (Vec<_>, Vec<_>) = (left.lines().collect(), right.lines().collect());
    let only =
        |a: &[&str], b: &[&str]| a.iter().filter(|l| !b.contains(l)).take(10).copied().collect::<Vec<_>>().join("\n  ");
    panic!(
        "{what} differ; only in the source:\n  {}\nonly in the target:\n  {}",
        only(&left, &right),
        only(&right, &left)
    );
}

/// Everything but data, without the random keys of `\restrict`.
fn schema(server: &Server, info: &ConnInfo) -> String {
    strip_keys(&run(&beside(server, "pg_dump"), info, &["--schema-only"], ""))
}

fn globals(server: &Server) -> String {
    let text = run(&beside(server, "pg_dumpall"), &server.conninfo("postgres").unwrap(), &["--globals-only"], "");
    // Where a tablespace lies differs between two servers on one host.
    strip_keys(&text).lines().map(|line| line.split(" LOCATION ").next().unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

fn strip_keys(text: &str) -> String {
    let is_key = |line: &&str| line.starts_with("\\restrict ") || line.starts_with("\\unrestrict ");
    text.lines().filter(|line| !is_key(line)).collect::<Vec<_>>().join("\n")
}

/// One line per table, sequence and large object, with a digest of its content.
async fn rows(info: &ConnInfo) -> String {
    let session = Session::connect(info, "compare").await.unwrap();
    let client = session.client();
    let relations = "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), c.relkind::text FROM pg_catalog.pg_class c \
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm', 'S') \
        AND (c.relkind <> 'm' OR c.relispopulated) \
        AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1";
    let mut lines = Vec::new();
    for row in client.query(relations, &[]).await.unwrap() {
        let (name, kind): (String, String) = (row.get(0), row.get(1));
        let sql = if kind == "S" {
            format!("SELECT last_value::text || ' ' || is_called, 1::int8 FROM {name}")
        } else {
            format!(
                "SELECT md5(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE \"C\")), count(*) FROM ONLY {name} t"
            )
        };
        let row = client.query_one(&sql, &[]).await.unwrap();
        lines.push(format!("{name} {:?} {}", row.get::<_, Option<String>>(0), row.get::<_, i64>(1)));
    }
    let large = "SELECT oid::text || ' ' || md5(lo_get(oid)) || ' ' || lomowner::regrole::text || ' ' || coalesce(lomacl::text, '') FROM pg_largeobject_metadata ORDER BY oid";
    lines.extend(client.query(large, &[]).await.unwrap().iter().map(|row| row.get::<_, String>(0)));
    assert!(lines.len() > 1, "there is something to compare");
    lines.join("\n")
}
