//! What the old scripts left behind comes over: every way that openssl made keys, with the real openssl, and every way that
//! such a file can be wrong.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use stonewal::commands::import::{self, ArtifactOptions, Into, Outcome, RepositoryTarget};
use stonewal::commands::report::{self, ClusterReport, Terms};
use stonewal::commands::restore_dump::{Confirm, DatabaseTarget};
use stonewal::commands::status::{Health, Thresholds};
use stonewal::commands::{self, Class, Which};
use stonewal::format::{ClusterName, Codec};
use stonewal::limits::{CHUNK_BYTES_MIN, UPLOADS_DEFAULT};
use stonewal::observe::Progress;
use stonewal::store::roles::Role;
use tokio_util::sync::CancellationToken;

use super::lifecycle::puts;
use super::retain::setting::policy;
use super::stage::{Stage, encoding};
use crate::support::fixture::run;

const OLD: &str = "SENTINEL old passphrase";

/// The pipeline of the script, with its own options of openssl at the end.
fn encrypt(plain: &[u8], to: &Path, options: &[&str]) {
    let script =
        format!("set -euo pipefail; gzip -1 | openssl enc -aes-256-cbc -salt {} -pass env:OLD", options.join(" "));
    let mut child = Command::new("bash")
        .args(["-c", &script])
        .env("OLD", OLD)
        .stdin(Stdio::piped())
        .stdout(std::fs::File::create(to).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, plain).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success(), "openssl {options:?}");
}

struct Old {
    stage: Stage,
    /// What pg_dump wrote.
    plain: Vec<u8>,
}

impl Old {
    async fn new(test: &str) -> Option<Self> {
        let stage = Stage::light(test, |_| ()).await?;
        let pg_dump = stage.source.server.bin_dir().join("pg_dump");
        let arguments = ["--format=plain", "--no-owner", "--no-privileges"];
        let plain = run(&pg_dump, &stage.database, &arguments, "").into_bytes();
        Some(Self { stage, plain })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.stage.dir.path().join(name)
    }

    fn artifact(file: &Path) -> ArtifactOptions {
        ArtifactOptions { file: file.to_owned(), meta: None, passphrase: OLD.into(), iterations: None, taken_at: None }
    }

    fn repository(&self, cluster: &str) -> Into {
        Into::Repository(Box::new(RepositoryTarget {
            repository: self.stage.repository(Role::Writer),
            access: self.stage.writer_access(),
            cluster: cluster.parse().unwrap(),
            encoding: encoding(Codec::Zstd),
            chunk_bytes: CHUNK_BYTES_MIN,
            uploads: UPLOADS_DEFAULT,
        }))
    }

    async fn seal(&self, cluster: &str, artifact: ArtifactOptions) -> commands::Result<Outcome> {
        import(import::Options { artifact, into: self.repository(cluster) }).await
    }

    async fn report(&self, cluster: &str) -> ClusterReport {
        let hours = Duration::from_hours;
        let options = report::Options {
            repository: self.stage.repository(Role::Auditor),
            access: Stage::passphrase(),
            cluster: Some(cluster.parse().unwrap()),
            policy: policy(),
            thresholds: Thresholds { max_lag: hours(1), max_base_age: hours(24), min_lock: Duration::ZERO },
            terms: Terms { max_age: jiff::SignedDuration::from_hours(24), release: None },
        };
        Box::pin(report::run(options)).await.unwrap().clusters.remove(0)
    }

    async fn restore(&self, database: &str, artifact: ArtifactOptions) -> commands::Result<Outcome> {
        let info = self.stage.source.server.conninfo(database).unwrap();
        let target =
            DatabaseTarget { info, programs: self.stage.source.search(), confirm: Confirm::Given, globals: false };
        import(import::Options { artifact, into: Into::Database(Box::new(target)) }).await
    }

    fn rows(&self, database: &str) -> String {
        self.stage.source.value(database, "SELECT count(*) || md5(string_agg(l::text, ' ' ORDER BY id)) FROM ledger l")
    }

    /// Neither a table nor a backup comes of it, nor one object in the bucket, where it would be locked; gives what is said.
    async fn refused(&self, artifact: impl Fn() -> ArtifactOptions, class: Class) -> String {
        let error = self.restore("empty", artifact()).await.unwrap_err();
        assert_eq!(error.class(), class, "{error}");
        let count = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
        assert_eq!(self.stage.source.value("empty", count), "0", "{error}");
        let before = puts(&self.stage.log()).count();
        let sealed = self.seal("refused", artifact()).await.unwrap_err();
        assert_eq!(puts(&self.stage.log()).count(), before, "{error}");
        assert_eq!(sealed.to_string(), error.to_string());
        let listed = self.stage.list(Role::Reader, Stage::passphrase()).await;
        assert!(listed.backups.iter().all(|backup| backup.cluster.to_string() != "refused"), "{error}");
        format!("{error} | {}", error.hint().unwrap_or_default())
    }
}

