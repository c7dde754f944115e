//! Dump and load through plain pipes: what comes back is what was there.

use stonewal::postgres::dump::{Dump, DumpOptions};
use stonewal::postgres::globals::{Existing, Globals, GlobalsMode, filter_globals};
use stonewal::postgres::load::{Load, knows_restrict};
use stonewal::postgres::{ConnInfo, Error, Session, target};
use tokio_util::sync::CancellationToken;

use super::dumped;
use crate::support::compare::{assert_same_database, assert_same_globals};
use crate::support::fixture::{DATABASE, Fixture};

async fn globals_text(fixture: &Fixture, mode: GlobalsMode) -> String {
    let program = fixture.program("pg_dumpall").await;
    let mut globals = Globals::start(&fixture.source(), mode, &program).await.unwrap().unwrap();
    let (mut text, mut buffer) = (Vec::new(), vec![0; 1000]);
    loop {
        match globals.read(&mut buffer).await.unwrap() {
            0 => break,
            count => text.extend_from_slice(&buffer[..count]),
        }
    }
    assert_eq!(globals.finish().unwrap().bytes(), text.len() as u64);
    String::from_utf8(text).unwrap()
}

async fn load(fixture: &Fixture, target: &ConnInfo, parts: &[&[u8]]) -> Result<(), Error> {
    let cancel = CancellationToken::new();
    let mut load = Load::start(target, &fixture.program("psql").await, &cancel).await?;
    for part in parts {
        for piece in part.chunks(30_011) {
            load.write(piece).await?;
        }
    }
    load.commit().await.map(|_| ())
}

#[tokio::test]
async fn everything_comes_back_on_another_server_globals_included() {
    let test = "everything_comes_back";
    let Some(source) = Fixture::awkward(test, 1).await else { return };
    let Some(other) = Fixture::empty(test).await else { return };
    let (dump, receipt) = dumped(&source, DumpOptions { counts: true, ..Default::default() }).await;
    assert_eq!(receipt.source.bytes(), dump.len() as u64);
    let globals = globals_text(&source, GlobalsMode::Full).await;

    let target = other.target("restored").await;
    let session = Session::connect(&target, "restore").await.unwrap();
    target::ensure_empty(&session).await.unwrap();
    let restorable = filter_globals(&globals, &Existing::of(&session).await.unwrap()).unwrap();
    assert_eq!(restorable.roles_left_alone, ["postgres"]);
    assert_eq!(restorable.roles_created.len(), 3);
    let space = other.server.make_dir("space").unwrap();
    for sql in &restorable.tablespaces {
        let (head, _) = sql.split_once(" LOCATION ").unwrap();
        other.server.execute("postgres", &format!("{head} LOCATION '{}'", space.display())).await.unwrap();
    }
    let facts = receipt.facts.database.restore_sql("restored");
    load(&other, &target, &[restorable.in_transaction.as_bytes(), &dump, facts.as_bytes()]).await.unwrap();

    assert_same_database(&source.server, &source.source(), &target).await;
    assert_same_globals(&source.server, &other.server);
    let settings = "SELECT coalesce(setrole::regrole::text, ''), setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase ORDER BY 1";
    assert_eq!(source.value("postgres", settings), other.value("postgres", settings));
    let comment =
        |name: &str| format!("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{name}'");
    assert_eq!(source.value("postgres", &comment(DATABASE)), other.value("postgres", &comment("restored")));

    let refused = target::ensure_empty(&session).await.unwrap_err();
    assert!(matches!(refused, Error::NotEmpty { more, .. } if more > 20), "{refused}");
}

