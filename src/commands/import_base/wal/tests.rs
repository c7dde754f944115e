use std::io::Write as _;

use super::*;
use crate::commands::import_base::supply::list;
use crate::format::{Lsn, Timeline};
use crate::limits::WAL_PAGE_BYTES;

const SIZE: usize = 1 << 20;
const PAGES: usize = SIZE / WAL_PAGE_BYTES;
/// Segments of 1 MiB, numbered; a backup from within the third up to within the fourth.
const STOP: usize = 4 * SIZE + 5 * WAL_PAGE_BYTES + 100;

fn tl() -> Timeline {
    Timeline::new(1).unwrap()
}

fn name(number: usize) -> SegmentName {
    SegmentName::holding(tl(), Lsn::new((number * SIZE) as u64), size())
}

fn size() -> SegmentSize {
    SegmentSize::new(u32::try_from(SIZE).unwrap()).unwrap()
}

/// A segment of which so many pages were written, filled with a byte.
fn content(number: usize, written: usize, fill: u8) -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    for (at, page) in bytes.chunks_mut(WAL_PAGE_BYTES).take(written).enumerate() {
        page.fill(fill);
        page[..2].copy_from_slice(&0xD110_u16.to_ne_bytes());
        page[2..4].copy_from_slice(&u16::to_ne_bytes(if at == 0 { 2 } else { 0 }));
        page[4..8].copy_from_slice(&1_u32.to_ne_bytes());
        page[8..16].copy_from_slice(&((number * SIZE + at * WAL_PAGE_BYTES) as u64).to_ne_bytes());
        page[16..24].fill(0);
        if at == 0 {
            page[24..32].copy_from_slice(&7_u64.to_ne_bytes());
            page[32..36].copy_from_slice(&u32::try_from(SIZE).unwrap().to_ne_bytes());
            page[36..40].copy_from_slice(&8192_u32.to_ne_bytes());
        }
    }
    bytes
}

