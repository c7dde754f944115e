//! Drills, as an operator runs them: real backups into real disposable servers, evidence in the embedded store (PAINS B17).

mod bases;
mod dumps;
mod ends;
mod refusals;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use stonewal::postgres::server::ServerOptions;
use stonewal::store::roles::Role;
use tokio::process::Command;

use super::archive::archiving;
use super::world::{Finished, World, finished, names, usual};
use crate::support::majors::Installed;

/// What the accounting of today's users is like, as far as checks look at it: an audit log chained by SHA-256.
const BOOKS: &str = "CREATE TABLE companies (id int PRIMARY KEY, name text); \
    INSERT INTO companies SELECT i, 'company ' || i FROM generate_series(1, 50) i; \
    CREATE TABLE audit_logs (id int PRIMARY KEY, action text, previous text, hash text); \
    DO $$ DECLARE p text; h text; BEGIN FOR i IN 1..300 LOOP \
      h := encode(sha256(convert_to(coalesce(p, '') || '|SENTINEL-row ' || i, 'UTF8')), 'hex'); \
      INSERT INTO audit_logs VALUES (i, 'SENTINEL-row ' || i, p, h); p := h; END LOOP; END $$";

const CONFIGURATION: &str = "
[verify]
tables = [\"companies\", \"audit_logs >= 300\"]
[verify.chain.audit]
table = \"audit_logs\"
fields = [\"previous\", \"action\"]
order = [\"id\"]
previous = \"previous\"
hash = \"hash\"
text = \"joined\"
separator = \"|\"
";

/// A source with books in it, a repository, and a host for drills.
async fn accounting(test: &str, change: impl FnOnce(&mut ServerOptions)) -> Option<World> {
    Some(accounting_on(&usual(test)?, change).await)
}

async fn accounting_on(installed: &Installed, change: impl FnOnce(&mut ServerOptions)) -> World {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::on(installed, |options| {
        archiving(options);
        change(options);
    })
    .await;
    world.sql(BOOKS).await;
    std::fs::write(world.path("stonewal.toml"), CONFIGURATION).unwrap();
    std::fs::create_dir(world.path("drills")).unwrap();
    std::fs::set_permissions(world.path("drills"), std::fs::Permissions::from_mode(0o711)).unwrap();
    for (name, sql) in [
        ("true.sql", "SELECT count(*) = 50 FROM companies"),
        ("false.sql", "SELECT name <> 'company 7' FROM companies"),
        ("silent.sql", "SELECT true FROM companies WHERE id < 0"),
        ("two.sql", "SELECT true; SELECT true"),
        ("text.sql", "SELECT name FROM companies"),
        ("slow.sql", "SELECT pg_sleep(60) IS NOT NULL"),
        ("writes.sql", "WITH gone AS (DELETE FROM companies RETURNING true) SELECT true FROM gone"),
        ("quotes.sql", "SELECT action::int > 0 FROM audit_logs"),
    ] {
        std::fs::write(world.path(name), sql).unwrap();
    }
    world
}

impl World {
    /// The host reads data by the recovery file and signs by the writer file: no key derivation to wait for.
    fn drill_as(&self, role: Role, line: &str) -> Command {
        let mut command = self.command(role, &format!("drill {line}"));
        command.env("STONEWAL_KEYS_IDENTITY_FILE", self.path("recovery"));
        command.env("STONEWAL_KEYS_WRITER_FILE", self.path("writer"));
        command.env("STONEWAL_DRILL_DIR", self.path("drills"));
        command
    }

    async fn drill(&self, line: &str) -> Finished {
        finished(self.drill_as(Role::Writer, line).spawn().unwrap()).await
    }

    async fn dump(&self) -> String {
        let mut command = self.command(Role::Writer, "backup dump --json");
        command.env("DATABASE_URL", self.url()).env("STONEWAL_DUMP_DIGESTS", "*");
        let done = finished(command.spawn().unwrap()).await.good();
        done.json()["backup"].as_str().unwrap().to_owned()
    }

    /// Nothing is left of any drill: no directory, and no process that works in one.
    #[track_caller]
    fn nothing_is_left(&self) {
        assert_eq!(names(&self.path("drills")), [""; 0], "{:?}", self.residents());
        assert_eq!(self.residents(), [""; 0]);
    }

    /// What works below the directory of drills, by name. A directory that is gone keeps its name in `/proc`.
    fn residents(&self) -> Vec<String> {
        let entries = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let inside =
            |path: &PathBuf| std::fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd.starts_with(self.path("drills")));
        entries.filter(inside).filter_map(|path| std::fs::read_to_string(path.join("comm")).ok()).collect()
    }

    /// The same, for a guard that may need a moment.
    async fn nothing_is_left_soon(&self, what: &str) {
        let begin = Instant::now();
        while !names(&self.path("drills")).is_empty() || !self.residents().is_empty() {
            let left = (names(&self.path("drills")), self.residents());
            assert!(begin.elapsed() < Duration::from_secs(20), "{what}: {left:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Name and status of each check.
fn checks(evidence: &serde_json::Value) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let all = evidence["checks"].as_array().unwrap();
    all.iter().map(|check| (text(&check["name"]), text(&check["status"]))).collect()
}

fn has(evidence: &serde_json::Value, name: &str, status: &str) -> bool {
    checks(evidence).contains(&(name.to_owned(), status.to_owned()))
}