#[tokio::test]
async fn counts_and_facts_are_those_of_the_source() {
    let Some(fixture) = Fixture::awkward("counts_and_facts", 1).await else { return };
    let (dump, receipt) = dumped(&fixture, DumpOptions { counts: true, ..Default::default() }).await;
    let counts = receipt.counts.unwrap();
    let rows = |schema: &str, name: &str| counts.iter().find(|c| c.schema == schema && c.name == name).map(|c| c.rows);
    for (schema, name, want) in [
        ("public", "pgbench_accounts", Some(100_000)),
        ("public", "base_of", Some(1)),
        ("public", "child_of", Some(2)),
        ("public", "tenants", Some(2)),
        ("public", "no_columns", Some(2)),
        ("public", "events", None),
        ("public", "per_kind", Some(3)),
        ("public", "never_filled", None),
        ("Geschäfts Daten", "Kunden; DROP", Some(500)),
    ] {
        assert_eq!(rows(schema, name), want, "{schema}.{name}");
    }
    let views = receipt.materialised.unwrap();
    assert_eq!(views.iter().map(ToString::to_string).collect::<Vec<_>>(), ["public.per_kind"]);
    let events: u64 = ["events_2024_a", "events_2024_rest"].iter().filter_map(|n| rows("archive", n)).sum();
    assert_eq!(events + rows("public", "events_2023").unwrap(), 10_000);
    let facts = &receipt.facts;
    assert_eq!(facts.large_objects, 3);
    assert_eq!(
        facts.system_identifier.unwrap().to_string(),
        fixture.value("postgres", "SELECT system_identifier FROM pg_control_system()")
    );
    assert!(facts.lsn.as_ref().unwrap().contains('/') && facts.timeline == Some(1) && !facts.standby);
    assert_eq!((facts.database.name.as_str(), facts.database.encoding.as_str()), (DATABASE, "UTF8"));
    assert!(facts.extensions.iter().any(|(name, version)| name == "hstore" && !version.is_empty()));
    assert_eq!(receipt.restrict, dump.windows(10).any(|w| w == b"\\restrict "));
    assert_eq!(knows_restrict(&fixture.source(), &fixture.program("psql").await).await.unwrap(), receipt.restrict);
}

#[tokio::test]
async fn counts_follow_pg_dumps_own_patterns() {
    let Some(fixture) = Fixture::awkward("counts_follow_patterns", 1).await else { return };
    let cases = [
        DumpOptions { tables: vec!["public.pgbench_*".into(), "events_2024*".into()], ..Default::default() },
        DumpOptions {
            tables: vec!["archive.*".into(), "\"Geschäfts Daten\".*".into()],
            exclude_tables: vec!["*.*rest".into()],
            ..Default::default()
        },
        DumpOptions {
            schemas: vec!["(archive|public)".into()],
            exclude_tables: vec!["public.pgbench_?ccounts".into()],
            ..Default::default()
        },
        DumpOptions { exclude_schemas: vec!["pub*".into()], ..Default::default() },
        DumpOptions {
            exclude_table_data: vec!["public.pgbench_accounts".into(), "archive.*".into()],
            ..Default::default()
        },
    ];
    for options in cases {
        let (dump, receipt) = dumped(&fixture, DumpOptions { counts: true, ..options.clone() }).await;
        let text = String::from_utf8_lossy(&dump);
        let mut dumped: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("-- Data for Name: ")?.split_once("; Type: TABLE DATA; Schema: "))
            .map(|(name, rest)| format!("{}.{name}", rest.split(';').next().unwrap()))
            .collect();
        let counted = receipt.counts.unwrap().into_iter().filter(|c| c.name != "per_kind");
        let mut counted: Vec<_> = counted.map(|c| format!("{}.{}", c.schema, c.name)).collect();
        dumped.sort();
        counted.sort();
        // pg_dump writes "Kunden; DROP" with its semicolon; the split above loses nothing but its own.
        assert_eq!(counted, dumped, "{options:?}");
    }
}

