use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

use super::*;

fn entry(path: &str, kind: EntryType, bytes: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_path(path).unwrap();
    header.set_entry_type(kind);
    header.set_size(bytes);
    header.set_mode(0o600);
    if kind == EntryType::Symlink {
        header.set_link_name("/srv/space").unwrap();
    }
    header.set_cksum();
    header
}

/// As PostgreSQL writes `./pg_wal/archive_status`.
fn dotted() -> Header {
    let mut header = entry("x", EntryType::Directory, 0);
    header.as_mut_bytes()[..7].copy_from_slice(b"./base/");
    header.set_cksum();
    header
}

fn sample() -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    tar.append(&entry("backup_label", EntryType::Regular, 5), &b"START"[..]).unwrap();
    tar.append(&dotted(), &b""[..]).unwrap();
    tar.append(&entry("base/1", EntryType::Regular, 513), &[7u8; 513][..]).unwrap();
    tar.append(&entry("empty", EntryType::Regular, 0), &b""[..]).unwrap();
    tar.append(&entry("pg_tblspc/16400", EntryType::Symlink, 0), &b""[..]).unwrap();
    tar.into_inner().unwrap()
}

fn index(pieces: &[&[u8]]) -> Result<StreamIndex> {
    let mut indexer = TarIndexer::new();
    for piece in pieces {
        indexer.push(piece)?;
    }
    indexer.finish()
}

#[test]
fn files_are_found_where_they_lie() {
    let tar = sample();
    let index = index(&[&tar]).unwrap();
    let file = |path: &str, at, bytes| FileEntry(path.into(), at, bytes, 0o600);
    assert_eq!(index.files, [file("backup_label", 512, 5), file("base/1", 2048, 513), file("empty", 3584, 0)]);
    assert_eq!(index.directories, [DirectoryEntry("base".into(), 0o600)]);
    assert_eq!(index.links, [LinkEntry("pg_tblspc/16400".into(), "/srv/space".into())]);
    assert_eq!(tar[2048..2561], [7; 513]);
}

#[test]
fn the_end_may_be_bare_and_nothing_may_follow_it() {
    let tar = sample();
    let bare = &tar[..tar.len() - 1024];
    assert_eq!(index(&[bare]).unwrap(), index(&[&tar]).unwrap());
    assert_eq!(
        index(&[&tar, &bare[..512]]).unwrap_err().to_string(),
        "tar of the base backup is malformed: a file follows its end"
    );
    for cut in [1, 511, 513, 516, 2049, bare.len() - 1] {
        assert_eq!(index(&[&bare[..cut]]).unwrap_err(), Error::Short(WHAT), "cut at {cut}");
    }
    assert_eq!(index(&[]).unwrap(), StreamIndex::default());
}

#[test]
fn large_files_have_their_size_in_base_256() {
    let header = entry("base/large", EntryType::Regular, 9 << 30);
    let mut indexer = TarIndexer::new();
    indexer.push(header.as_bytes()).unwrap();
    assert_eq!(indexer.index.files[0].bytes(), 9 << 30);
    assert!(indexer.finish().is_err());
}

#[test]
fn what_postgresql_does_not_write_is_refused() {
    let mut flipped = sample();
    flipped[0] ^= 1;
    let mut not_utf8 = entry("x", EntryType::Regular, 0);
    not_utf8.as_mut_bytes()[0] = 0xFF;
    not_utf8.set_cksum();
    let mut climbing = entry("x", EntryType::Regular, 0);
    climbing.as_mut_bytes()[..5].copy_from_slice(b"../up");
    climbing.set_cksum();
    let mut rooted = entry("x", EntryType::Regular, 0);
    rooted.as_mut_bytes()[..4].copy_from_slice(b"/etc");
    rooted.set_cksum();
    let fifo = entry("pipe", EntryType::Fifo, 0);
    for (bytes, why) in [
        (&flipped[..], "checksum of a header"),
        (not_utf8.as_bytes(), "not UTF-8"),
        (climbing.as_bytes(), "not a relative path"),
        (rooted.as_bytes(), "not a relative path"),
        (fifo.as_bytes(), "which PostgreSQL does not write"),
    ] {
        let error = index(&[bytes]).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn of_two_files_with_one_name_the_last_counts() {
    let mut tar = Builder::new(Vec::new());
    tar.append(&entry("a", EntryType::Regular, 1), &b"1"[..]).unwrap();
    tar.append(&entry("a", EntryType::Regular, 2), &b"22"[..]).unwrap();
    let index = index(&[&tar.into_inner().unwrap()]).unwrap();
    assert_eq!(index.files, [FileEntry("a".into(), 1536, 2, 0o600)]);
}

proptest! {
    #[test]
    fn however_it_is_cut_it_is_the_same(cuts in prop::collection::vec(0usize..5000, 0..20)) {
        let tar = sample();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(tar.len())).collect();
        cuts.extend([0, tar.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &tar[cut[0]..cut[1]]).collect();
        prop_assert_eq!(index(&pieces).unwrap(), index(&[&tar]).unwrap());
    }

    #[test]
    fn junk_never_panics(mut junk in prop::collection::vec(any::<u8>(), 0..2000), fix in any::<bool>()) {
        if fix && junk.len() >= 512 {
            let mut block = [0; 512];
            block.copy_from_slice(&junk[..512]);
            let mut header = Header::from_byte_slice(&block).clone();
            header.set_cksum();
            junk[..512].copy_from_slice(header.as_bytes());
        }
        let _ = index(&[&junk]);
    }
}
