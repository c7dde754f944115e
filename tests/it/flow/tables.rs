//! One table back, without the rest of the dump.

use stonewal::commands::restore_dump::{self, Confirm, DatabaseTarget, Outcome, RestoreTarget, Tables};
use stonewal::commands::{self, Class, Which};
use stonewal::format::names::Names;
use stonewal::observe::Progress;
use stonewal::postgres::ConnInfo;
use stonewal::postgres::rows::TableName;
use stonewal::store::roles::Role;
use stonewal::store::{ObjectKey, Prune as _, VersionId};
use tokio_util::sync::CancellationToken;

use super::stage::{MARKER, PREFIX, Stage, cluster, run_backup};
use crate::support::fixture::{DATABASE, Fixture};
use crate::support::gate::Gate;

const CUSTOMERS: &str = "\"Geschäfts Daten\".\"Kunden; DROP\"";

/// The awkward database, with `public` in the search path.
async fn awkward(test: &str) -> Option<Stage> {
    let stage = Stage::awkward(test, 1).await?;
    let reset = format!("ALTER DATABASE \"{}\" RESET search_path", DATABASE.replace('"', "\"\""));
    stage.source.server.execute("postgres", &reset).await.unwrap();
    Some(stage)
}

fn name(schema: &str, table: &str) -> TableName {
    TableName { schema: schema.into(), table: table.into() }
}

fn tables(names: &[(&str, &str)]) -> Tables {
    Tables { names: names.iter().map(|(schema, table)| name(schema, table)).collect(), ..Tables::default() }
}

fn renamed(schema: &str, table: &str, to: &str) -> Tables {
    Tables { rename: Some((None, to.into())), ..tables(&[(schema, table)]) }
}

async fn restore(stage: &Stage, to: RestoreTarget, tables: Tables) -> commands::Result<Outcome> {
    let mut options = stage.restore_options(Which::Latest, to);
    options.tables = Some(tables);
    Box::pin(restore_dump::run(options, &Progress::new(), &CancellationToken::new())).await
}

async fn into(stage: &Stage, server: &Fixture, info: &ConnInfo, tables: Tables) -> commands::Result<Outcome> {
    let (info, programs) = (info.clone(), server.search());
    let target = DatabaseTarget { info, programs, confirm: Confirm::Given, globals: true };
    restore(stage, RestoreTarget::Database(Box::new(target)), tables).await
}

async fn refusal(stage: &Stage, info: &ConnInfo, tables: Tables) -> String {
    let error = into(stage, &stage.source, info, tables).await.unwrap_err();
    format!("{error} | {}", error.hint().unwrap_or_default())
}

/// Number and digest of the rows.
fn rows(server: &Fixture, database: &str, table: &str) -> String {
    server.value(
        database,
        &format!(
            "SELECT count(*) || ' ' || md5(coalesce(string_agg(t::text, chr(10) ORDER BY t::text), '')) FROM {table} t"
        ),
    )
}

/// Keys, indexes, constraints, defaults and the like of a table, without its name.
fn shape(server: &Fixture, database: &str, table: &str) -> String {
    let sql = format!(
        "SELECT string_agg(line, chr(10) ORDER BY line) FROM (
           SELECT regexp_replace(indexdef, '^(CREATE (UNIQUE )?INDEX) (\"([^\"]|\"\")+\"|\\w+) ON (ONLY )?(\"([^\"]|\"\")+\"|\\w+)\\.(\"([^\"]|\"\")+\"|\\w+)', '\\1') FROM pg_indexes
             WHERE format('%I.%I', schemaname, tablename)::regclass = '{table}'::regclass
           UNION ALL SELECT contype::text || pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = '{table}'::regclass AND contype <> 'f'
           UNION ALL SELECT attname::text || format_type(atttypid, atttypmod) || attnotnull::text || attidentity::text || attgenerated::text || (atthasdef AND attgenerated = '')::text
             FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0
           UNION ALL SELECT 'statistics' || stxkind::text FROM pg_statistic_ext WHERE stxrelid = '{table}'::regclass) l (line)"
    );
    server.value(database, &sql)
}