async fn import(options: import::Options) -> commands::Result<Outcome> {
    Box::pin(import::run(options, &Progress::new(), &CancellationToken::new())).await
}

#[tokio::test]
async fn every_way_in_which_openssl_made_keys_is_found_out() {
    let Some(old) = Old::new("every_way").await else { return };
    let ways: [(&[&str], &str); 4] = [
        (&["-pbkdf2", "-iter", "100000"], "-pbkdf2 -iter 100000"),
        (&["-pbkdf2"], "-pbkdf2 -iter 10000"),
        (&[], "-md sha256"),
        (&["-md", "md5"], "-md md5"),
    ];
    for (number, (options, said)) in ways.into_iter().enumerate() {
        let file = old.file(&format!("smartaccounting-full-2025110{}T031500Z.sql.gz.enc", number + 1));
        encrypt(&old.plain, &file, options);
        let database = format!("restored{number}");
        old.stage.source.target(&database).await;
        let done = old.restore(&database, Old::artifact(&file)).await.unwrap();
        assert_eq!((done.derivation.as_str(), done.plain_bytes), (said, old.plain.len() as u64));
        assert_eq!(old.rows(&database), old.rows("app"), "{said}");
        let done = old.seal("old", Old::artifact(&file)).await.unwrap();
        let id = done.backup.unwrap().backup;
        let cluster: ClusterName = "old".parse().unwrap();
        let (bytes, ended) = old.stage.restored(Which::Id(id), |options| options.cluster = cluster).await;
        ended.unwrap();
        assert!(bytes == old.plain, "{said}");
    }
}

/// PAINS A2: what is cut, altered or of somebody else never becomes a database or a backup, and the passphrase is not blamed for
/// damage, nor the file for the passphrase.
#[tokio::test]
async fn a02_damage_and_a_wrong_passphrase_are_told_apart() {
    let Some(old) = Old::new("a02_damage_of_an_artifact").await else { return };
    old.stage.source.target("empty").await;
    let file = old.file("app-20251103T031500Z.sql.gz.enc");
    encrypt(&old.plain, &file, &["-pbkdf2", "-iter", "100000"]);
    let whole = std::fs::read(&file).unwrap();
    let wrong = || ArtifactOptions { passphrase: "another".into(), ..Old::artifact(&file) };
    let said = old.refused(wrong, Class::Integrity).await;
    assert!(
        said.contains("passphrase is not the one") && said.contains("IMPORT_PASSPHRASE") && !said.contains("another"),
        "{said}"
    );

    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let mut last = whole.clone();
    *last.last_mut().unwrap() ^= 1;
    let cases: [(&str, &[u8], &str); 7] = [
        ("flipped", &flipped, "the file is damaged"),
        ("last", &last, "the file is damaged"),
        ("cut", &whole[..whole.len() - 5], "whole block"),
        ("cut at a block", &whole[..whole.len() - 1600], "the file is damaged"),
        ("only a salt", &whole[..16], "cut off behind its salt"),
        ("appended", &[whole.as_slice(), &[7; 32]].concat(), "the file is damaged"),
        ("no", b"SELECT 1;", "does not begin as"),
    ];
    for (name, bytes, want) in cases {
        let file = old.file(&format!("{name}-20251103T031500Z.sql.gz.enc"));
        std::fs::write(&file, bytes).unwrap();
        let said = old.refused(|| Old::artifact(&file), Class::Integrity).await;
        assert!(said.contains(want) && !said.contains("passphrase is not"), "{name}: {said}");
    }

    // Rounds that nobody would guess: named in the hint, and what is named counts.
    let rounds = old.file("rounds-20251103T031500Z.sql.gz.enc");
    encrypt(&old.plain, &rounds, &["-pbkdf2", "-iter", "54321"]);
    let said = old.refused(|| Old::artifact(&rounds), Class::Integrity).await;
    assert!(said.contains("passphrase is not the one") && said.contains("--iterations N"), "{said}");
    let named = |file: &Path| ArtifactOptions { iterations: Some(54_321), ..Old::artifact(file) };
    assert_eq!(old.seal("old", named(&rounds)).await.unwrap().derivation, "-pbkdf2 -iter 54321");
    assert_eq!(old.seal("others", named(&file)).await.unwrap().derivation, "-pbkdf2 -iter 100000", "the others too");

    // A pg_dump that died, in a pipeline that did not notice.
    let cut = old.file("died-20251103T031500Z.sql.gz.enc");
    encrypt(&old.plain[..old.plain.len() / 2], &cut, &[]);
    let said = old.refused(|| Old::artifact(&cut), Class::Integrity).await;
    assert!(said.contains("without its closing line"), "{said}");
    let plain = old.file("plain-20251103T031500Z.sql.gz");
    let gzip = Command::new("gzip").args(["-c", file.to_str().unwrap()]).output().unwrap();
    std::fs::write(&plain, gzip.stdout).unwrap();
    let said = old.refused(|| Old::artifact(&plain), Class::Integrity).await;
    assert!(said.contains("gzip and not encrypted"), "{said}");
}

