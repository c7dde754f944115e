//! Bytes as a WAL object, as a history, and as the log itself; and headers as a hostile writer signs them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stonewal::format::signed::Purpose;
use stonewal::format::wal::{CommitScanner, History, SegmentHeader, WalHead};
use stonewal::format::{Lsn, Timeline};
use stonewal_fuzz::{signed, writer};

fuzz_target!(|input: &[u8]| {
    let trusted = [*writer().public()];
    assert!(WalHead::read(input, &trusted).is_err(), "a WAL object was forged");
    let _ = WalHead::certificate(input);
    let length = u32::try_from(input.len()).unwrap_or(u32::MAX);
    let head = [b"stwlwal1\0\0\0\x01", &length.to_be_bytes()[..], input].concat();
    if let Ok(head) = WalHead::read(&signed(Purpose::Wal, &head), &trusted) {
        let header = head.header();
        assert!(header.encode(b"", writer().public(), |message| writer().sign(message)).is_ok() || header.body.bytes > 0);
    }
    let _ = History::parse(Timeline::new(7).unwrap(), input);
    let _ = SegmentHeader::read(input);
    let (mut whole, mut pieces) = (CommitScanner::new(Lsn::new(8192)), CommitScanner::new(Lsn::new(8192)));
    whole.feed(input);
    input.chunks(7).for_each(|piece| pieces.feed(piece));
    assert_eq!(whole.take_commits(), pieces.take_commits(), "it matters how the log arrives");
});
