//! The reader printed in docs/FORMAT.md, taken from there and run: a stonewal backup must be readable without stonewal.

mod hostile;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use secrecy::{ExposeSecret as _, SecretString};
use stonewal::format::Codec;
use stonewal::keys::Bundle;
use stonewal::store::memory::Memory;

use crate::support::backup::{PASSPHRASE, Signer, make, make_of};
use crate::support::{run, skip, sql};

/// The script, if what it needs is here.
fn script() -> Option<String> {
    let works =
        |program: &str, args: &[&str]| Command::new(program).args(args).output().is_ok_and(|o| o.status.success());
    for (program, args) in [
        ("age", &["--version"][..]),
        ("python3", &["-c", "import cryptography"]),
        ("zstd", &["--version"]),
        ("lz4", &["--version"]),
    ] {
        if !works(program, args) {
            skip("the reader of docs/FORMAT.md", &format!("{program} {} fails", args.join(" ")));
            return None;
        }
    }
    let document = include_str!("../../docs/FORMAT.md");
    let (_, rest) = document.split_once("```python\n").unwrap();
    let (script, rest) = rest.split_once("```").unwrap();
    assert!(!rest.contains("```python"), "which of the scripts is it?");
    Some(script.to_owned())
}

/// A bucket's objects as files, the prefix left out, as any S3 tool would download them; and the script beside them.
struct Download {
    folder: tempfile::TempDir,
}

impl Download {
    fn new(script: &str, store: &Memory) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("read.py"), script).unwrap();
        for (key, _, body) in store.dump() {
            let path = folder.path().join(key.as_str().strip_prefix("pg/").unwrap());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, body).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_key(&self, text: &SecretString) {
        std::fs::write(self.path("key"), text.expose_secret()).unwrap();
    }

    /// The script's answer for `what` of the backup whose manifest is `manifest`.
    fn read(&self, key: &str, manifest: &str, what: &str) -> Output {
        let manifest = self.path(manifest.trim_start_matches("pg/"));
        let mut command = Command::new("python3");
        command.arg(self.path("read.py")).arg(self.path(key)).arg(self.folder.path()).arg(manifest).arg(what);
        command.output().unwrap()
    }
}

fn succeeds(output: &Output) -> &[u8] {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    &output.stdout
}

#[test]
fn every_codec_is_read_without_stonewal() {
    let Some(script) = script() else { return };
    let (globals, dump) = (&b"CREATE ROLE mason;\n"[..], sql(3_000_000));
    for codec in [Codec::Gzip, Codec::Zstd, Codec::Lz4, Codec::None] {
        let made = run(make(Signer::Root, codec, 16_000, &[("globals", globals), ("dump", &dump), ("empty", b"")]));
        let here = Download::new(&script, &made.store);
        here.write_key(&made.recovery);
        for (stream, plain) in [("globals", globals), ("dump", &dump), ("empty", b"")] {
            let output = here.read("key", made.manifest.as_str(), stream);
            assert!(succeeds(&output) == plain, "{codec}: {stream} came out otherwise");
        }
        let none = here.read("key", made.manifest.as_str(), "nothing");
        assert_eq!(none.status.code(), Some(1));
    }
}

#[test]
fn a_base_is_read_without_stonewal() {
    let Some(script) = script() else { return };
    let (streams, range, facts) = crate::support::base::sample();
    let all: Vec<(&str, &[u8])> = streams.iter().map(|(name, bytes)| (*name, &bytes[..])).collect();
    let made = run(make_of(Signer::Host, Codec::Gzip, 16_000, &all, Some((range, facts))));
    let here = Download::new(&script, &made.store);
    here.write_key(&made.recovery);
    for (stream, bytes) in &streams {
        let output = here.read("key", made.manifest.as_str(), stream);
        assert!(succeeds(&output) == bytes, "{stream} came out otherwise");
    }
    let listed = here.read("key", made.manifest.as_str(), "--list");
    assert_eq!(String::from_utf8_lossy(succeeds(&listed)).matches(".age ").count(), 2, "both wraps are needed");
}

/// What `--list` prints is what a download by version id needs: nothing else, in the versions that exist.
#[test]
fn the_list_names_every_object_needed() {
    let Some(script) = script() else { return };
    let made = run(make(Signer::Root, Codec::Gzip, 16_000, &[("globals", b"-- none"), ("dump", &sql(3_000_000))]));
    let here = Download::new(&script, &made.store);
    here.write_key(&made.recovery);
    let output = here.read("key", made.manifest.as_str(), "--list");
    let listed = String::from_utf8(succeeds(&output).to_vec()).unwrap();
    let mut listed: Vec<(String, String)> =
        listed.lines().map(|line| line.split_once(' ').unwrap()).map(|(k, v)| (format!("pg/{k}"), v.into())).collect();
    let dump = made.store.dump().into_iter().map(|(key, version, _)| (key.to_string(), version.to_string()));
    let mut needed: Vec<(String, String)> = dump
        .filter(|(key, _)| key.contains("/keys/") || key.contains("/backups/"))
        .filter(|(key, _)| !key.contains("/manifest-"))
        .collect();
    listed.sort();
    needed.sort();
    // Of the two wraps the payload key's is needed alone.
    let spare = needed.iter().position(|entry| !listed.contains(entry)).unwrap();
    assert!(needed.remove(spare).0.contains("/keys/"));
    assert_eq!(listed, needed);
}