#[tokio::test]
async fn what_was_written_down_beside_a_file_is_checked_and_kept() {
    let Some(old) = Old::new("written_down_beside").await else { return };
    old.stage.source.target("empty").await;
    let file = old.file("app-20251103T031500Z.sql.gz.enc");
    encrypt(&old.plain, &file, &["-pbkdf2", "-iter", "100000"]);
    let size = std::fs::metadata(&file).unwrap().len();
    let digest = sha256(&file);
    for (meta, want) in [
        (format!("{{\"file_size_bytes\": {}}}", size + 1), "its meta file says"),
        (format!("{{\"checksum_sha256\": \"{}\"}}", "0".repeat(64)), "SHA-256"),
    ] {
        let path = old.file("meta.json");
        std::fs::write(&path, meta).unwrap();
        let said = old
            .refused(|| ArtifactOptions { meta: Some(path.clone()), ..Old::artifact(&file) }, Class::Integrity)
            .await;
        assert!(said.contains(want), "{said}");
    }
    let meta = format!(
        "{{\"backup\":\"app.sql.gz.enc\",\"created_at_utc\":\"2025-10-01T03:15:00Z\",\"host\":\"db7\",\"cipher\":\"aes-256-cbc\",\"checksum_sha256\":\"{digest}\",\
         \"file_size_bytes\":{size},\"database_url_redacted\":\"postgresql://app:***@db7:5432/accounting\",\"type\":\"full\"}}"
    );
    std::fs::write(old.file("meta.json"), meta).unwrap();
    let artifact = ArtifactOptions { meta: Some(old.file("meta.json")), ..Old::artifact(&file) };
    let done = old.seal("main", artifact).await.unwrap();
    assert_eq!((done.sha256, done.taken_at.unwrap().to_string().as_str()), (digest.clone(), "2025-10-01T03:15:00Z"));
    let shown = old.stage.show(Role::Reader, Stage::passphrase(), Which::Latest).await;
    let dump = shown.sealed.unwrap().dump.unwrap();
    let import = dump.imported.unwrap();
    let kept: serde_json::Value = serde_json::from_str(import.meta.as_deref().unwrap()).unwrap();
    assert_eq!(
        (&kept["cipher"], &kept["type"], &kept["backup"]),
        (&"aes-256-cbc".into(), &"full".into(), &"app.sql.gz.enc".into())
    );
    assert_eq!(kept["database_url_redacted"], "postgresql://app:***@db7:5432/accounting");
    assert_eq!((import.taken_at, import.host.as_deref(), import.sha256), (done.taken_at.unwrap(), Some("db7"), digest));
    assert_eq!((dump.database.name.as_str(), dump.server_version_num / 10_000 > 9), ("accounting", true));
    assert!(shown.clear.started_at > import.taken_at, "its age is that of the import");
    let listed = old.stage.list(Role::Reader, Stage::passphrase()).await.backups;
    let row = listed.iter().find(|row| row.backup == shown.clear.backup).unwrap();
    assert_eq!(row.imported_from, Some(import.taken_at), "{listed:?}");
}

