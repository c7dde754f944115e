//! Where tablespaces are in a data directory: links below `pg_tblspc`, named after their OIDs.

use super::entries::{Entry, Kind};

const LINKS: &str = "pg_tblspc/";

/// The link of a tablespace.
pub(super) fn link(oid: u32, location: &str) -> Entry {
    Entry { path: format!("{LINKS}{oid}"), kind: Kind::Link(location.to_owned()), bytes: 0, mode: 0o777, mtime: 0 }
}

/// Whose link, or place of a link, a path is.
pub(super) fn of_link(path: &str) -> Option<u32> {
    path.strip_prefix(LINKS)?.parse().ok()
}

/// A path in a tablespace, as `backup_manifest` has it.
pub(super) fn listed(oid: u32, path: &str) -> String {
    format!("{LINKS}{oid}/{path}")
}

/// Whose tablespace a path in `backup_manifest` leads into.
pub(super) fn holding(listed: &str) -> Option<u32> {
    listed.strip_prefix(LINKS)?.split_once('/')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_what_lies_behind_them_are_told_apart() {
        assert_eq!((of_link("pg_tblspc/16384"), holding("pg_tblspc/16384")), (Some(16384), None));
        let inside = listed(16384, "PG_15_202209061/5/16390");
        assert_eq!((of_link(&inside), holding(&inside)), (None, Some(16384)));
        assert_eq!((of_link("base/5"), holding("base/5/16390"), holding("pg_tblspc/x/1")), (None, None, None));
    }
}