/// A backup signed by a certified host, kept since the format was laid down, by recovery file and by passphrase.
#[test]
fn golden_backups_are_read_without_stonewal() {
    let Some(script) = script() else { return };
    for bucket in ["signed-by-root", "signed-by-host"] {
        let store = crate::vectors::golden_bucket(bucket);
        let here = Download::new(&script, &store);
        let recovery = format!("{}/tests/vectors/backups/{bucket}/recovery.txt", env!("CARGO_MANIFEST_DIR"));
        std::fs::copy(recovery, here.path("key")).unwrap();
        let keys = store.keys();
        let find =
            |part: &str| keys.iter().map(stonewal::store::ObjectKey::as_str).find(|key| key.contains(part)).unwrap();
        let bundle = here.path(find("/identities/").trim_start_matches("pg/"));
        open_bundle(&bundle, &here.path("key.json"));
        for key in ["key", "key.json"] {
            let output = here.read(key, find("/manifest-"), "dump");
            assert!(succeeds(&output) == sql(2_500_000), "{bucket}: the dump came out otherwise with {key}");
        }
        // Junk among the certificates is passed over; without the certificate a host's manifest counts for nothing.
        let writers = here.path("writers");
        let genuine = std::fs::read(here.path(find("/writers/").trim_start_matches("pg/"))).unwrap();
        let forged: Vec<u8> = genuine.iter().enumerate().map(|(i, byte)| byte ^ u8::from(i == 20)).collect();
        std::fs::write(writers.join("0000000000000000-0000000000000000"), forged).unwrap();
        succeeds(&here.read("key", find("/manifest-"), "globals"));
        std::fs::remove_file(here.path(find("/writers/").trim_start_matches("pg/"))).unwrap();
        let output = here.read("key", find("/manifest-"), "globals");
        assert_eq!(output.status.success(), bucket == "signed-by-root", "{output:?}");
    }
}

/// PAINS B5: a bundle after a rotation opens what was sealed before it.
#[test]
fn a_former_identity_reads_old_backups_without_stonewal() {
    let Some(script) = script() else { return };
    let store = crate::vectors::golden_bucket("signed-by-root");
    let here = Download::new(&script, &store);
    let keys = store.keys();
    let find = |part: &str| keys.iter().map(stonewal::store::ObjectKey::as_str).find(|key| key.contains(part)).unwrap();
    let old = std::fs::read(here.path(find("/identities/").trim_start_matches("pg/"))).unwrap();
    let old = Bundle::open(&old, &SecretString::from(PASSPHRASE.to_owned())).unwrap();
    let new = old.successor(true, Vec::new(), old.created_at).unwrap();
    let new = new.seal(&SecretString::from(PASSPHRASE.to_owned())).unwrap();
    std::fs::write(here.path("new.age"), new).unwrap();
    open_bundle(&here.path("new.age"), &here.path("key.json"));
    let output = here.read("key.json", find("/manifest-"), "dump");
    assert!(succeeds(&output) == sql(2_500_000));
}

/// `age -d` asks on a terminal, so it is given one.
fn open_bundle(bundle: &Path, json: &Path) {
    const TYPE: &str = r#"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("age", ["age", "-d", "-o", sys.argv[2], sys.argv[1]])
asked = b""
while b"passphrase" not in asked:
    asked += os.read(terminal, 1000)
os.write(terminal, sys.argv[3].encode() + b"\n")
try:
    while os.read(terminal, 1000):
        pass
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;
    let output = Command::new("python3").args(["-c", TYPE]).args([bundle, json]).arg(PASSPHRASE).output().unwrap();
    succeeds(&output);
}

/// Every kind of WAL object, trusted through the certificate that it carries.
#[test]
fn wal_is_read_without_stonewal() {
    let Some(script) = script() else { return };
    let here = Download::new(&script, &Memory::default());
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/wal");
    std::fs::copy(vectors.join("recovery.txt"), here.path("key")).unwrap();
    for name in ["piece", "piece-without-commits", "partial", "history", "backup-history"] {
        let golden = crate::vectors::golden_wal(name);
        std::fs::write(here.path("object"), &golden.object).unwrap();
        let output = here.read("key", "pg/object", "");
        let plain = succeeds(&output);
        assert!(crate::vectors::is_golden_plain(name, plain), "{name} came out otherwise");
        assert!(String::from_utf8_lossy(&output.stderr).contains("\"timeline\""));
        for at in [20, 600, golden.object.len() - 200, golden.object.len() - 1] {
            let mut bent = golden.object.clone();
            bent[at] ^= 1;
            std::fs::write(here.path("object"), &bent).unwrap();
            let output = here.read("key", "pg/object", "");
            assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{name}, byte {at}: {output:?}");
        }
    }
}
