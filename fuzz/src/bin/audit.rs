//! Bytes as an audit record: raw, as a signed payload, and as a change to a genuine record; and as a text for one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stonewal::format::audit::{AuditObject, AuditRecord, plain_text};
use stonewal::format::signed::Purpose;
use stonewal_fuzz::{changed, signed, writer};

const GENUINE: &[u8] = include_bytes!("../../../tests/vectors/audit/ended.bin");

/// What is read is written the same way, and says nothing else then.
fn read(bytes: &[u8]) -> bool {
    let _ = AuditRecord::certificate(bytes);
    let trusted = [*writer().public()];
    let Ok((record, _)) = AuditRecord::decode(bytes, &trusted) else { return false };
    let again = record.encode(writer().public(), |message| writer().sign(message)).unwrap();
    assert_eq!(AuditRecord::decode(&again, &trusted).unwrap().0, record);
    true
}

fuzz_target!(|input: &[u8]| {
    assert!(!read(input), "a record was forged");
    read(&signed(Purpose::Audit, input));
    assert!(read(&signed(Purpose::Audit, &changed(GENUINE, &[]))), "the record that is changed is genuine");
    read(&signed(Purpose::Audit, &changed(GENUINE, input)));
    let text = String::from_utf8_lossy(input);
    for max in [0, 1, 3, 200] {
        let plain = plain_text(&text, max);
        assert!(plain.len() <= max.max('…'.len_utf8()) && !plain.chars().any(char::is_control), "{plain:?}");
    }
    let _ = AuditObject::new("file", &text);
});
