//! Audit logs that a Node program wrote, with npm's json-stable-stringify, against our reading of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use stonewal::config::{self, Environment, Flags};
use stonewal::observe::Progress;
use stonewal::postgres::Session;
use stonewal::postgres::rows::TableName;
use stonewal::verify::chain::{self, Algorithm, BreakKind, ChainReport, Definition, Encoding, Field, Nulls, Shape};

use crate::support::fixture::Fixture;
use crate::support::{rounds, skip, variable};

/// The Node program, with its packages.
pub(super) struct Node {
    dir: tempfile::TempDir,
}

impl Node {
    /// `None`, with a printed line, where node or npm is missing.
    pub(super) fn new(test: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/flow/audit");
        for name in ["package.json", "package-lock.json", "write.js"] {
            std::fs::copy(source.join(name), dir.path().join(name)).unwrap();
        }
        let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
        match Command::new("npm").args(install).current_dir(dir.path()).output() {
            Ok(output) if output.status.success() => return Some(Self { dir }),
            Ok(output) => skip(test, &format!("npm ci: {}", String::from_utf8_lossy(&output.stderr))),
            Err(error) => skip(test, &format!("npm: {error}")),
        }
        None
    }

    /// SQL of a log of so many rows.
    pub(super) fn log(&self, rows: u32, seed: u32, absent: &str) -> String {
        let (rows, seed) = (rows.to_string(), seed.to_string());
        let mut command = Command::new("node");
        command.args(["write.js", &rows, &seed, absent]).current_dir(self.dir.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The chain as a configuration file defines it; the preset's fields have no forms of their own.
fn definition(dir: &Path, file: &str) -> Definition {
    let path = dir.join("stonewal.toml");
    std::fs::write(&path, file).unwrap();
    let mut flags = Flags::default();
    flags.config = Some(path);
    let settings = config::load(&flags, Environment::default()).unwrap();
    let chain = settings.verify.chains.into_iter().next().unwrap();
    Definition {
        name: chain.name,
        table: TableName { schema: chain.table.schema, table: chain.table.table },
        fields: chain.fields.into_iter().map(|f| Field { name: f.name, column: f.column, form: None }).collect(),
        order: chain.order,
        previous: chain.previous,
        hash: chain.hash,
        genesis: chain.genesis,
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Hex,
        shape: Shape::Json,
        nulls: match chain.null_rule {
            config::ChainNulls::Keep => Nulls::Keep,
            config::ChainNulls::Omit => Nulls::Omit,
            config::ChainNulls::Auto => Nulls::Auto,
        },
        head: None,
    }
}

async fn follow(fixture: &Fixture, database: &str, definition: &Definition) -> ChainReport {
    let session = Session::connect(&fixture.server.conninfo(database).unwrap(), "audit").await.unwrap();
    session.begin_inspection().await.unwrap();
    let report = chain::check(&session, definition, true, &Progress::new()).await.unwrap();
    session.end_inspection().await.unwrap();
    report
}

const PRESET: &str = "[verify.chain.audit]\npreset = \"sequelize-audit-log\"\n";

/// Random documents through the real package and a real table: every byte must agree, or the hash would not.
#[tokio::test]
async fn what_node_hashed_is_what_we_hash() {
    const NAME: &str = "hash chains against Node";
    let (Some(node), Some(fixture)) = (Node::new(NAME), Fixture::empty(NAME).await) else { return };
    let dir = tempfile::tempdir().unwrap();
    let auto = definition(dir.path(), PRESET);
    let fixed = definition(dir.path(), &format!("{PRESET}null_rule = \"omit\"\n"));
    for round in 0..rounds(1) {
        for (number, absent) in ["omit", "keep", "mixed"].into_iter().enumerate() {
            let database = format!("log_{absent}_{round}");
            fixture.psql(
                "postgres",
                &format!("CREATE DATABASE {database} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"),
                &[],
            );
            let seed = 1000 * round + u32::try_from(number).unwrap();
            fixture.psql(&database, &node.log(3000, seed, absent), &[]);
            let report = follow(&fixture, &database, &auto).await;
            assert!(report.is_whole(), "{absent}, seed {seed}: {:#?}", report.breaks);
            let rules = report.rules;
            assert_eq!(
                (report.rows, rules.no_nulls + rules.keep + rules.omit + rules.mixed),
                (3000, 3000),
                "{rules:?}"
            );
            match absent {
                "omit" => assert!(rules.omit > 2900 && rules.keep == 0 && rules.mixed == 0, "{rules:?}"),
                "keep" => assert!(rules.keep > 2900 && rules.omit == 0 && rules.mixed == 0, "{rules:?}"),
                _ => assert!(rules.mixed > 1000 && rules.keep > 0 && rules.omit > 0, "{rules:?}"),
            }
            // A fixed rule takes its own rows and no others.
            let report = follow(&fixture, &database, &fixed).await;
            assert_eq!(report.is_whole(), absent == "omit", "{:?}", report.counts);
        }
    }
}

#[tokio::test]
async fn a_row_among_many_is_named() {
    const NAME: &str = "breaks of a hash chain";
    let (Some(node), Some(fixture)) = (Node::new(NAME), Fixture::empty(NAME).await) else { return };
    let dir = tempfile::tempdir().unwrap();
    let auto = definition(dir.path(), PRESET);
    fixture.psql("template1", "CREATE DATABASE whole", &[]);
    fixture.psql("whole", &node.log(2000, 7, "omit"), &[]);
    // Rows that have a moment of their own, in order, with neighbours that have too.
    let alone = "WITH moments AS (SELECT \"timestamp\" AS at, count(*) AS n FROM audit_logs GROUP BY 1), \
        near AS (SELECT at, n, lag(n) OVER w AS before, lead(n) OVER w AS after FROM moments WINDOW w AS (ORDER BY at)) \
        SELECT id FROM audit_logs JOIN near ON at = \"timestamp\" WHERE n = 1 AND before = 1 AND after = 1 ORDER BY at";
    let alone = fixture.psql("whole", alone, &[]);
    let alone: Vec<&str> = alone.lines().collect();
    let (one, other) = (alone[alone.len() / 3], alone[alone.len() / 2]);
    let copy = |name: &str, damage: &str| {
        fixture.psql("template1", &format!("CREATE DATABASE {name} TEMPLATE whole"), &[]);
        fixture.psql(name, damage, &[]);
    };
    for (number, (change, kind)) in [
        ("\"userId\" = coalesce(\"userId\", 0) + 1", BreakKind::Content),
        ("\"timestamp\" = \"timestamp\" + interval '1 microsecond' * 1000", BreakKind::Content),
        ("hash = md5(hash) || md5('x')", BreakKind::Hash),
        ("\"previousHash\" = md5('x') || md5('y')", BreakKind::Previous),
    ]
    .into_iter()
    .enumerate()
    {
        let database = format!("tampered_{number}");
        copy(&database, &format!("UPDATE audit_logs SET {change} WHERE id = '{one}'"));
        let report = follow(&fixture, &database, &auto).await;
        assert_eq!(report.counts.get(&kind), Some(&1), "{change}: {:#?}", report.breaks);
        let own = report.breaks.iter().find(|found| found.kind == kind).unwrap();
        assert_eq!(own.row, format!("id={one}"), "{change}");
    }
    copy("gap", &format!("DELETE FROM audit_logs WHERE id = '{one}'"));
    let report = follow(&fixture, "gap", &auto).await;
    assert_eq!(report.counts.iter().collect::<Vec<_>>(), [(&BreakKind::Missing, &1)], "{:#?}", report.breaks);
    // Two rows change their places in time: their content no longer fits, and they and their neighbours stand elsewhere.
    let swap = "UPDATE audit_logs a SET \"timestamp\" = b.\"timestamp\" FROM audit_logs b WHERE (a.id, b.id) IN";
    copy("swapped", &format!("{swap} (('{one}', '{other}'), ('{other}', '{one}'))"));
    let report = follow(&fixture, "swapped", &auto).await;
    let counts: Vec<_> = report.counts.iter().collect();
    assert_eq!(counts, [(&BreakKind::Content, &2), (&BreakKind::Order, &4)], "{:#?}", report.breaks);
    let named = |row: &str| report.breaks.iter().any(|found| found.row == format!("id={row}"));
    assert!(named(one) && named(other));
    // A definition that does not fit the table is no broken chain.
    let session = Session::connect(&fixture.server.conninfo("gap").unwrap(), "audit").await.unwrap();
    let wrong = definition(dir.path(), &format!("{PRESET}hash = \"digest\"\n"));
    let error = chain::check(&session, &wrong, false, &Progress::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "public.audit_logs has no column \"digest\"");
}

/// Hashes in columns of bytes are read as the definition writes digests, in the texts that hold them too.
#[tokio::test]
async fn hashes_in_bytes_are_followed_like_any_others() {
    const NAME: &str = "hash chains in bytea";
    let (Some(node), Some(fixture)) = (Node::new(NAME), Fixture::empty(NAME).await) else { return };
    let dir = tempfile::tempdir().unwrap();
    fixture.psql("template1", "CREATE DATABASE hex", &[]);
    fixture.psql("hex", &node.log(1000, 5, "omit"), &[]);
    let bytes = |column: &str| format!("ALTER \"{column}\" TYPE bytea USING decode(\"{column}\", 'hex')");
    let change = format!("ALTER TABLE audit_logs {}, {}", bytes("hash"), bytes("previousHash"));
    fixture.psql("hex", &change, &[]);
    let report = follow(&fixture, "hex", &definition(dir.path(), PRESET)).await;
    assert!(report.is_whole() && report.rows == 1000, "{:#?}", report.breaks);
    assert_eq!(report.head.unwrap().hash.unwrap().len(), 64);

    // Base64 of SHA-512 is longer than a line of PostgreSQL's.
    let log = "CREATE TABLE log (id int PRIMARY KEY, deed text, before bytea, hash bytea); DO $$ DECLARE last bytea; BEGIN \
        FOR n IN 1..100 LOOP INSERT INTO log VALUES (n, 'deed ' || n, last, sha512(convert_to(\
          translate(coalesce(encode(last, 'base64'), ''), E'\\n', '') || '|deed ' || n, 'UTF8'))) RETURNING hash INTO last; \
        END LOOP; END $$";
    fixture.psql("template1", "CREATE DATABASE base64", &[]);
    fixture.psql("base64", log, &[]);
    let field = |column: &str| Field { name: column.into(), column: column.into(), form: None };
    let definition = Definition {
        name: "log".into(),
        table: TableName { schema: "public".into(), table: "log".into() },
        fields: vec![field("before"), field("deed")],
        order: vec!["id".into()],
        previous: "before".into(),
        hash: "hash".into(),
        genesis: None,
        algorithm: Algorithm::Sha512,
        encoding: Encoding::Base64,
        shape: Shape::Joined { separator: "|".into(), null: String::new() },
        nulls: Nulls::Keep,
        head: None,
    };
    let report = follow(&fixture, "base64", &definition).await;
    assert!(report.is_whole() && report.rows == 100, "{:#?}", report.breaks);
    // One altered row among very many is one break.
    fixture.psql("template1", "CREATE DATABASE many", &[]);
    fixture.psql("many", &log.replace("1..100 ", "1..100000 "), &[]);
    fixture.psql("many", "UPDATE log SET deed = 'nothing' WHERE id = 54321", &[]);
    let report = follow(&fixture, "many", &definition).await;
    assert_eq!((report.rows, report.counts.iter().collect::<Vec<_>>()), (100_000, vec![(&BreakKind::Content, &1)]));
    assert_eq!((report.breaks.len(), report.breaks[0].row.as_str()), (1, "id=54321"), "{:#?}", report.breaks);
    // An order that tells nothing is said to be one; none of the rows is called broken.
    let session = Session::connect(&fixture.server.conninfo("many").unwrap(), "audit").await.unwrap();
    fixture.psql("many", "ALTER TABLE log ADD day date DEFAULT '2026-11-24'", &[]);
    let vague = Definition { order: vec!["day".into()], ..definition.clone() };
    let error = chain::check(&session, &vague, false, &Progress::new()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "public.log has more than 10000 rows that are equal in day: name a further column in order"
    );
    // A row that is elsewhere is found by the bytes of its hash.
    fixture.psql("base64", "UPDATE log SET id = 1000 WHERE id = 50", &[]);
    let report = follow(&fixture, "base64", &definition).await;
    assert_eq!(report.counts.get(&BreakKind::Order), Some(&2), "{:#?}", report.breaks);
    let moved = report.breaks.iter().find(|found| found.row == "id=51").unwrap();
    assert!(moved.detail.ends_with("id=1000"), "{}", moved.detail);
}

/// How fast, and in how much memory: `STONEWAL_TEST_CHAIN_ROWS=1000000` for a long one.
#[tokio::test]
async fn a_long_log_takes_no_more_memory_than_a_short_one() {
    const NAME: &str = "memory of a hash chain";
    let (Some(node), Some(fixture)) = (Node::new(NAME), Fixture::empty(NAME).await) else { return };
    let dir = tempfile::tempdir().unwrap();
    let auto = definition(dir.path(), PRESET);
    let rows: u32 = variable("STONEWAL_TEST_CHAIN_ROWS").map_or(30_000, |rows| rows.parse().unwrap());
    fixture.psql("template1", "CREATE DATABASE short", &[]);
    fixture.psql("short", &node.log(1000, 3, "omit"), &[]);
    // Long by repetition: a row that the chain does not know, again and again, is a break each time and memory all the same.
    fixture.psql("template1", "CREATE DATABASE long TEMPLATE short", &[]);
    let repeat = format!(
        "ALTER TABLE audit_logs DROP CONSTRAINT audit_logs_pkey; \
         INSERT INTO audit_logs SELECT a.* FROM audit_logs a, generate_series(2, {}) n",
        rows / 1000
    );
    fixture.psql("long", &repeat, &[]);
    follow(&fixture, "short", &auto).await;
    let before = status_kib("VmRSS:");
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let since = std::time::Instant::now();
    let report = follow(&fixture, "long", &auto).await;
    let (took, peak) = (since.elapsed(), status_kib("VmHWM:"));
    let speed = f64::from(rows) / took.as_secs_f64();
    println!("{} rows in {took:.1?}, {speed:.0} rows/s; peak {peak} KiB, {before} KiB before", report.rows);
    assert_eq!(report.rows, u64::from(rows));
    assert_eq!(report.rules.omit + report.rules.no_nulls, u64::from(rows), "every content agrees with its hash");
    assert!(peak < before + 48 * 1024, "{peak} KiB at the peak, {before} KiB before");
}

fn status_kib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
