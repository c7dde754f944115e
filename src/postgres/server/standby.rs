//! Data directories made ready for a server: as a standby, and for the user it will run as.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Server, files, unprivileged};
use crate::postgres::users::User;
use crate::postgres::{Error, Result};

/// Makes a copied or restored data directory a streaming standby of `primary` (docs 26.2.4, "Setting Up a Standby
/// Server"): `standby.signal`, and `primary_conninfo` over its Unix socket in `postgresql.auto.conf`. With `slot`, the
/// standby uses that replication slot, which must exist. To be opened with [`Server::open`].
pub fn make_standby(data_dir: &Path, primary: &Server, name: &str, slot: Option<&str>) -> Result<()> {
    let io = |e: std::io::Error| Error::File { path: data_dir.to_owned(), what: format!("make it a standby: {e}") };
    let owner = owner_of(data_dir)?;
    let conninfo = format!(
        "host={} port={} user={} application_name={name}",
        files::conninfo_value(&primary.dir().display().to_string()),
        primary.port(),
        files::conninfo_value(&primary.user)
    );
    let conf = data_dir.join("postgresql.auto.conf");
    let mut text = std::fs::read_to_string(&conf).unwrap_or_default();
    let slot = slot.map(|slot| format!("primary_slot_name = {}\n", files::quoted(slot))).unwrap_or_default();
    text = format!("{text}\nprimary_conninfo = {}\n{slot}", files::quoted(&conninfo));
    files::write(&conf, &text, owner.as_ref()).map_err(io)?;
    files::write(&data_dir.join("standby.signal"), "", owner.as_ref()).map_err(io)
}

/// As root: gives a directory tree, and the tablespaces that its `pg_tblspc` points to, to the unprivileged user that
/// new servers run as. Does nothing for others, who own what they made.
pub fn hand_over(data_dir: &Path) -> Result<()> {
    let Some(owner) = unprivileged()? else { return Ok(()) };
    let io =
        |e: std::io::Error| Error::File { path: data_dir.to_owned(), what: format!("give it to {}: {e}", owner.name) };
    files::give_tree(data_dir, &owner).map_err(io)?;
    for link in std::fs::read_dir(data_dir.join("pg_tblspc")).into_iter().flatten().flatten() {
        if let Ok(target) = std::fs::canonicalize(link.path()) {
            files::give_tree(&target, &owner).map_err(io)?;
        }
    }
    Ok(())
}

/// Whom a server in this data directory must run as; `None` for the user we are.
pub(super) fn owner_of(data_dir: &Path) -> Result<Option<User>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let error = |what: String| Error::File { path: data_dir.to_owned(), what };
    let meta = std::fs::metadata(data_dir).map_err(|e| error(e.to_string()))?;
    if meta.uid() == 0 {
        return Err(error("belongs to root, as whom PostgreSQL does not run".into()));
    }
    Ok(Some(User { name: format!("user {}", meta.uid()), uid: meta.uid(), gid: meta.gid(), home: "/".into() }))
}
