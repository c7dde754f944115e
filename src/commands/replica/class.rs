//! Which objects of a repository are copied in one go, told by their keys.

use crate::format::names::Names;

/// What is copied in one go: in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Ground,
    Chunk,
    Manifest,
    Wal,
}

/// What a key is of; nothing that belongs to no repository.
pub(super) fn class_of(names: &Names, key: &str) -> Option<Class> {
    let parts: Vec<&str> = key.strip_prefix(names.prefix())?.split('/').collect();
    Some(match parts.as_slice() {
        // What `doctor` tries things on.
        ["canary", ..] => return None,
        [_, "backups", _, name] if name.starts_with("manifest-") => Class::Manifest,
        [_, "backups", ..] => Class::Chunk,
        // The cluster record lies beside the timelines.
        [_, "wal", _, ..] if parts.len() > 3 => Class::Wal,
        _ => Class::Ground,
    })
}

/// The folder of the backup that a key is of.
pub(super) fn folder_of(names: &Names, key: &str) -> String {
    let below = key.strip_prefix(names.prefix()).unwrap_or(key);
    let end = below.match_indices('/').nth(2).map_or(below.len(), |(at, _)| at + 1);
    format!("{}{}", names.prefix(), &below[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_come_behind_what_they_pin() {
        let names = Names::new("p").unwrap();
        for (key, class) in [
            ("p/repository", Some(Class::Ground)),
            ("p/keys/aa/bb.age", Some(Class::Ground)),
            ("p/main/wal/cluster", Some(Class::Ground)),
            ("p/main/backups/20261124T031500Z-5b0c6f2e/base/0-aa", Some(Class::Chunk)),
            ("p/main/backups/20261124T031500Z-5b0c6f2e/manifest-aa", Some(Class::Manifest)),
            ("p/main/backups/20261124T031500Z-5b0c6f2e/manifest-aa/0-x", Some(Class::Chunk)),
            ("p/main/wal/00000001/aa-bb", Some(Class::Wal)),
            ("p/main/wal/00000001/partial/aa-bb-cc", Some(Class::Wal)),
            ("p/canary/aa", None),
            ("q/repository", None),
        ] {
            assert_eq!(class_of(&names, key), class, "{key}");
        }
        assert_eq!(folder_of(&names, "p/main/backups/id/base/0-aa"), "p/main/backups/id/");
        assert_eq!(folder_of(&names, "p/main/backups/id/manifest-aa"), "p/main/backups/id/");
    }
}
