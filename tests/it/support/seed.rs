//! A repository to begin with. Making one takes seconds, most of them scrypt's; a copy of one takes none.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stonewal::store::embedded::{Options, Server};
use stonewal::store::roles::Role;

use super::host;

const PROGRAM: &str = env!("CARGO_BIN_EXE_stonewal");

/// What `init --recovery-file` and `keys writer --name db1` leave behind.
pub(crate) struct Seed(PathBuf);

impl Seed {
    /// Made by the first test that asks, kept beside the test binaries until they are built again.
    pub(crate) async fn of(passphrase: &str, repository: &str, env: &[(&str, &str)]) -> Self {
        let seeds = Path::new(env!("CARGO_TARGET_TMPDIR")).join("seeds");
        std::fs::create_dir_all(&seeds).unwrap();
        let built = std::fs::metadata(PROGRAM).unwrap().modified().unwrap();
        let age = built.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        let seed = seeds.join(format!("{age}-{}", format!("{passphrase} {repository}").replace(['/', ' ', ':'], "-")));
        let guard = std::fs::File::create(seed.with_extension("lock")).unwrap();
        guard.lock().unwrap();
        if !seed.exists() {
            let making = tempfile::tempdir_in(&seeds).unwrap();
            make(making.path(), passphrase, repository, env).await;
            std::fs::rename(making.keep(), &seed).unwrap();
        }
        Self(seed)
    }

    /// Into the root of a store that has not been started, and two files. They are this user's.
    pub(crate) fn plant(&self, store: &Path, recovery: &Path, writer: &Path) {
        let status = Command::new("cp").arg("-a").arg(self.0.join("store")).arg(store).status().unwrap();
        assert!(status.success(), "{}", store.display());
        std::fs::copy(self.0.join("recovery"), recovery).unwrap();
        std::fs::copy(self.0.join("writer"), writer).unwrap();
    }
}

async fn make(dir: &Path, passphrase: &str, repository: &str, env: &[(&str, &str)]) {
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(dir.join("stonewal.toml"), "").unwrap();
    let store = Server::start(Options::new(dir.join("store"))).await.unwrap();
    for line in ["init --recovery-file recovery", "keys writer --name db1 --out writer"] {
        let output = tokio::process::Command::new(PROGRAM)
            .args(line.split(' '))
            .env_clear()
            .envs(host::variables(&store, Role::Admin))
            .envs(env.iter().copied())
            .env("BACKUP_PASSPHRASE", passphrase)
            .env("HOME", dir)
            .env("STONEWAL_CONFIG", "stonewal.toml")
            .env("STONEWAL_REPOSITORY", repository)
            .env("USER", "nobody")
            .current_dir(dir)
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    store.stop().await;
}
