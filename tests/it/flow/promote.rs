//! A restored database is checked before it is promoted: the accounting schema, its audit log written by Node, dumped,
//! restored, and then damaged in every way that a check is for.

use std::process::{Command, Output};

use secrecy::ExposeSecret as _;
use stonewal::commands::restore_dump::{Confirm, DatabaseTarget, RestoreTarget};
use stonewal::commands::{Which, restore_dump};
use stonewal::observe::Progress;
use stonewal::store::roles::Role;
use tokio_util::sync::CancellationToken;

use super::audit::Node;
use super::stage::{self, Stage};
use crate::support::scripted::{Reply, Scripted};

const SCHEMA: &str = "
    CREATE TABLE companies (id serial PRIMARY KEY, name text NOT NULL);
    CREATE TABLE invoices (id serial PRIMARY KEY, \"companyId\" int NOT NULL, total numeric,
      CONSTRAINT invoice_company FOREIGN KEY (\"companyId\") REFERENCES companies);
    CREATE INDEX invoices_total ON invoices (total);
    CREATE TABLE tax_reports (id serial PRIMARY KEY, body text, paid money DEFAULT 12.5, rate float8 DEFAULT 0.1,
      at timestamptz DEFAULT '2026-01-02 03:04:05.678+01', lasted interval DEFAULT '1 day 02:00', seal bytea DEFAULT '\\x00ff',
      twice int GENERATED ALWAYS AS (id * 2) STORED);
    CREATE TABLE releases (commit_hash text NOT NULL);
    INSERT INTO companies (name) SELECT 'company ' || n FROM generate_series(1, 20) n;
    INSERT INTO invoices (\"companyId\", total) SELECT n % 20 + 1, n FROM generate_series(1, 500) n;
    INSERT INTO tax_reports (body) VALUES ('first'), ('second');
    INSERT INTO releases VALUES ('abc123');
    CREATE EXTENSION amcheck;";

const CONFIGURATION: &str = "
    [verify]
    tables = [\"companies\", \"invoices\", \"tax_reports\", \"audit_logs >= 300\"]
    production = [\"*/accounting_prod\"]
    release_query = \"SELECT commit_hash FROM releases;\"
    [verify.chain.audit]
    preset = \"sequelize-audit-log\"
";

struct Restored {
    stage: Stage,
    backup: String,
}

impl Restored {
    async fn new(test: &str) -> Option<Self> {
        let node = Node::new(test)?;
        let stage = Box::pin(Stage::light(test, |_| {})).await?;
        stage.source.psql("app", SCHEMA, &[]);
        stage.source.psql("app", &node.log(400, 11, "omit"), &[]);
        let mut options = stage.backup_options();
        options.dump.digests = vec!["*".into()];
        let backup = Box::pin(stage::run_backup(options)).await.unwrap().backup.to_string();
        let info = stage.source.target("restored").await;
        let target = DatabaseTarget { info, programs: stage.source.search(), confirm: Confirm::Given, globals: true };
        let target = RestoreTarget::Database(Box::new(target));
        let options = stage.restore_options(Which::Latest, target);
        Box::pin(restore_dump::run(options, &Progress::new(), &CancellationToken::new())).await.unwrap();
        std::fs::write(stage.dir.path().join("stonewal.toml"), CONFIGURATION).unwrap();
        Some(Self { stage, backup })
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.stage.source.server.port())
    }

    /// The program on a restore host.
    fn command(&self, database: &str, arguments: &[&str]) -> Command {
        let credentials = self.stage.server().credentials(Role::Reader).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_stonewal"));
        command
            .args(["verify", "restore"])
            .args(arguments)
            .env_clear()
            .env("HOME", self.stage.dir.path())
            .env("PATH", "/usr/bin:/bin")
            .env("USER", "nobody")
            .env("STONEWAL_CONFIG", self.stage.dir.path().join("stonewal.toml"))
            .env("STONEWAL_REPOSITORY", format!("s3://{}/{}", stage::BUCKET, stage::PREFIX.trim_end_matches('/')))
            .env("STONEWAL_CLUSTER", stage::cluster().to_string())
            .env("AWS_ENDPOINT_URL_S3", self.stage.server().endpoint())
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", credentials.access_key)
            .env("AWS_SECRET_ACCESS_KEY", credentials.secret_key.expose_secret())
            .env("STONEWAL_KEYS_IDENTITY_FILE", self.stage.recovery_path())
            .env("STONEWAL_AUDIT_MODE", "off")
            .env("RESTORE_DATABASE_URL", self.url(database))
            .current_dir(self.stage.dir.path());
        command
    }

    fn verify(&self, database: &str, arguments: &[&str]) -> Output {
        self.command(database, arguments).output().unwrap()
    }

    /// A copy with something done to it.
    fn copy(&self, name: &str, damage: &str) -> String {
        self.stage.source.psql("template1", &format!("CREATE DATABASE {name} TEMPLATE restored"), &[]);
        self.stage.source.psql(name, damage, &[]);
        name.to_owned()
    }
}

#[track_caller]
fn expect(output: &Output, code: i32, words: &[&str]) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    for word in words {
        assert!(out.contains(word) || err.contains(word), "{word:?} is not in\n{out}{err}");
    }
}

/// Two views in the places of tables, both with all the rows, and what must be said of them.
const VIEWED: (&str, &[&str]) = (
    "ALTER TABLE tax_reports RENAME TO hidden; CREATE MATERIALIZED VIEW tax_reports AS SELECT * FROM hidden; \
     ALTER TABLE invoices RENAME TO away; CREATE VIEW invoices AS SELECT * FROM away",
    &[
        "FAIL  rows",
        "2 tables wrong",
        "FAIL  digests",
        "2 tables not as dumped",
        "public.tax_reports is a materialised view, in the backup a table",
        "public.invoices is a view",
    ],
);

/// A name, what is done, and what must be said of it; `@ROW@` is a row of the audit log.
fn damages(id: &str) -> Vec<(&'static str, String, Vec<String>)> {
    let audit = |set: &str| format!("UPDATE audit_logs SET {set} WHERE id = '@ROW@'");
    let cases: Vec<(&'static str, String, &[&str])> = vec![
        (
            "altered",
            audit("action = 'nothing'"),
            &[
                "FAIL  chain audit",
                "content altered",
                "id=@ROW@",
                "ok    rows",
                "FAIL  digests",
                "public.audit_logs has as many rows as the backup, 400, and not the same ones",
            ],
        ),
        (
            "edited",
            "UPDATE tax_reports SET body = 'third' WHERE id = 2".into(),
            &["ok    rows", "1 table not as dumped", "public.tax_reports has as many rows as the backup, 2, and not"],
        ),
        (
            "swapped",
            "UPDATE invoices a SET total = b.total FROM invoices b WHERE (a.id, b.id) IN ((1, 2), (2, 1))".into(),
            &["ok    rows", "FAIL  digests", "public.invoices has as many rows as the backup, 500, and not"],
        ),
        ("rehashed", audit("hash = repeat('0', 64)"), &["FAIL  chain audit", "hash altered", "id=@ROW@"]),
        (
            "moved",
            audit("\"timestamp\" = \"timestamp\" - interval '20 minutes'"),
            &["FAIL  chain audit", "out of order", "id=@ROW@"],
        ),
        (
            "gap",
            "DELETE FROM audit_logs WHERE id = '@ROW@'".into(),
            &["FAIL  chain audit", "1 row missing", "FAIL  rows", "public.audit_logs has 399 rows, the backup has 400"],
        ),
        (
            "beheaded",
            "DELETE FROM audit_logs WHERE \"timestamp\" = (SELECT max(\"timestamp\") FROM audit_logs)".into(),
            &["ok    chain audit", "FAIL  rows", "the backup has 400"],
        ),
        ("viewed", VIEWED.0.into(), VIEWED.1),
        ("dropped", "DROP TABLE tax_reports".into(), &["FAIL  tables", "public.tax_reports is missing"]),
        (
            "rewound",
            "SELECT setval('invoices_id_seq', 7)".into(),
            &["FAIL  sequences", "public.invoices_id_seq gives 8 next, public.invoices.id is at 500"],
        ),
        (
            "unchecked",
            "ALTER TABLE invoices ADD CONSTRAINT dear CHECK (total > 100) NOT VALID".into(),
            &["FAIL  constraints", "public.invoices.dear is not validated"],
        ),
        (
            "unenforced",
            "ALTER TABLE invoices DISABLE TRIGGER ALL".into(),
            &["FAIL  constraints", "public.invoices.invoice_company is one whose triggers are switched off"],
        ),
        (
            "unindexed",
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'invoices_total'::regclass".into(),
            &["FAIL  indexes", "public.invoices_total is not valid"],
        ),
    ];
    let fill = |text: &str| text.replace("@ROW@", id);
    let filled = cases
        .into_iter()
        .map(|(name, damage, words)| (name, fill(&damage), words.iter().map(|word| fill(word)).collect()));
    filled.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_restore_passes_and_each_damage_stops_the_promotion() {
    let Some(world) = Restored::new("a restored database is checked").await else { return };
    let good = world.verify("restored", &["--backup", &world.backup, "--release", "abc123"]);
    for check in [
        "tables",
        "rows",
        "digests",
        "sequences",
        "constraints",
        "indexes",
        "collations",
        "chain audit",
        "release",
        "amcheck",
    ] {
        expect(&good, 0, &[&format!("ok    {check} ")]);
    }
    expect(&good, 0, &["400 rows, unbroken; nulls left out", "restored: may be promoted"]);
    expect(&good, 0, &["7 tables with 10091 rows, each row as it was dumped"]);
    // Neither where rows lie nor what a database prefers to print is any difference.
    let printed = "UPDATE invoices SET total = total WHERE id % 3 = 0; ALTER TABLE tax_reports DROP COLUMN twice; \
                 ALTER DATABASE printed SET \"DateStyle\" = 'German'; ALTER DATABASE printed SET \"TimeZone\" = 'Asia/Tokyo'; \
                 ALTER DATABASE printed SET extra_float_digits = -5; ALTER DATABASE printed SET bytea_output = 'escape'; \
                 ALTER DATABASE printed SET \"IntervalStyle\" = 'iso_8601'";
    expect(&world.verify(&world.copy("printed", printed), &["--backup", "latest"]), 0, &["ok    digests "]);
    // Nothing was changed, so it may be repeated, and without a backup as well.
    expect(
        &world.verify("restored", &[]),
        0,
        &["no counts of a backup", "4 tables held against a minimum", "note  digests", "note  release"],
    );
    let moments = "(SELECT \"timestamp\", count(*) AS n FROM audit_logs GROUP BY 1) m";
    let id = format!(
        "SELECT id FROM audit_logs JOIN {moments} USING (\"timestamp\") WHERE n = 1 ORDER BY \"timestamp\" LIMIT 1 OFFSET 90"
    );
    let id = world.stage.source.value("restored", &id);
    let row = format!("id={id}");
    for (name, damage, words) in damages(&id) {
        let name = world.copy(name, &damage);
        let output = world.verify(&name, &["--backup", "latest", "--release", "abc123"]);
        expect(&output, 5, &words.iter().map(String::as_str).collect::<Vec<_>>());
        expect(&output, 5, &["do NOT promote"]);
    }
    // Whoever knows the head of before sees that rows were cut off the end, without any backup.
    let head =
        "SELECT hash FROM audit_logs a WHERE NOT EXISTS (SELECT FROM audit_logs b WHERE b.\"previousHash\" = a.hash)";
    let head = format!("audit={}", world.stage.source.value("restored", head));
    expect(&world.verify("restored", &["--head", &head]), 0, &["ok    chain audit"]);
    let words = ["FAIL  chain audit", "unbroken, but the chain no longer contains the head", "that --head names"];
    expect(&world.verify("beheaded", &["--head", &head]), 5, &words);
    expect(&world.verify("restored", &["--head", "log=ab"]), 2, &["names the chain \"log\", which is not configured"]);
    expect(&world.verify("restored", &["--release", "def456"]), 5, &["FAIL  release", "\"abc123\", not of \"def456\""]);
    let json = world.verify("altered", &["--json", "--explain"]);
    let document: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let found = &document["chains"][0]["breaks"][0];
    assert_eq!(
        (json.status.code(), &document["promote"], &found["row"]),
        (Some(5), &false.into(), &row.as_str().into())
    );
    assert!(found["stored"] != found["computed"] && found["text"].as_str().unwrap().contains("\"action\":\"nothing\""));
}

/// What the backend on the restored database says of itself, in every way that a backend can fail to.
#[tokio::test(flavor = "multi_thread")]
async fn the_backend_must_run_the_approved_release() {
    let Some(world) = Restored::new("the release of a backend").await else { return };
    let version =
        |hash: &str| Reply::new(200).with_body(format!("{{\"buildMetadata\": {{\"commitHash\": \"{hash}\"}}}}"));
    let elsewhere = Scripted::start(move |_, _| version("abc123")).await;
    let away = format!("{}/version", elsewhere.endpoint());
    let server = Scripted::start(move |_, request| match request.target.as_str() {
        "/api/system/version" => version("abc123"),
        "/other" => version("def456"),
        "/first" => version("x"),
        "/moved" => Reply::new(302).with("location", &away),
        "/down" => Reply::new(503).with_body("{\"buildMetadata\": {\"commitHash\": \"abc123\"}}"),
        "/page" => Reply::new(200).with_body("<html>abc123</html>"),
        "/without" => Reply::new(200).with_body("{\"commitHash\": \"abc123\"}"),
        "/long" => Reply::new(200).with_body(vec![b' '; (1 << 20) + 1]),
        "/cut" => version("abc123").cut_after(10),
        _ => Reply::reset(),
    })
    .await;
    let ask = |path: &str, arguments: &[&str]| {
        let url = format!("{}{path}", server.endpoint());
        world.verify("restored", &[&["--release-url", &url], arguments].concat())
    };
    let approved = ["--release", "abc123"];
    expect(&ask("/api/system/version", &approved), 0, &["ok    backend", "it runs abc123", "may be promoted"]);
    expect(&ask("/other", &approved), 5, &["FAIL  backend", "it runs \"def456\", not \"abc123\"", "do NOT promote"]);
    // Without a release that is approved, the database's own word counts.
    expect(&ask("/api/system/version", &[]), 0, &["ok    backend"]);
    expect(&ask("/other", &[]), 5, &["it runs \"def456\", the database is of \"abc123\""]);
    for (path, words) in [
        ("/moved", "it answers 302 and sends elsewhere"),
        ("/down", "it answers 503"),
        ("/page", "its document is not JSON"),
        ("/without", "its document has no text at buildMetadata.commitHash"),
        ("/long", "its document is longer than 1048576 bytes"),
        ("/cut", "does not tell its release"),
        ("/reset", "does not tell its release"),
    ] {
        expect(&ask(path, &approved), 5, &["FAIL  backend", words, "do NOT promote"]);
    }
    assert!(elsewhere.seen().is_empty(), "nobody else is asked");
    // The database is asked once, whatever it would say the next time.
    let mut once = world.command("restored", &["--release-url", &format!("{}/first", server.endpoint())]);
    let counting = "SELECT set_config('a.b', coalesce(current_setting('a.b', true), '') || 'x', false)";
    expect(&once.env("STONEWAL_VERIFY_RELEASE_QUERY", counting).output().unwrap(), 0, &["ok    backend", "it runs x"]);
    let mut field = world.command("restored", &approved);
    field.env("STONEWAL_VERIFY_RELEASE_URL", format!("{}/without", server.endpoint()));
    expect(&field.env("STONEWAL_VERIFY_RELEASE_FIELD", "commitHash").output().unwrap(), 0, &["ok    backend"]);
    let secret = ["--release-url", "http://u:sentinel@h/version"];
    let refused = world.verify("restored", &secret);
    expect(&refused, 2, &["--release-url", "no user or password"]);
    assert!(!String::from_utf8_lossy(&refused.stderr).contains("sentinel"));
}

#[tokio::test(flavor = "multi_thread")]
async fn accepted_findings_minimum_counts_and_refusals() {
    let Some(world) = Restored::new("what a check of a restored database refuses").await else { return };
    let fewer = "SELECT setval('invoices_id_seq', 7); DELETE FROM tax_reports; DELETE FROM audit_logs WHERE \"timestamp\" > \
                 (SELECT \"timestamp\" FROM audit_logs ORDER BY 1 LIMIT 1 OFFSET 200)";
    let rewound = world.copy("rewound", fewer);
    let words = ["FAIL  sequences", "at least 300 should be there", "public.tax_reports has 0 rows, at least 1"];
    expect(&world.verify(&rewound, &[]), 5, &words);
    let mut lenient = world.command(&rewound, &[]);
    lenient.env("VERIFY_MIN_DATA", "false").env("STONEWAL_VERIFY_ACCEPT", "public.invoices_id_seq");
    expect(&lenient.output().unwrap(), 0, &["1 accepted as they are", "nothing was counted"]);
    // The version that indexes were built with, as after a move to another host.
    let moved =
        world.copy("old_host", "UPDATE pg_database SET datcollversion = '1.0' WHERE datname = current_database()");
    expect(
        &world.verify(&moved, &[]),
        3,
        &["warn  collations", "was 1.0", "REINDEX DATABASE first", "may be promoted"],
    );
    // Production, by pattern, by what it says itself, and because it is the source.
    let prod = world.copy("accounting_prod", "SELECT 1");
    expect(&world.verify(&prod, &[]), 2, &["is production: it fits \"*/accounting_prod\"", "ALLOW_VERIFY_PROD=true"]);
    expect(&world.command(&prod, &[]).env("ALLOW_VERIFY_PROD", "true").output().unwrap(), 0, &["may be promoted"]);
    expect(&world.verify(&prod, &["--allow-production"]), 0, &["may be promoted"]);
    let marked = world.copy("marked", "ALTER DATABASE marked SET stonewal.production = 'on'");
    expect(&world.verify(&marked, &[]), 2, &["stonewal.production is on"]);
    let url = world.url("app");
    expect(
        &world.command("app", &[]).env("DATABASE_URL", &url).output().unwrap(),
        2,
        &["the database that is backed up"],
    );
    // What a plain role may not look at is no reason to promote, and no reason to stop looking.
    let plain = "CREATE ROLE plain LOGIN; GRANT SELECT ON companies, invoices, tax_reports, releases TO plain";
    world.stage.source.psql("restored", plain, &[]);
    let mut plain = world.command("restored", &[]);
    plain.env("RESTORE_DATABASE_URL", world.url("restored").replace("postgres@", "plain@"));
    let words = [
        "FAIL  rows",
        "could not be checked",
        "permission denied",
        "FAIL  chain audit",
        "ok    constraints",
        "note  amcheck",
    ];
    expect(&plain.output().unwrap(), 5, &words);
    expect(&world.verify("no_such_database", &[]), 1, &["does not exist"]);
    let argument = ["--database", "postgres://u:sentinel@h/d"];
    expect(&world.verify("restored", &argument), 2, &["can be read by every user"]);
}

/// The playbook of RUNBOOK.md, as it is printed there: a row altered and a row removed in the live log come back from the
/// last good backup, and the chain is whole again.
#[tokio::test(flavor = "multi_thread")]
async fn the_playbook_of_a_damaged_audit_log_works_as_it_is_printed() {
    let Some(restored) = Restored::new("the_playbook_of_a_damaged_audit_log").await else { return };
    let runbook = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/RUNBOOK.md")).unwrap();
    let section = runbook.split("### The damaged rows back from a backup").nth(1).unwrap().split("\n#").next().unwrap();
    let script: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert!(script.len() >= 8, "the commands were found: {script:?}");
    let (stage, program) = (&restored.stage, std::path::Path::new(env!("CARGO_BIN_EXE_stonewal")));
    let log = "SELECT md5(string_agg(l::text, chr(10) ORDER BY id)) FROM audit_logs l";
    let before = stage.source.value("app", log);
    let row = |at: u32| {
        stage.source.value("app", &format!("SELECT id FROM audit_logs ORDER BY \"timestamp\" OFFSET {at} LIMIT 1"))
    };
    let (altered, removed) = (row(100), row(200));
    stage.source.psql("app", &format!("UPDATE audit_logs SET action = 'nothing' WHERE id = '{altered}'; DELETE FROM audit_logs WHERE id = '{removed}'"), &[]);
    let (bin, server) = (program.parent().unwrap().display(), stage.source.server.bin_dir().display());
    let mut command = restored.command("app", &[]);
    let environment: Vec<_> =
        command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    command = Command::new("/bin/sh");
    command.args(["-c", &script.join("\n")]).env_clear().envs(environment).current_dir(stage.dir.path());
    command.env("PATH", format!("{bin}:{server}:/usr/bin:/bin")).env("LIVE_DATABASE_URL", restored.url("app"));
    let output = command.env("GOOD_BACKUP", &restored.backup).output().unwrap();
    expect(&output, 0, &[&altered, &removed, "audit_logs_restored, 400 rows", "DELETE 1", "INSERT 0 2"]);
    let found = std::fs::read_to_string(stage.dir.path().join("audit-before.json")).unwrap();
    assert!(found.contains("content altered") && found.contains(&altered), "{found}");
    assert_eq!(stage.source.value("app", log), before);
}