/// A row comes when the table was seen to be empty, and before the first is restored.
async fn row_between(stage: &Stage, what: Tables) {
    let dump = |line: &str| line.starts_with("GET ") && line.contains("/dump/");
    let gate = Gate::start(stage.server().endpoint(), dump).await;
    let (info, programs) = (stage.database.clone(), stage.source.search());
    let target = DatabaseTarget { info, programs, confirm: Confirm::Given, globals: true };
    let mut options = stage.restore_options(Which::Latest, RestoreTarget::Database(Box::new(target)));
    (options.tables, options.repository.s3.endpoint) = (Some(what), Some(gate.endpoint()));
    let (progress, never) = (Progress::new(), CancellationToken::new());
    let restoring = Box::pin(restore_dump::run(options, &progress, &never));
    let adding = async {
        gate.held(1).await;
        stage.source.psql(DATABASE, "INSERT INTO lines DEFAULT VALUES", &[]);
        gate.open();
    };
    let (ended, ()) = tokio::join!(restoring, adding);
    let error = stonewal::observe::chain(&ended.unwrap_err());
    assert!(error.contains("public.lines is not empty: its rows would be mixed"), "{error}");
    assert_eq!(
        stage.source.value(DATABASE, "WITH gone AS (DELETE FROM lines RETURNING 1) SELECT count(*) FROM gone"),
        "1"
    );
}

/// The playbook of a damaged audit log: the copy beside the original in the live database (PAINS B7: `\restrict` included).
#[tokio::test]
async fn a_table_comes_back_beside_the_original_under_another_name() {
    let Some(stage) = awkward("a_table_beside").await else { return };
    let source = &stage.source;
    stage.backup().await;
    let before = rows(source, DATABASE, "public.audit_logs");
    source.psql(DATABASE, "UPDATE audit_logs SET hash = 'forged' WHERE \"resourceId\" = '7'; DELETE FROM audit_logs WHERE \"resourceId\" = '9'", &[]);
    let done = into(&stage, source, &stage.database, renamed("public", "audit_logs", "audit logs; 1")).await.unwrap();
    assert_eq!((done.tables[0].name.as_str(), done.tables[0].rows), ("public.audit logs; 1", Some(200)));
    assert!(done.warnings.is_empty() && done.roles_created.is_empty(), "{done:?}");
    assert_eq!(rows(source, DATABASE, "public.\"audit logs; 1\""), before);
    assert_eq!(shape(source, DATABASE, "public.\"audit logs; 1\""), shape(source, DATABASE, "public.audit_logs"));
    assert_eq!(source.value(DATABASE, "SELECT count(*) FROM audit_logs"), "199", "the original is as it was");

    // Everything at once: identity, generated and domain columns, exclusion, expression indexes, statistics elsewhere.
    let done =
        into(&stage, source, &stage.database, renamed("Geschäfts Daten", "Kunden; DROP", "Back \"x\"")).await.unwrap();
    let copy = "\"Geschäfts Daten\".\"Back \"\"x\"\"\"";
    assert!(done.warnings.is_empty(), "{done:?}");
    assert_eq!(rows(source, DATABASE, copy), rows(source, DATABASE, CUSTOMERS));
    assert_eq!(shape(source, DATABASE, copy), shape(source, DATABASE, CUSTOMERS));
    let next = format!(
        "INSERT INTO {copy} (\"Näme \"\"x\"\"\") VALUES ('new') RETURNING id - (SELECT max(id) FROM {CUSTOMERS})"
    );
    assert_eq!(source.value(DATABASE, &next), "7", "the identity goes on where it was");

    // A foreign key of the copy would tie the live table that it refers to.
    let done = into(&stage, source, &stage.database, renamed("public", "invoices", "invoices_back")).await.unwrap();
    assert!(
        done.warnings.is_empty() && done.left_out.len() == 1 && done.left_out[0].contains("must not tie"),
        "{done:?}"
    );
    let again = refusal(&stage, &stage.database, renamed("public", "invoices", "invoices_back")).await;
    assert!(again.contains("public.invoices_back already") && again.contains("--as"), "{again}");
}

