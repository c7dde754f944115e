//! A stream much larger than memory may be: a gigabyte through a process of its own, whose peak is what counts.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use secrecy::{ExposeSecret as _, SecretString};
use stonewal::catalog::Access;
use stonewal::commands::{Immutability, RepositoryOptions, backup_dump, restore_dump};
use stonewal::format::Codec;
use stonewal::keys::WriterFile;
use stonewal::limits::{CHUNK_BYTES_DEFAULT, DOWNLOADS_DEFAULT, UPLOADS_DEFAULT};
use stonewal::observe::Progress;
use stonewal::postgres::dump::DumpOptions;
use stonewal::postgres::globals::GlobalsMode;
use stonewal::postgres::programs::Search;
use stonewal::postgres::{ConnInfo, Environment};
use stonewal::store::LockMode;
use stonewal::store::roles::Role;
use tokio_util::sync::CancellationToken;

use super::stage::{BUCKET, DAY, PASSPHRASE, PREFIX, Stage, cluster, encoding};
use crate::support::variable;

const MARK: &str = "STONEWAL_TEST_FLOW_CHILD";
/// What the operator is promised for a backup of any size, and for its restore (invariant I12).
const PEAK_BYTES_MAX: u64 = 256 << 20;
const RANDOM_BYTES: u64 = 512 << 20;
const PLAIN_BYTES_MIN: u64 = 1 << 30;

/// A pg_dump that delivers noise, then monotony, then the closing line.
fn prolific(dir: &Path, bin_dir: &Path) -> PathBuf {
    let bin = dir.join("bin");
    std::fs::create_dir(&bin).unwrap();
    let script = format!(
        "#!/bin/bash\nset -eo pipefail\n[ \"$1\" != --version ] || exec {}/pg_dump --version\n\
         printf -- '--\\n-- PostgreSQL database dump\\n--\\n\\nSET x;\\n'\n\
         head -c {RANDOM_BYTES} /dev/urandom\n\
         yes 'INSERT INTO ledger VALUES (1);' | head -c {} || true\n\
         printf -- '\\n--\\n-- PostgreSQL database dump complete\\n--\\n\\n'\n",
        bin_dir.display(),
        PLAIN_BYTES_MIN - RANDOM_BYTES
    );
    std::fs::write(bin.join("pg_dump"), script).unwrap();
    std::fs::set_permissions(bin.join("pg_dump"), std::fs::Permissions::from_mode(0o755)).unwrap();
    bin
}

/// The backup or restore of the test below, in a process of its own; by itself it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some(what) = variable(MARK) else { return };
    let told = |name: &str| variable(&format!("STONEWAL_TEST_FLOW_{name}")).unwrap();
    let s3 = crate::support::options(&told("ENDPOINT"), BUCKET, &told("USER"), &told("SECRET"));
    let immutability = Immutability::ObjectLock { mode: LockMode::Governance, retain: DAY };
    let (prefix, lock_max) = (PREFIX.into(), 2 * DAY);
    let (replicas, from_replica, require_worm) = (Vec::new(), None, false);
    let repository = RepositoryOptions { s3, prefix, immutability, require_worm, lock_max, replicas, from_replica };
    let (progress, cancel) = (Progress::new(), CancellationToken::new());
    let bytes = if what == "backup" {
        let text = SecretString::from(std::fs::read_to_string(told("WRITER")).unwrap());
        let options = backup_dump::Options {
            repository,
            access: Access::Writer(Box::new(WriterFile::decode(&text).unwrap())),
            cluster: cluster(),
            source: ConnInfo::resolve(&told("SOURCE"), &Environment::default()).unwrap(),
            programs: Search { chosen: Some(told("BIN").into()), path: Vec::new() },
            dump: DumpOptions::default(),
            globals: GlobalsMode::Off,
            encoding: encoding(Codec::Zstd),
            chunk_bytes: CHUNK_BYTES_DEFAULT,
            uploads: UPLOADS_DEFAULT,
            read_back: None,
        };
        Box::pin(backup_dump::run(options, &progress, &cancel)).await.unwrap().plain_bytes
    } else {
        let writer = Box::new(tokio::io::sink());
        let options = restore_dump::Options {
            tables: None,
            repository,
            access: Access::Passphrase(PASSPHRASE.into()),
            cluster: cluster(),
            which: stonewal::commands::Which::Latest,
            target: restore_dump::RestoreTarget::Writer { writer, globals: false },
            downloads: DOWNLOADS_DEFAULT,
        };
        restore_dump::run(options, &progress, &cancel).await.unwrap().plain_bytes
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")).unwrap();
    println!("moved {bytes} peak {}", peak.parse::<u64>().unwrap() << 10);
}

/// Bytes moved and peak of resident memory of [`child`].
async fn run(stage: &Stage, what: &str, role: Role, bin: &Path, tmp: &Path) -> (u64, u64) {
    let user = stage.server().credentials(role).unwrap();
    let source = format!("host=127.0.0.1 port={} user=postgres dbname=app sslmode=disable", stage.source.server.port());
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", "flow::memory::child"]).env_clear().env(MARK, what);
    command.env("PATH", "/usr/bin:/bin").env("TMPDIR", tmp).env("HOME", tmp);
    command.env("STONEWAL_TEST_FLOW_ENDPOINT", stage.server().endpoint());
    command.env("STONEWAL_TEST_FLOW_USER", &user.access_key);
    command.env("STONEWAL_TEST_FLOW_SECRET", user.secret_key.expose_secret());
    command.env("STONEWAL_TEST_FLOW_WRITER", stage.writer_path("db1"));
    command.env("STONEWAL_TEST_FLOW_SOURCE", source).env("STONEWAL_TEST_FLOW_BIN", bin);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let (_, report) = said.split_once("moved ").unwrap_or_else(|| {
        panic!("{said}{}", String::from_utf8_lossy(&output.stderr));
    });
    let mut words = report.split_whitespace();
    let mut number = || words.find_map(|word| word.parse::<u64>().ok()).unwrap();
    (number(), number())
}

/// PAINS E5, E6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i12_a_gigabyte_passes_within_the_memory_promised_and_without_a_file() {
    let Some(stage) = Stage::new("i12_a_gigabyte", |_| ()).await else { return };
    let bin = prolific(stage.dir.path(), stage.source.server.bin_dir());
    let tmp = stage.dir.path().join("tmp");
    std::fs::create_dir(&tmp).unwrap();
    let untouched = std::fs::metadata(&tmp).unwrap().modified().unwrap();
    for (what, role) in [("backup", Role::Writer), ("restore", Role::Reader)] {
        let (bytes, peak) = run(&stage, what, role, &bin, &tmp).await;
        println!("{what}: {bytes} bytes, peak {} MiB", peak >> 20);
        assert!(bytes > PLAIN_BYTES_MIN, "{what}: {bytes}");
        // Both directions hold chunks of 32 MiB, so much less would mean that the wrong process was measured.
        assert!((64 << 20..=PEAK_BYTES_MAX).contains(&peak), "{what}: {} MiB", peak >> 20);
        assert_eq!(std::fs::metadata(&tmp).unwrap().modified().unwrap(), untouched, "{what} made a temporary file");
    }
}
