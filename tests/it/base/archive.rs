//! A server that stores its WAL by `stonewal wal push`.

use std::os::unix::fs::{MetadataExt as _, chown};

use secrecy::ExposeSecret as _;
use stonewal::postgres::server::ServerOptions;
use stonewal::store::roles::Role;

use super::world::World;

/// Archives; where to is said by [`World::archive`], once there is a store.
pub(super) fn archiving(options: &mut ServerOptions) {
    options.settings.push(("archive_mode".into(), "on".into()));
    options.settings.push(("archive_command".into(), "false".into()));
}

impl World {
    /// Lets the server push its WAL from now on, as the user that it runs as.
    pub(super) async fn archive(&self) {
        let owner = std::fs::metadata(self.source.data_dir()).unwrap();
        let dir = self.path("archive");
        std::fs::create_dir(&dir).unwrap();
        std::fs::copy(self.path("writer"), dir.join("writer")).unwrap();
        let credentials = self.store.credentials(Role::Writer).unwrap();
        let variables = [
            ("AWS_ACCESS_KEY_ID", credentials.access_key.as_str()),
            ("AWS_SECRET_ACCESS_KEY", credentials.secret_key.expose_secret()),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_ENDPOINT_URL_S3", &self.store.endpoint()),
            ("AWS_REGION", self.store.region()),
            ("STONEWAL_CONFIG", &self.path("stonewal.toml").display().to_string()),
            ("STONEWAL_KEYS_WRITER_FILE", &dir.join("writer").display().to_string()),
            ("STONEWAL_REPOSITORY", "s3://backups/prod"),
        ];
        let exports: Vec<String> = variables.iter().map(|(name, value)| format!("export {name}='{value}'")).collect();
        let script = format!("{}\nexec {} wal push \"$1\"\n", exports.join("\n"), env!("CARGO_BIN_EXE_stonewal"));
        std::fs::write(dir.join("push"), script).unwrap();
        for path in [dir.join("writer"), dir.join("push"), dir.clone()] {
            chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        self.sql(&format!("ALTER SYSTEM SET archive_command = 'sh {}/push \"%p\"'", dir.display())).await;
        self.sql("SELECT pg_reload_conf()").await;
    }

    /// Waits until everything written so far is stored.
    pub(super) async fn archived(&self) {
        let last = self.value("SELECT pg_walfile_name(pg_switch_wal())").await;
        let sql = format!("SELECT last_archived_wal >= '{last}' FROM pg_stat_archiver");
        for _ in 0..600 {
            if self.value(&sql).await == "true" {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{last} is not archived: {}", self.source.log());
    }
}