#[tokio::test]
async fn a_larger_database_comes_back_on_the_same_server() {
    let Some(fixture) = Fixture::awkward("a_larger_database", 5).await else { return };
    let target = fixture.target("restored").await;
    let cancel = CancellationToken::new();
    let mut dump = Dump::start(&fixture.source(), DumpOptions::default(), &fixture.search(), &cancel).await.unwrap();
    let mut load = Load::start(&target, &fixture.program("psql").await, &cancel).await.unwrap();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match dump.read(&mut buffer).await.unwrap() {
            0 => break,
            count => load.write(&buffer[..count]).await.unwrap(),
        }
    }
    let receipt = dump.finish().await.unwrap();
    assert_eq!(load.commit().await.unwrap().bytes(), receipt.source.bytes());
    assert_same_database(&fixture.server, &fixture.source(), &target).await;
}

#[tokio::test]
async fn a_plain_role_gets_a_clear_refusal_of_the_passwords_and_everything_else() {
    let Some(fixture) = Fixture::awkward("a_plain_role", 1).await else { return };
    let info = fixture.source().with_user("fixture_owner", Some("owner".to_owned().into()));
    let program = fixture.program("pg_dumpall").await;
    let refused = Globals::start(&info, GlobalsMode::Full, &program).await.unwrap_err();
    assert!(matches!(refused, Error::Denied { .. }) && refused.hint().unwrap().contains("no-passwords"), "{refused}");
    let without = globals_text(&fixture, GlobalsMode::NoPasswords).await;
    assert!(without.contains("fixture_reader") && !without.contains("PASSWORD"));
    let cancel = CancellationToken::new();
    let denied = match Dump::start(&info, DumpOptions::default(), &fixture.search(), &cancel).await {
        Ok(dump) => super::drain(dump).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(denied.to_string().contains("permission denied") && denied.hint().unwrap().contains("grant"), "{denied}");
}

#[tokio::test]
async fn counts_and_rows_are_of_one_moment_whatever_happens_meanwhile() {
    let Some(fixture) = Fixture::awkward("one_moment", 1).await else { return };
    let options = DumpOptions { tables: vec!["public.pgbench_accounts".into()], counts: true, ..Default::default() };
    let dump = Dump::start(&fixture.source(), options, &fixture.search(), &CancellationToken::new()).await.unwrap();
    let script = "DELETE FROM public.pgbench_accounts WHERE aid % 2 = 0; INSERT INTO public.pgbench_accounts SELECT n, 1, 0, '' FROM generate_series(200001, 207000) n;";
    fixture.psql(DATABASE, script, &[]);
    let (text, receipt) = super::drain(dump).await.unwrap();
    assert_eq!(receipt.counts.unwrap()[0].rows, 100_000, "as it was when the dump began");
    let text = String::from_utf8(text).unwrap();
    let data = text.split_once("FROM stdin;\n").unwrap().1.split_once("\n\\.\n").unwrap().0;
    assert_eq!(data.lines().count(), 100_000);
}

/// libpq expands a database name with `=` in it to a whole connection string: the roles would come from wherever it says.
#[tokio::test]
async fn b09_globals_come_from_this_server_whatever_the_database_is_called() {
    let Some(fixture) = Fixture::empty("b09_names").await else { return };
    let names = ["port=1 dbname=postgres", "user=nosuch", "postgres://127.0.0.1:1/x", r"it's a \ name"];
    fixture.psql("postgres", "CREATE ROLE only_here;", &[]);
    for name in names {
        fixture.psql("postgres", &format!("CREATE DATABASE \"{name}\";"), &[]);
        let program = fixture.program("pg_dumpall").await;
        let info = fixture.source().with_dbname(name);
        let mut globals = Globals::start(&info, GlobalsMode::Full, &program).await.unwrap().unwrap();
        let (mut sql, mut buffer) = (Vec::new(), vec![0; 65_536]);
        loop {
            match globals.read(&mut buffer).await.unwrap() {
                0 => break,
                count => sql.extend_from_slice(&buffer[..count]),
            }
        }
        assert!(String::from_utf8_lossy(&sql).contains("CREATE ROLE only_here"), "{name}");
        let dump = Dump::start(&info, DumpOptions::default(), &fixture.search(), &CancellationToken::new()).await;
        assert_eq!(dump.unwrap().facts().database.name, name);
    }
}
