//! Bytes as evidence of a drill: raw, as a signed payload, and as a change to genuine evidence.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stonewal::format::evidence::Evidence;
use stonewal::format::signed::Purpose;
use stonewal_fuzz::{changed, signed, writer};

const GENUINE: &[u8] = include_bytes!("../../../tests/vectors/evidence/passed.bin");

/// What is read is written the same way, and says nothing else then.
fn read(bytes: &[u8]) -> bool {
    let trusted = [*writer().public()];
    let Ok(evidence) = Evidence::decode(bytes, &trusted) else { return false };
    let again = evidence.encode(writer().public(), |message| writer().sign(message)).unwrap();
    assert_eq!(Evidence::decode(&again, &trusted).unwrap(), evidence);
    true
}

fuzz_target!(|input: &[u8]| {
    assert!(!read(input), "evidence was forged");
    read(&signed(Purpose::Evidence, input));
    assert!(read(&signed(Purpose::Evidence, &changed(GENUINE, &[]))), "the evidence that is changed is genuine");
    read(&signed(Purpose::Evidence, &changed(GENUINE, input)));
    assert!(!Evidence::text(&String::from_utf8_lossy(input)).chars().any(char::is_control));
});
