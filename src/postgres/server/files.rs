//! Files of a server, owned by the user it runs as.

use std::fmt::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown, lchown};
use std::path::Path;

use secrecy::ExposeSecret as _;

use super::super::users::User;
use super::ServerOptions;

/// The directory, and the superuser's password for initdb.
pub(super) fn create(options: &ServerOptions, owner: Option<&User>) -> std::io::Result<()> {
    if options.dir.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(std::io::Error::other("the directory is not empty"));
    }
    make_dir(&options.dir, owner)?;
    if let Some(password) = &options.password {
        write(&options.dir.join("password"), password.expose_secret(), owner)?;
    }
    Ok(())
}

pub(super) fn forget_password(dir: &Path) {
    let _ = std::fs::remove_file(dir.join("password"));
}

pub(super) fn make_dir(path: &Path, owner: Option<&User>) -> std::io::Result<()> {
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    give(path, owner)
}

/// Settings, access rules and the TLS key.
pub(super) fn configure(options: &ServerOptions, owner: Option<&User>) -> std::io::Result<()> {
    let data = options.dir.join("data");
    let mut settings = String::new();
    let mut set =
        |name: &str, value: &str| writeln!(settings, "{name} = {}", quoted(value)).map_err(std::io::Error::other);
    set("logging_collector", "off")?;
    set("log_min_messages", "warning")?;
    // Nothing else: what was committed must outlive SIGKILL, and backups from a standby want full pages.
    if !options.fsync {
        set("fsync", "off")?;
    }
    if let Some((cert, key)) = &options.tls {
        write(&data.join("server.crt"), &std::fs::read_to_string(cert)?, owner)?;
        write(&data.join("server.key"), &std::fs::read_to_string(key)?, owner)?;
        set("ssl", "on")?;
    }
    for (name, value) in &options.settings {
        set(name, value)?;
    }
    let conf = data.join("postgresql.conf");
    let text = std::fs::read_to_string(&conf)?;
    write(&conf, &format!("{text}\n{settings}"), owner)?;
    let hba = data.join("pg_hba.conf");
    let text = std::fs::read_to_string(&hba)?;
    write(&hba, &format!("{}\n{text}", options.hba.join("\n")), owner)
}

/// Created unreadable for others, before the text is in it.
pub(super) fn write(path: &Path, text: &str, owner: Option<&User>) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    give(path, owner)
}

/// A string in `postgresql.conf`.
pub(super) fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// A value in a connection string (docs 34.1.1.1).
pub(super) fn conninfo_value(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A directory and all below it; links are given themselves, not what they point to.
pub(super) fn give_tree(path: &Path, owner: &User) -> std::io::Result<()> {
    lchown(path, Some(owner.uid), Some(owner.gid))?;
    if !path.symlink_metadata()?.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        give_tree(&entry?.path(), owner)?;
    }
    Ok(())
}

fn give(path: &Path, owner: Option<&User>) -> std::io::Result<()> {
    owner.map_or(Ok(()), |user| chown(path, Some(user.uid), Some(user.gid)))
}
