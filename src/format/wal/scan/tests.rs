use super::*;

const START: u64 = 0x300_0000;

/// WAL written record by record as PostgreSQL lays it out.
struct Writer {
    bytes: Vec<u8>,
    /// How much of a record that has begun is still to be written: `xlp_rem_len`.
    left: usize,
}

impl Writer {
    fn new() -> Self {
        Self { bytes: Vec::new(), left: 0 }
    }

    fn byte(&mut self, byte: u8) {
        if (self.bytes.len() as u64).is_multiple_of(PAGE_BYTES) {
            let long = self.bytes.is_empty();
            let info = u16::from(self.left > 0) | if long { 2 } else { 0 };
            let at = START + self.bytes.len() as u64;
            let mut header = [0xD110_u16.to_ne_bytes(), info.to_ne_bytes()].concat();
            header.extend(1_u32.to_ne_bytes());
            header.extend(at.to_ne_bytes());
            header.extend(u32::try_from(self.left).unwrap().to_ne_bytes());
            header.extend([0; 4]);
            if long {
                header.extend(7_u64.to_ne_bytes());
                header.extend((16_u32 << 20).to_ne_bytes());
                header.extend(8192_u32.to_ne_bytes());
            }
            self.bytes.extend(header);
        }
        self.bytes.push(byte);
    }

    fn record(&mut self, manager: u8, info: u8, data: &[u8]) {
        let total = 24 + data.len();
        let mut record = u32::try_from(total).unwrap().to_ne_bytes().to_vec();
        record.extend([0; 12]);
        record.extend([info, manager, 0, 0, 0, 0, 0, 0]);
        record.extend(data);
        for (at, byte) in record.into_iter().enumerate() {
            self.left = if at == 0 { 0 } else { total - at };
            self.byte(byte);
        }
        while !self.bytes.len().is_multiple_of(8) {
            self.bytes.push(0);
        }
    }

    fn filler(&mut self, bytes: usize) {
        self.record(10, 0, &vec![0xA5; bytes]);
    }

    fn commit(&mut self, operation: u8, second: i64, origin: bool) {
        let mut data = if origin { vec![253, 1, 0, 252, 9, 0, 0, 0] } else { Vec::new() };
        data.extend([255, 20]);
        data.extend((second * 1_000_000).to_ne_bytes());
        data.extend([1; 12]);
        self.record(RM_XACT_ID, operation, &data);
    }
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(EPOCH_SECONDS + second).unwrap()
}

fn scan(bytes: &[u8], at_once: usize) -> Option<Commits> {
    let mut scanner = CommitScanner::new(Lsn::new(START));
    bytes.chunks(at_once).for_each(|part| scanner.feed(part));
    assert_eq!(scanner.at().get(), START + bytes.len() as u64);
    scanner.take_commits()
}

/// Every distance of the record from the end of its page, however the bytes arrive.
#[test]
fn ends_of_transactions_are_found_across_pages() {
    for shift in (0..200).step_by(8) {
        let mut wal = Writer::new();
        wal.filler(8192 - 40 - 24 - 200 + shift);
        wal.commit(COMMIT | 0x80, 500, shift % 16 == 0);
        wal.filler(20_000);
        wal.commit(ABORT, 300, false);
        wal.commit(COMMIT_PREPARED, 400, true);
        wal.commit(0x10, 900, false); // PREPARE ends nothing
        wal.commit(ABORT_PREPARED, 450, false);
        let found = Some(Commits { first: second(300), last: second(500) });
        for at_once in [1, 7, 8192, wal.bytes.len()] {
            assert_eq!(scan(&wal.bytes, at_once), found, "{shift}, {at_once} at once");
        }
    }
}

#[test]
fn a_page_begun_within_a_record_is_found_again() {
    let mut wal = Writer::new();
    wal.filler(3 * 8192);
    wal.commit(COMMIT, 100, false);
    let mut scanner = CommitScanner::new(Lsn::new(START + 8192));
    scanner.feed(&wal.bytes[8192..]);
    assert_eq!(scanner.take_commits(), Some(Commits::at(second(100))));
    assert_eq!(scanner.take_commits(), None, "taken is taken");
}

#[test]
fn what_was_there_before_is_not_read() {
    let mut wal = Writer::new();
    wal.commit(COMMIT, 100, false);
    let (used, mut old) = (wal.bytes.len(), wal);
    old.filler(30_000);
    old.commit(COMMIT, 900, false);
    // The rest of a segment after a switch: zeros; or pages of the time before, with their old addresses.
    let mut zeros = old.bytes.clone();
    zeros[used..].fill(0);
    let mut recycled = old.bytes.clone();
    recycled[used..8192].fill(0);
    for page in recycled.chunks_mut(8192).skip(1) {
        page[8] ^= 1;
    }
    for bytes in [zeros, recycled] {
        assert_eq!(scan(&bytes, 1000), Some(Commits::at(second(100))));
    }
}

proptest::proptest! {
    #[test]
    fn junk_is_skipped(junk in proptest::collection::vec(proptest::num::u8::ANY, 0..30_000), at_once in 1..5000_usize) {
        let mut wal = Writer::new();
        wal.commit(COMMIT, 100, false);
        for (byte, noise) in wal.bytes.iter_mut().skip(junk.len() % 90).zip(&junk) {
            *byte ^= noise;
        }
        wal.bytes.extend(&junk);
        scan(&wal.bytes, at_once);
    }
}
