//! New clusters that initdb does not make: it runs once for each way in which tests call it, and what it made is copied.

use std::cell::Cell;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use stonewal::postgres::server::{Server, ServerOptions, hand_over, shell_word};
use stonewal::postgres::{Environment, Result};

/// So many servers of one test have system identifiers of their own.
const DISTINCT: usize = 4;

thread_local! {
    /// Servers that this test has started.
    static STARTED: Cell<usize> = const { Cell::new(0) };
}

/// As [`Server::start`], in a fraction of the time.
pub(crate) async fn start(options: &ServerOptions) -> Result<Server> {
    let number = STARTED.replace(STARTED.get() + 1) % DISTINCT;
    let mut options = options.clone();
    options.bin_dir = options.bin_dir.or_else(|| Server::find_bin_dir(&Environment::default()));
    if let Some(programs) = options.bin_dir.as_deref().and_then(|real| programs(real, number).ok()) {
        options.bin_dir = Some(programs);
    }
    Server::start(&options).await
}

/// The programs of a directory, but for an initdb that remembers; made once, and kept among the temporary files.
fn programs(real: &Path, number: usize) -> std::io::Result<PathBuf> {
    let base = std::env::temp_dir().join(format!("stonewal-clusters-{}", rustix::process::geteuid().as_raw()));
    let _ = std::fs::create_dir(&base);
    // What others planted there is not run.
    if std::fs::symlink_metadata(&base)?.uid() != rustix::process::geteuid().as_raw() {
        return Err(std::io::ErrorKind::PermissionDenied.into());
    }
    let built = std::fs::metadata(real.join("postgres"))?.mtime();
    let place = base.join(format!("{}-{built}-{number}", real.display().to_string().replace('/', "-")));
    if !place.exists() {
        let making = tempfile::Builder::new().permissions(passable()).tempdir_in(&base)?;
        fill(making.path(), real, &place)?;
        // An error means that somebody else was faster.
        if std::fs::rename(making.path(), &place).is_ok() {
            let _ = making.keep();
        }
    }
    Ok(place.join("bin"))
}

fn fill(making: &Path, real: &Path, place: &Path) -> std::io::Result<()> {
    std::fs::set_permissions(making.parent().unwrap_or(making), passable())?;
    let (bin, made) = (making.join("bin"), making.join("made"));
    for dir in [&bin, &made] {
        std::fs::create_dir(dir)?;
        std::fs::set_permissions(dir, passable())?;
    }
    hand_over(&made).map_err(std::io::Error::other)?;
    for program in std::fs::read_dir(real)? {
        let name = program?.file_name();
        if name != "initdb" {
            symlink(real.join(&name), bin.join(&name))?;
        }
    }
    let word = |path: &Path| shell_word(&path.display().to_string());
    let initdb = bin.join("initdb");
    std::fs::write(&initdb, script(&word(&real.join("initdb")), &word(&place.join("made"))))?;
    std::fs::set_permissions(&initdb, passable())
}

/// The cluster is always `data`; one with a password of its own is made anew.
fn script(real: &str, made: &str) -> String {
    format!(
        "#!/bin/sh\n\
         REAL={real} MADE={made}\n\
         case \" $* \" in *' --pgdata data '*) ;; *) exec \"$REAL\" \"$@\" ;; esac\n\
         case \" $* \" in *--pwfile*) exec \"$REAL\" \"$@\" ;; esac\n\
         made=$MADE/$(echo \"$*\" | cksum | cut -d ' ' -f 1)\n\
         if [ ! -d \"$made\" ]; then\n\
           part=$(mktemp -d \"$MADE/part.XXXXXX\") && cd \"$part\" && \"$REAL\" \"$@\" || exit\n\
           cd \"$OLDPWD\" && mv -T \"$part/data\" \"$made\" 2>/dev/null\n\
           rm -rf \"$part\"\n\
         fi\n\
         exec cp -a \"$made\" data\n"
    )
}

fn passable() -> std::fs::Permissions {
    std::fs::Permissions::from_mode(0o755)
}

/// Two servers of a test are two clusters, and a third run of initdb is none.
#[tokio::test]
async fn servers_of_a_test_are_clusters_of_their_own() {
    let Some(bin_dir) = Server::find_bin_dir(&Environment::default()) else {
        return super::skip("servers_of_a_test", "PostgreSQL");
    };
    let dir = tempfile::Builder::new().permissions(passable()).tempdir().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..=DISTINCT {
        let mut options = ServerOptions::new(dir.path().join(number.to_string()));
        options.bin_dir = Some(bin_dir.clone());
        let server = start(&options).await.unwrap();
        let info = server.socket_conninfo("postgres").unwrap();
        let session = stonewal::postgres::Session::connect(&info, "test").await.unwrap();
        let sql = "SELECT system_identifier::text FROM pg_control_system()";
        seen.insert(session.client().query_one(sql, &[]).await.unwrap().get::<_, String>(0));
    }
    assert_eq!(seen.len(), DISTINCT, "{seen:?}");
}