#[tokio::test]
async fn a_partitioned_table_comes_with_its_partitions_and_says_what_the_target_lacks() {
    let test = "a_partitioned_table";
    let Some(stage) = awkward(test).await else { return };
    let Some(other) = Fixture::empty(test).await else { return };
    stage.backup().await;
    let target = other.target("restored").await;
    let refused = into(&stage, &other, &target, tables(&[("public", "events")])).await.unwrap_err();
    assert!(refused.to_string().contains("no schema archive"), "{refused}");
    other.psql("restored", "CREATE SCHEMA archive", &[]);
    let done = into(&stage, &other, &target, tables(&[("public", "events")])).await.unwrap();
    assert_eq!(done.tables.iter().filter_map(|table| table.rows).sum::<u64>(), 10_000);
    assert!(
        done.warnings
            .iter()
            .any(|w| w.contains("trigger touch on public.events is left out") && w.contains("archive.touch()")),
        "{done:?}"
    );
    assert_eq!(rows(&other, "restored", "events"), rows(&stage.source, DATABASE, "events"));
    assert_eq!(
        shape(&other, "restored", "archive.events_2024_a"),
        shape(&stage.source, DATABASE, "archive.events_2024_a")
    );
    let next = "INSERT INTO events (at, kind) VALUES ('2023-07-01Z', 'a') RETURNING id";
    assert_eq!(other.value("restored", next), "10001", "the sequence goes on where it was");
    assert_eq!(other.value("restored", "SELECT count(*) FROM pg_class WHERE relname IN ('bytes', 'hen')"), "0");

    // A partition on its own; the whole of it once more under another name.
    let done = into(&stage, &other, &target, renamed("archive", "events_2024_a", "alone")).await.unwrap();
    assert!(done.left_out.iter().any(|part| part.contains("stands on its own")), "{done:?}");
    let done = into(&stage, &stage.source, &stage.database, renamed("public", "events", "happenings")).await.unwrap();
    assert!(done.warnings.is_empty(), "{done:?}");
    assert_eq!(rows(&stage.source, DATABASE, "happenings"), rows(&stage.source, DATABASE, "events"));
    let partitions = "SELECT string_agg(relid::regclass::text, ' ' ORDER BY relid::regclass::text COLLATE \"C\") FROM pg_partition_tree('public.happenings')";
    assert_eq!(
        stage.source.value(DATABASE, &format!("SET search_path = ''; {partitions}")),
        "public.happenings public.happenings_2023 public.happenings_2024 public.happenings_2024_a public.happenings_2024_rest"
    );
}

#[tokio::test]
async fn foreign_keys_policies_and_owners_come_where_the_target_has_what_they_need() {
    let test = "foreign_keys";
    let Some(stage) = awkward(test).await else { return };
    let Some(other) = Fixture::empty(test).await else { return };
    stage.backup().await;
    let target = other.target("restored").await;
    let keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'f'";
    let done = into(&stage, &other, &target, tables(&[("public", "hen"), ("public", "tenants")])).await.unwrap();
    let said = done.warnings.join("\n");
    assert!(said.contains("constraint hen_egg_fkey on public.hen is left out: the target has no public.egg"), "{said}");
    assert!(said.contains("role fixture_owner"), "{said}");
    assert_eq!((other.value("restored", keys).as_str(), done.roles_created.len()), ("0", 0));
    assert_eq!(
        other
            .value("restored", "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE relname = 'tenants'"),
        "t"
    );
    other.psql("restored", "DROP TABLE hen", &[]);
    let done = into(&stage, &other, &target, tables(&[("public", "hen"), ("public", "egg")])).await.unwrap();
    assert!(done.warnings.is_empty(), "{done:?}");
    assert_eq!(other.value("restored", keys), "2");

    // What a definition needs is not made up: everything is rolled back, and said.
    let error = into(&stage, &other, &target, tables(&[("public", "bytes"), ("public", "tax_reports")])).await;
    error.unwrap();
    other.psql("restored", "CREATE SCHEMA \"Geschäfts Daten\"", &[]);
    let error = into(&stage, &other, &target, tables(&[("public", "lines"), ("Geschäfts Daten", "Kunden; DROP")]))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("does not exist") && error.hint().is_some(), "{error}");
    assert_eq!(other.value("restored", "SELECT count(*) FROM pg_class WHERE relname = 'lines'"), "0");
}