fn sha256(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

/// `latest` never becomes an older state than it was.
#[tokio::test]
async fn an_import_never_hides_a_newer_dump() {
    let Some(old) = Old::new("an_import_never_hides").await else { return };
    let file = |day: u32| old.file(&format!("app-2025110{day}T031500Z.sql.gz.enc"));
    for day in 1..=3 {
        encrypt(&old.plain, &file(day), &["-pbkdf2", "-iter", "100000"]);
    }
    let first = old.seal("old", Old::artifact(&file(2))).await.unwrap();
    // The same once more is a second copy, and says so.
    let again = old.seal("old", Old::artifact(&file(2))).await.unwrap();
    let twin = first.backup.unwrap().backup.to_string();
    assert!(first.warnings.is_empty() && again.warnings.iter().any(|line| line.contains(&twin)), "{again:?}");
    let error = old.seal("old", Old::artifact(&file(1))).await.unwrap_err();
    assert!(error.to_string().contains("shows 2025-11-02T03:15:00Z") && error.class() == Class::Usage, "{error}");
    assert!(error.hint().unwrap().contains("--cluster"));
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let other = old.seal("old", Old::artifact(&file(3))).await.unwrap();
    assert!(other.warnings.is_empty(), "as long, and another file: {other:?}");
    let archive = old.report("old").await;
    assert!(archive.archive && archive.health == Health::Green && archive.reasons.is_empty(), "{archive:?}");
    let asked: Vec<_> = archive.checklist.iter().map(|point| (point.name, point.ticked)).collect();
    assert_eq!(asked, [("encrypted", true)]);
    old.stage.backup().await;
    let living = old.report("main").await;
    assert!(!living.archive && living.health == Health::Red && living.checklist.len() == 7, "{living:?}");
    let error = old.seal("main", Old::artifact(&file(3))).await.unwrap_err();
    assert!(error.to_string().contains("would be its latest"), "{error}");
    let nameless = old.file("app.sql.gz.enc");
    std::fs::copy(file(1), &nameless).unwrap();
    let error = old.seal("new", Old::artifact(&nameless)).await.unwrap_err();
    assert!(error.to_string().contains("--taken-at"), "{error}");
    let later = ArtifactOptions { taken_at: Some("2999-01-01T00:00:00Z".parse().unwrap()), ..Old::artifact(&nameless) };
    let error = old.seal("new", later).await.unwrap_err();
    assert!(error.to_string().contains("future of the store's clock"), "{error}");
}

/// Who could write to the file could write commands to psql into it; none of them runs, wherever it hides.
#[tokio::test]
async fn commands_to_psql_in_an_artifact_do_not_run() {
    let Some(old) = Old::new("commands_to_psql").await else { return };
    old.stage.source.target("empty").await;
    let (touched, file) = (old.file("touched"), old.file("app-20251103T031500Z.sql.gz.enc"));
    let end = old.plain.windows(19).position(|w| w == b"ALTER TABLE ONLY pu").unwrap();
    let (before, behind) = old.plain.split_at(end);
    let touch = format!("\\! touch {}\n", touched.display());
    let hidden = [
        (touch.clone(), "a command to psql"),
        (format!("SELECT 1 {touch};"), "restricted"),
        (format!("COPY public.ledger FROM stdin; {touch}\\.\n"), "restricted"),
        (format!("SET standard_conforming_strings = off;\nSELECT '\\'' {touch} ';\n"), "restricted"),
        ("\\connect postgres\n".into(), "a command to psql"),
    ];
    for (text, want) in hidden {
        // As before August 2025, and with the lock that pg_dump writes since then.
        let plain = [before, text.as_bytes(), behind].concat();
        encrypt(&plain, &file, &["-pbkdf2"]);
        let error = old.restore("empty", Old::artifact(&file)).await.unwrap_err();
        assert!(error.to_string().contains(want), "{text}: {error}");
        encrypt(&unlocked(&plain), &file, &["-pbkdf2"]);
        let error = old.restore("empty", Old::artifact(&file)).await.unwrap_err();
        assert!(error.to_string().contains(want), "{text}: {error}");
        assert!(!touched.exists(), "{text}");
        let count = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
        assert_eq!(old.stage.source.value("empty", count), "0", "{text}");
    }
    encrypt(&unlocked(&old.plain), &file, &["-pbkdf2"]);
    old.restore("empty", Old::artifact(&file)).await.unwrap();
    assert_eq!(old.rows("empty"), old.rows("app"));
}

/// The dump without `\restrict`.
fn unlocked(plain: &[u8]) -> Vec<u8> {
    let is_lock = |line: &&[u8]| line.starts_with(b"\\restrict ") || line.starts_with(b"\\unrestrict ");
    plain.split_inclusive(|byte| *byte == b'\n').filter(|line| !is_lock(line)).collect::<Vec<_>>().concat()
}

/// It would leave the transaction for database after database.
#[tokio::test]
async fn a_script_of_pg_dumpall_is_refused() {
    let Some(old) = Old::new("a_script_of_pg_dumpall").await else { return };
    old.stage.source.target("empty").await;
    let pg_dumpall = old.stage.source.server.bin_dir().join("pg_dumpall");
    let all = run(&pg_dumpall, &old.stage.database, &["--no-role-passwords"], "");
    let file = old.file("all-20251103T031500Z.sql.gz.enc");
    encrypt(all.as_bytes(), &file, &["-pbkdf2"]);
    let said = old.refused(|| Old::artifact(&file), Class::Integrity).await;
    assert!(said.contains("pg_dumpall"), "{said}");
}
