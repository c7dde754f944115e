//! A new cluster: initdb and its first settings.

use std::path::Path;

use super::launch::clean_command;
use super::{ServerOptions, files};
use crate::postgres::programs::Search;
use crate::postgres::users::User;
use crate::postgres::{Error, Result};

/// Builds the cluster in `data` below the directory.
pub(super) async fn create(options: &ServerOptions, bin_dir: &Path, owner: Option<&User>) -> Result<()> {
    let failed =
        |what: &str, e: &std::io::Error| Error::Server { dir: options.dir.clone(), what: format!("{what}: {e}") };
    files::create(options, owner).map_err(|e| failed("create it", &e))?;
    initdb(options, bin_dir, owner).await?;
    files::configure(options, owner).map_err(|e| failed("configure it", &e))
}

async fn initdb(options: &ServerOptions, bin_dir: &Path, owner: Option<&User>) -> Result<()> {
    let mut command = clean_command(&bin_dir.join("initdb"), &options.dir, owner);
    command.args(["--pgdata", "data", "--username=postgres", "--encoding=UTF8", "--locale=C"]);
    command.args(["--auth-local=trust", "--no-sync"]);
    if options.password.is_some() {
        command.args(["--auth-host=scram-sha-256", "--pwfile=password"]);
    } else {
        command.arg("--auth-host=trust");
    }
    if let Some(mib) = options.wal_segment_mib {
        command.arg(format!("--wal-segsize={mib}"));
    }
    match options.data_checksums {
        Some(true) => _ = command.arg("--data-checksums"),
        Some(false) if checksums_by_default(bin_dir).await? => _ = command.arg("--no-data-checksums"),
        _ => {}
    }
    let output = command.output().await;
    let output =
        output.map_err(|source| Error::ChildIo { program: "initdb".into(), what: "start it".into(), source })?;
    files::forget_password(&options.dir);
    if output.status.success() {
        return Ok(());
    }
    let what = format!("initdb: {}", String::from_utf8_lossy(&output.stderr).trim());
    Err(Error::Server { dir: options.dir.clone(), what })
}

/// PostgreSQL 18 turned them on, and brought the option to leave them off.
async fn checksums_by_default(bin_dir: &Path) -> Result<bool> {
    let search = Search { chosen: Some(bin_dir.into()), path: Vec::new() };
    Ok(search.find("initdb", 0, "").await?.major >= 18)
}