#[tokio::test]
async fn rows_alone_go_into_an_empty_table_only() {
    let Some(stage) = awkward("rows_alone").await else { return };
    let source = &stage.source;
    stage.backup().await;
    let only = |schema, table| Tables { data_only: true, ..tables(&[(schema, table)]) };
    let (lines, events) = (rows(source, DATABASE, "lines"), rows(source, DATABASE, "events"));
    let refused = refusal(&stage, &stage.database, only("public", "lines")).await;
    assert!(refused.contains("public.lines is not empty"), "{refused}");
    source.psql(
        DATABASE,
        "TRUNCATE lines, events; TRUNCATE \"Geschäfts Daten\".\"Kunden; DROP\" RESTART IDENTITY",
        &[],
    );
    row_between(&stage, only("public", "lines")).await;
    for (schema, table) in [("public", "lines"), ("public", "events"), ("Geschäfts Daten", "Kunden; DROP")] {
        into(&stage, source, &stage.database, only(schema, table)).await.unwrap();
    }
    assert_eq!((rows(source, DATABASE, "lines"), rows(source, DATABASE, "events")), (lines, events));
    let next = format!("INSERT INTO {CUSTOMERS} (\"Näme \"\"x\"\"\") VALUES ('new') RETURNING id > 4000");
    assert_eq!(source.value(DATABASE, &next), "t", "the sequence comes with the rows");
    // Others may have taken numbers meanwhile.
    let sequence = "\"Geschäfts Daten\".\"Kunden; DROP_id_seq\"";
    source.psql(DATABASE, &format!("TRUNCATE {CUSTOMERS}; SELECT setval('{sequence}', 900001)"), &[]);
    into(&stage, source, &stage.database, only("Geschäfts Daten", "Kunden; DROP")).await.unwrap();
    assert_eq!(source.value(DATABASE, &format!("SELECT last_value FROM {sequence}")), "900001", "never set back");
    let absent = Tables { rename: Some((None, "nowhere".into())), ..only("public", "lines") };
    assert!(refusal(&stage, &stage.database, absent).await.contains("no public.nowhere to put the rows into"));

    let mut options = stage.backup_options();
    options.dump.exclude_table_data = vec!["public.lines".into()];
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    run_backup(options).await.unwrap();
    source.psql(DATABASE, "TRUNCATE lines", &[]);
    assert!(refusal(&stage, &stage.database, only("public", "lines")).await.contains("none of its rows"));
    let done = into(&stage, source, &stage.database, renamed("public", "lines", "lines_back")).await.unwrap();
    assert!(done.warnings[0].contains("none of its rows") && done.tables[0].rows.is_none(), "{done:?}");
}

