//! Bytes that are no messages.

use proptest::prelude::*;

use super::super::wire::{AuthRequest, Message};
use super::{decode, raw};
use crate::limits::{LOGIN_MESSAGE_BYTES_MAX, REPLICATION_MESSAGE_BYTES_MAX, SERVER_TEXT_BYTES_MAX};

#[test]
fn lengths_are_checked_before_the_bytes_come() {
    for (trusted, max) in [(false, LOGIN_MESSAGE_BYTES_MAX), (true, REPLICATION_MESSAGE_BYTES_MAX)] {
        let header = |length: usize| [&b"d"[..], &u32::try_from(length).unwrap().to_be_bytes()].concat();
        assert_eq!(decode(&header(max), 8, trusted), (vec![], None), "{max} bytes are waited for");
        let (_, error) = decode(&header(max + 1), 8, trusted);
        assert!(error.unwrap().what.contains("is the most"));
    }
    for length in [0_u32, 3, 0x8000_0000, u32::MAX] {
        let bytes = [&b"d"[..], &length.to_be_bytes()].concat();
        assert!(decode(&bytes, 8, true).1.is_some(), "{length}");
    }
}

#[test]
fn hostile_messages_are_refused() {
    for (tag, body) in [
        (b'W', &b""[..]),
        (b'W', b"\0\0"),
        (b'W', b"\0\0\x01"),
        (b'W', b"\0\0\0x"),
        (b'W', b"\0\xff\xff\0\0"),
        (b'G', b"\0\0\0"),
        (b'H', b""),
        (b'D', b""),
        (b'D', b"\0\x01"),
        (b'D', b"\0\x01\x7f\xff\xff\xff"),
        (b'D', b"\0\x01\0\0\0\x02x"),
        (b'D', b"\0\x01\0\0\0\x01xy"),
        (b'D', b"\xff\xff\0\0\0\0"),
        (b'T', b"\0\x01x"),
        (b'T', b"\0\x01x\0\0"),
        (b'T', b"\0\x01\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        (b'E', b""),
        (b'E', b"Mno end"),
        (b'E', b"Mx\0\0more"),
        (b'N', b"Mx\0"),
        (b'C', b"no end"),
        (b'S', b"one\0"),
        (b'S', b"\xff\0\xff\0"),
        (b'Z', b""),
        (b'Z', b"II"),
        (b'c', b"more"),
        (b'R', b""),
        (b'R', b"\0\0\0\x05abc"),
        (b'R', b"\0\0\0\x0aSCRAM"),
        (b'R', b"\0\0\0\x0a\xff\0\0"),
        (b'R', b"\0\0\0\x63"),
        (b'1', b""),
        (b't', b"\0\0"),
        (b'v', b"\0\0\0\0\0\0\0\0"),
        (b'H' + 128, b""),
        (0, b""),
    ] {
        let (messages, error) = decode(&raw(tag, body), 3, true);
        assert!(error.is_some(), "{:?} {body:?} became {messages:?}", char::from(tag));
    }
}

#[test]
fn good_messages_are_read() {
    let (messages, error) = decode(
        &[
            raw(b'W', b"\0\0\0"),
            raw(b'W', b"\0\0\x02\0\0\0\0"),
            raw(b'd', b"payload"),
            raw(b'D', b"\0\x02\xff\xff\xff\xff\0\0\0\x01x"),
            raw(b'R', b"\0\0\0\x07"),
        ]
        .concat(),
        1,
        true,
    );
    assert_eq!(error, None);
    assert_eq!(
        messages,
        [
            Message::CopyBoth,
            Message::CopyBoth,
            Message::CopyData("payload".into()),
            Message::Row(vec![None, Some("x".into())]),
            Message::Auth(AuthRequest::Unsupported("GSSAPI")),
        ]
    );
}

#[test]
fn texts_of_the_server_are_short_and_tame() {
    let body = [b"SFEHLER\0VERROR\0CXX000\0M\x1b[2Jbad\nword".as_slice(), &vec![b'x'; 100_000], b"\xff\0\0"].concat();
    let (messages, _) = decode(&raw(b'E', &body), 999, true);
    let Message::Error(error) = &messages[0] else { panic!("{messages:?}") };
    assert_eq!(error.severity, "ERROR");
    assert!(error.message.starts_with(" [2Jbad wordxxx") && error.message.len() <= SERVER_TEXT_BYTES_MAX + 3);
}

proptest! {
    /// Any bytes: messages or an error, the same ones however the network cuts them.
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400), piece in 1_usize..64, trusted: bool) {
        let whole = decode(&bytes, 4096, trusted);
        prop_assert_eq!(decode(&bytes, piece, trusted), whole);
    }

    /// The same with tags and lengths that hit.
    #[test]
    fn any_bodies(
        parts in proptest::collection::vec(
            (proptest::sample::select(&b"RSKZTDCENHWdcAIGv1"[..]), proptest::collection::vec(any::<u8>(), 0..40)), 0..12),
        piece in 1_usize..64,
    ) {
        let bytes: Vec<u8> = parts.iter().flat_map(|(tag, body)| raw(*tag, body)).collect();
        let whole = decode(&bytes, 4096, true);
        prop_assert_eq!(decode(&bytes, piece, true), whole);
    }
}