fn damaged(number: usize, page: usize) -> Vec<u8> {
    let mut bytes = content(number, PAGES, 0xA5);
    bytes[page * WAL_PAGE_BYTES..][..WAL_PAGE_BYTES].fill(0);
    bytes
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// What a directory with these files comes to, beside what lies in the backup.
struct Case {
    folder: tempfile::TempDir,
    found: Found,
    items: Vec<Item>,
}

impl Case {
    fn new(backup: &[(usize, Vec<u8>)], files: &[(String, Vec<u8>)]) -> Self {
        let start = Lsn::new((3 * SIZE + 0x28) as u64);
        let needed = SegmentRange { timeline: tl(), start, stop: Lsn::new(STOP as u64) };
        let (folder, mut found) = (tempfile::tempdir().unwrap(), Found::new(needed));
        for (number, bytes) in backup {
            found.look(Path::new("old"), name(*number), At::Base, &mut &bytes[..]).unwrap();
        }
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let items = if files.is_empty() { Vec::new() } else { list(folder.path()).unwrap() };
        found.look_at(&items).unwrap();
        Self { folder, found, items }
    }

    /// Where what is needed comes from, by the names of files; or why not.
    fn needs(&self) -> Result<Vec<String>, String> {
        let told = |need: Need| match need.at {
            At::File(path) => path.strip_prefix(self.folder.path()).unwrap().display().to_string(),
            other => other.told(),
        };
        let needs =
            self.found.needs(Path::new("old"), size()).map_err(|fault| crate::commands::Error::from(fault).to_string());
        Ok(needs?.into_iter().map(told).collect())
    }

    /// Files and what they are stored as; with the number of warnings.
    fn chosen(&self) -> Result<(Vec<(String, String)>, usize), String> {
        let chosen = self.found.choose(Path::new("old"), &self.items);
        let Chosen { items, warnings } = chosen.map_err(|fault| crate::commands::Error::from(fault).to_string())?;
        let told = |item: &Item| {
            (item.path.strip_prefix(self.folder.path()).unwrap().display().to_string(), item.name.to_string())
        };
        Ok((items.iter().map(told).collect(), warnings.len()))
    }
}

fn file(number: usize, ending: &str, bytes: Vec<u8>) -> (String, Vec<u8>) {
    (format!("{}{ending}", name(number)), bytes)
}

fn whole(number: usize) -> Vec<u8> {
    content(number, PAGES, 0xA5)
}

#[test]
fn i02_every_segment_that_is_needed_is_whole_up_to_where_the_backup_ends() {
    // The last one may hold nothing behind the end, as `pg_basebackup -X stream` leaves it.
    let good = Case::new(&[(3, whole(3)), (4, content(4, 6, 0xA5))], &[]);
    assert_eq!(good.needs().unwrap().len(), 2);
    let behind = Case::new(&[(3, whole(3)), (4, damaged(4, 6))], &[]);
    assert!(behind.needs().is_ok());
    for (backup, why) in [
        (vec![(3, damaged(3, 77)), (4, whole(4))], "its page at byte 630784 is damaged"),
        (vec![(3, content(3, 90, 0xA5)), (4, whole(4))], "its page at byte 737280 and all behind it"),
        (vec![(3, whole(3)), (4, content(4, 5, 0xA5))], "its page at byte 40960 and all behind it"),
        (vec![(3, whole(3)[..SIZE - 1].to_vec()), (4, whole(4))], "it has 1048575 bytes"),
        (vec![(3, [whole(3), vec![0]].concat()), (4, whole(4))], "it has more than 1048576 bytes"),
        (vec![(3, whole(9)), (4, whole(4))], "holds the WAL from"),
        (vec![(3, vec![0; SIZE]), (4, whole(4))], "does not begin with a WAL page header"),
    ] {
        let refused = Case::new(&backup, &[]).needs().unwrap_err();
        assert!(refused.contains(why) && refused.contains("is not whole"), "{refused}");
        // A good copy elsewhere wins.
        let files = [file(3, "", whole(3)), file(4, ".gz", zipped(&whole(4)))];
        assert!(Case::new(&backup, &files).needs().is_ok());
        let (chosen, warnings) = Case::new(&backup, &files).chosen().unwrap();
        assert_eq!((chosen.len(), warnings), (2, 0));
    }
    let missing = Case::new(&[(4, whole(4))], &[]).needs().unwrap_err();
    assert!(missing.contains(&format!("{} is missing", name(3))), "{missing}");
}

#[test]
fn of_several_copies_a_good_one_counts_wherever_it_lies() {
    let cut = zipped(&whole(3))[..500].to_vec();
    for (plain, packed, counts) in
        [(damaged(3, 9), zipped(&whole(3)), ".gz"), (whole(3), cut.clone(), ""), (whole(3), zipped(&damaged(3, 9)), "")]
    {
        let case = Case::new(&[(4, whole(4))], &[file(3, "", plain), file(3, ".gz", packed)]);
        let counts = format!("{}{counts}", name(3));
        assert_eq!(case.needs().unwrap(), [counts.clone(), "the one in base.tar".into()]);
        assert_eq!(case.chosen().unwrap(), (vec![(counts, name(3).to_string())], 1));
    }
    let none = Case::new(&[(4, whole(4))], &[file(3, "", damaged(3, 9)), file(3, ".gz", cut)]);
    assert!(none.needs().is_err() && none.chosen().is_err());
    // The backup's own is enough for the backup, and the broken one is not stored.
    let own = Case::new(&[(3, whole(3)), (4, whole(4))], &[file(3, "", damaged(3, 9)), file(5, "", whole(5))]);
    assert_eq!(own.needs().unwrap().len(), 2);
    assert_eq!(own.chosen().unwrap(), (vec![(name(5).to_string(), name(5).to_string())], 1));
    let stray = Case::new(&[(3, whole(3)), (4, whole(4))], &[file(8, "", damaged(8, 9))]);
    assert!(stray.needs().is_ok() && stray.chosen().unwrap_err().contains(&name(8).to_string()));
}

#[test]
fn two_whole_copies_that_differ_are_refused() {
    let other = content(3, PAGES, 0x5A);
    let case = Case::new(&[(3, whole(3)), (4, whole(4))], &[file(3, "", other.clone())]);
    assert!(case.needs().unwrap_err().contains("with different contents"));
    let case = Case::new(
        &[(3, whole(3)), (4, whole(4))],
        &[file(7, "", whole(7)), file(7, ".gz", zipped(&content(7, PAGES, 0x5A)))],
    );
    assert!(case.chosen().unwrap_err().contains(&format!("{} is there twice", name(7))));
    // Behind the end of the backup they may.
    let longer = Case::new(&[(3, whole(3)), (4, content(4, 6, 0xA5))], &[file(4, "", whole(4))]);
    assert_eq!(longer.needs().unwrap(), ["the one in base.tar"; 2]);
    assert_eq!(longer.chosen().unwrap(), (vec![(name(4).to_string(), name(4).to_string())], 0));
}

/// A `.partial` of `pg_receivewal` may end within the page that the backup needs: it has less of the same, and is no rival.
#[test]
fn a_copy_that_ends_within_the_last_page_is_no_rival_of_one_that_goes_on() {
    let cut = |bytes: usize, fill: u8| {
        let mut content = content(4, 6, fill);
        content[5 * WAL_PAGE_BYTES + bytes..].fill(0);
        content
    };
    let partial = |bytes: Vec<u8>| file(4, ".partial", bytes);
    for backup in [whole(4), content(4, 6, 0xA5)] {
        let case = Case::new(&[(3, whole(3)), (4, backup)], &[partial(cut(60, 0xA5))]);
        assert_eq!(case.needs().unwrap(), ["the one in base.tar"; 2]);
        assert_eq!(case.chosen().unwrap(), (vec![(format!("{}.partial", name(4)), format!("{}.partial", name(4)))], 0));
    }
    // Whichever is read first, the one with more counts.
    let longer = Case::new(&[(3, whole(3)), (4, cut(60, 0xA5))], &[partial(cut(99, 0xA5))]);
    assert_eq!(longer.needs().unwrap()[1], format!("{}.partial", name(4)));
    for rival in [cut(60, 0x5A), {
        let mut bytes = cut(99, 0xA5);
        bytes[5 * WAL_PAGE_BYTES + 50] ^= 1;
        bytes
    }] {
        let case = Case::new(&[(3, whole(3)), (4, whole(4))], &[partial(rival)]);
        assert!(case.needs().unwrap_err().contains("with different contents"));
    }
}

/// What was never finished is stored as what it is: as a whole segment it would hide the true one.
#[test]
fn i09_a_segment_that_was_never_finished_is_stored_as_a_partial() {
    let backup = [(3, whole(3)), (4, whole(4))];
    let partial = format!("{}.partial", name(6));
    let case = Case::new(&backup, &[file(5, "", whole(5)), file(6, "", content(6, 20, 0xA5))]);
    let expected = vec![(name(5).to_string(), name(5).to_string()), (name(6).to_string(), partial.clone())];
    assert_eq!(case.chosen().unwrap(), (expected, 1));
    // Called so already, no news; a whole one or a longer one beside it counts.
    for (beside, counts, stored, warnings) in [
        (None, ".partial", &partial, 0),
        (Some(file(6, "", whole(6))), "", &name(6).to_string(), 0),
        (Some(file(6, ".gz", zipped(&content(6, 30, 0xA5)))), ".gz", &partial, 1),
        (Some(file(6, "", content(6, 10, 0xA5))), ".partial", &partial, 0),
    ] {
        let files: Vec<_> = beside.into_iter().chain([file(6, ".partial", content(6, 20, 0xA5))]).collect();
        let case = Case::new(&backup, &files);
        assert_eq!(case.chosen().unwrap(), (vec![(format!("{}{counts}", name(6)), stored.clone())], warnings));
    }
}

#[test]
fn i12_a_history_is_never_of_any_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("00000002.history.gz");
    std::fs::write(&path, zipped(&vec![b'x'; WAL_FILE_BYTES_MAX + 1])).unwrap();
    let range = SegmentRange { timeline: tl(), start: Lsn::new(1), stop: Lsn::new(2) };
    let refused = Found::new(range).look_at(&list(folder.path()).unwrap()).unwrap_err();
    assert!(crate::commands::Error::from(refused).to_string().contains("should be a few lines"));
}