#[tokio::test]
async fn what_cannot_be_picked_is_refused_before_anything_is_written() {
    let Some(stage) = awkward("cannot_be_picked").await else { return };
    stage.backup().await;
    for (asked, said) in [
        (tables(&[("public", "audit_log")]), "did you mean public.audit_logs?"),
        (tables(&[("archive", "audit_logs")]), "did you mean public.audit_logs?"),
        (tables(&[("public", "hen")]), "has public.hen already; nothing is written over"),
        (tables(&[("public", "happy")]), "public.happy is a view"),
        (tables(&[("public", "per_kind")]), "public.per_kind is a view"),
        (renamed("public", "child_of", "orphan"), "would see the rows of the copy"),
        (Tables { rename: Some((None, "x".into())), ..tables(&[("public", "hen"), ("public", "egg")]) }, "one table"),
        (
            Tables { rename: Some((Some("nowhere".into()), "x".into())), ..tables(&[("public", "hen")]) },
            "no schema nowhere",
        ),
    ] {
        let refused = refusal(&stage, &stage.database, asked).await;
        assert!(refused.contains(said), "{refused}");
    }
    let empty = stage.source.target("empty").await;
    let refused = refusal(&stage, &empty, tables(&[("public", "child_of")])).await;
    assert!(
        refused.contains("inherits from public.base_of") && refused.contains("--table public.base_of"),
        "{refused}"
    );
    let both = tables(&[("public", "child_of"), ("public", "base_of")]);
    into(&stage, &stage.source, &empty, both).await.unwrap();
    assert_eq!(stage.source.value("empty", "SELECT count(*) FROM base_of"), "3");
}

/// The file is what psql loads; names that pass for others in comments or rows pick nothing.
#[tokio::test]
async fn a_table_goes_into_a_file_that_psql_loads() {
    let Some(stage) = awkward("table_to_file").await else { return };
    let source = &stage.source;
    let trap = "CREATE TABLE \"x; Type: TABLE; Schema: public; Owner: y\nCOPY public.lines (line) FROM stdin;\" (line text);
        CREATE TABLE trap (line text); INSERT INTO trap VALUES (E'\\\\.\\nCOPY public.lines (line) FROM stdin;\\nstray'), ('CREATE TABLE public.lines (x int);');";
    source.psql(DATABASE, trap, &[]);
    stage.backup().await;
    let path = stage.dir.path().join("lines.sql");
    let to = RestoreTarget::File { path: path.clone(), globals: false };
    let done = restore(&stage, to, tables(&[("public", "lines"), ("public", "no_columns")])).await.unwrap();
    let sql = std::fs::read_to_string(&path).unwrap();
    assert_eq!(done.plain_bytes, sql.len() as u64);
    assert!(!sql.contains("stray") && !sql.contains("bytes"), "{sql}");
    source.target("loaded").await;
    source.psql("loaded", &sql, &[]);
    for table in ["lines", "no_columns"] {
        assert_eq!(rows(source, "loaded", table), rows(source, DATABASE, table), "{table}");
    }
}

