//! A PostgreSQL with a database of awkward things.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stonewal::postgres::programs::{Program, Search};
use stonewal::postgres::server::{Server, ServerOptions};
use stonewal::postgres::{ConnInfo, Environment};

/// The name of the fixture's database, which needs quotes.
pub(crate) const DATABASE: &str = "Quelle \"q\"";

/// A running server in a temporary directory.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) server: Server,
    // Dropped after the server.
    _dir: tempfile::TempDir,
}

impl Fixture {
    /// An empty server. `None`, with a printed line, where PostgreSQL is not installed.
    pub(crate) async fn empty(test: &str) -> Option<Self> {
        Self::with(test, |_| {}).await
    }

    /// An empty server with options of one's own.
    pub(crate) async fn with(test: &str, change: impl FnOnce(&mut ServerOptions)) -> Option<Self> {
        let Some(bin_dir) = Server::find_bin_dir(&Environment::default()) else {
            super::skip(test, "PostgreSQL");
            return None;
        };
        let dir = tempfile::Builder::new().prefix("sw").tempdir().unwrap();
        // The server may run as another user than the test.
        make_passable(dir.path());
        let mut options = ServerOptions::new(dir.path().join("pg"));
        options.bin_dir = Some(bin_dir);
        options.settings.push(("allow_in_place_tablespaces".into(), "on".into()));
        change(&mut options);
        let server = super::clusters::start(&options).await.unwrap();
        Some(Self { server, _dir: dir })
    }

    /// A server with the whole fixture; `scale` is pgbench's (100,000 rows each).
    pub(crate) async fn awkward(test: &str, scale: u32) -> Option<Self> {
        let fixture = Self::empty(test).await?;
        fixture.fill(scale).await;
        Some(fixture)
    }

    async fn fill(&self, scale: u32) {
        let quoted = format!("\"{}\"", DATABASE.replace('"', "\"\""));
        self.psql("postgres", include_str!("roles.sql"), &[]);
        let space = self.server.make_dir("space one").unwrap();
        let create =
            format!("CREATE TABLESPACE \"Raum; 1\" OWNER \"Röle \"\"x\"\"; --\" LOCATION '{}'", space.display());
        self.server.execute("postgres", &create).await.unwrap();
        self.server.execute("postgres", "ALTER TABLESPACE \"Raum; 1\" SET (seq_page_cost = 2)").await.unwrap();
        self.server.execute("postgres", "COMMENT ON TABLESPACE \"Raum; 1\" IS 'fast; disk'").await.unwrap();
        self.server.execute("postgres", &format!("CREATE DATABASE {quoted}")).await.unwrap();
        let scale = format!("--scale={scale}");
        self.run("pgbench", DATABASE, &["--initialize", "--quiet", "--foreign-keys", &scale], "");
        self.psql(DATABASE, include_str!("fixture.sql"), &["--set=tablespace=Raum; 1"]);
        for sql in [
            "COMMENT ON DATABASE {} IS 'the source; it''s \\ here'",
            "ALTER DATABASE {} SET work_mem = '9MB'",
            "ALTER DATABASE {} SET search_path = archive, \"Geschäfts Daten\"",
            "ALTER DATABASE {} SET fixture.custom = 'a\\b''c'",
            "ALTER ROLE fixture_owner IN DATABASE {} SET statement_timeout = '1min'",
        ] {
            self.server.execute("postgres", &sql.replace("{}", &quoted)).await.unwrap();
        }
        // Statistics in peace: autovacuum must not change what is compared.
        self.server.execute(DATABASE, "ALTER SYSTEM SET autovacuum = off").await.unwrap();
    }

    /// Settings of the source database.
    pub(crate) fn source(&self) -> ConnInfo {
        self.server.conninfo(DATABASE).unwrap()
    }

    /// Creates an empty database and returns its settings.
    pub(crate) async fn target(&self, name: &str) -> ConnInfo {
        self.server.execute("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0")).await.unwrap();
        self.server.conninfo(name).unwrap()
    }

    /// Where the server's own client programs are.
    pub(crate) fn search(&self) -> Search {
        Search { chosen: Some(self.server.bin_dir().into()), path: Vec::new() }
    }

    /// One of the server's own client programs.
    pub(crate) async fn program(&self, name: &str) -> Program {
        self.search().find(name, 0, "").await.unwrap()
    }

    /// Runs a script with psql.
    pub(crate) fn psql(&self, dbname: &str, script: &str, args: &[&str]) -> String {
        let mut all = vec!["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"];
        all.extend(args);
        self.run("psql", dbname, &all, script)
    }

    /// One value.
    pub(crate) fn value(&self, dbname: &str, sql: &str) -> String {
        self.psql(dbname, sql, &[]).trim().to_owned()
    }

    fn run(&self, program: &str, dbname: &str, args: &[&str], input: &str) -> String {
        run(&self.server.bin_dir().join(program), &self.server.conninfo(dbname).unwrap(), args, input)
    }
}

/// Runs a client program to its good end and returns what it printed.
pub(crate) fn run(program: &Path, info: &ConnInfo, args: &[&str], input: &str) -> String {
    use std::io::Write as _;
    let mut command = Command::new(program);
    info.child_env("fixture").apply(&mut command);
    command.env("PGCLIENTENCODING", "UTF8").args(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let feeder = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = feeder.join().unwrap();
    assert!(output.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn make_passable(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// The client program beside the server.
pub(crate) fn beside(server: &Server, name: &str) -> PathBuf {
    server.bin_dir().join(name)
}