/// The table itself lies before the damage; nothing of it is committed, and no file appears.
#[tokio::test]
async fn i05_damage_behind_the_table_undoes_it() {
    let Some(stage) = Stage::new("damage_behind_the_table", |_| ()).await else { return };
    let made = stage.backup().await;
    let shown = stage.show(Role::Reader, Stage::passphrase(), Which::Latest).await;
    let stream = shown.clear.streams.iter().max_by_key(|stream| stream.plain_bytes).unwrap();
    assert!(stream.chunks.len() > 2, "{made:?}");
    let database = stage.source.target("target").await;
    into(&stage, &stage.source, &database, tables(&[("public", MARKER)])).await.unwrap();
    let (number, last) = (u32::try_from(stream.chunks.len() - 1).unwrap(), stream.chunks.last().unwrap());
    let key = Names::new(PREFIX).unwrap().chunk(&cluster(), &made.backup, &stream.name, number, last.tag);
    let store = stage.connected(Role::Admin).await.store;
    store.delete_version(&ObjectKey::new(key), &VersionId::new(&last.version), true).await.unwrap();
    stage.source.psql("target", &format!("DROP TABLE \"{MARKER}\""), &[]);
    let error = into(&stage, &stage.source, &database, tables(&[("public", MARKER)])).await.unwrap_err();
    assert_eq!(error.class(), Class::Integrity, "{error:?}");
    assert_eq!(
        stage.source.value(
            "target",
            "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ),
        "0"
    );
    let path = stage.dir.path().join("table.sql");
    let to = RestoreTarget::File { path: path.clone(), globals: false };
    assert_eq!(restore(&stage, to, tables(&[("public", MARKER)])).await.unwrap_err().class(), Class::Integrity);
    assert!(!path.exists());
}

/// No rollback undoes what sets a sequence: it comes when everything else has been read. Here much lies behind it.
#[tokio::test]
async fn i05_damage_behind_a_sequence_leaves_it_as_it_was() {
    let Some(stage) = Stage::new("damage_behind_a_sequence", |_| ()).await else { return };
    let source = &stage.source;
    let script = "CREATE TABLE numbered (id serial PRIMARY KEY); INSERT INTO numbered SELECT FROM generate_series(1, 70);
        DO $$ BEGIN EXECUTE (SELECT 'COMMENT ON INDEX ledger_pkey IS ' || quote_literal(string_agg(md5(n::text), '')) FROM generate_series(1, 400000) n); END $$";
    source.psql("app", script, &[]);
    let made = stage.backup().await;
    source.psql("app", "TRUNCATE numbered RESTART IDENTITY; SELECT nextval('numbered_id_seq')", &[]);
    let shown = stage.show(Role::Reader, Stage::passphrase(), Which::Latest).await;
    let stream = shown.clear.streams.iter().max_by_key(|stream| stream.plain_bytes).unwrap();
    let (number, last) = (u32::try_from(stream.chunks.len() - 1).unwrap(), stream.chunks.last().unwrap());
    let key = Names::new(PREFIX).unwrap().chunk(&cluster(), &made.backup, &stream.name, number, last.tag);
    let store = stage.connected(Role::Admin).await.store;
    store.delete_version(&ObjectKey::new(key), &VersionId::new(&last.version), true).await.unwrap();
    let only = Tables { data_only: true, ..tables(&[("public", "numbered")]) };
    let error = into(&stage, source, &stage.database, only).await.unwrap_err();
    assert_eq!(error.class(), Class::Integrity, "{error:?}");
    let state = "SELECT (SELECT count(*) FROM numbered) || ' ' || last_value FROM numbered_id_seq";
    assert_eq!(source.value("app", state), "0 1");
}

/// Rows that are elsewhere, and none at all, are worth a warning.
#[tokio::test]
async fn a_partition_without_rows_in_the_dump_is_told() {
    let Some(stage) = Stage::new("a_partition_without_rows", |_| ()).await else { return };
    let script = "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER elsewhere FOREIGN DATA WRAPPER w;
        CREATE TABLE parts (a int) PARTITION BY RANGE (a); CREATE TABLE zz_part PARTITION OF parts FOR VALUES FROM (0) TO (9);
        CREATE FOREIGN TABLE far PARTITION OF parts FOR VALUES FROM (10) TO (19) SERVER elsewhere; INSERT INTO parts VALUES (1), (2);
        CREATE TABLE hollow (a int) PARTITION BY RANGE (a);";
    stage.source.psql("app", script, &[]);
    stage.backup().await;
    let target = stage.source.target("target").await;
    let done =
        into(&stage, &stage.source, &target, tables(&[("public", "parts"), ("public", "hollow")])).await.unwrap();
    let said = done.warnings.join("\n");
    assert!(said.contains("public.far as a partition of public.parts is left out: it is a foreign table"), "{said}");
    assert!(
        said.contains("the definition of public.hollow and none of its rows") && done.warnings.len() == 2,
        "{said}"
    );
    assert_eq!(stage.source.value("target", "SELECT count(*) FROM parts"), "2");
}
