//! Streams that go wrong.

use bytes::{BufMut as _, Bytes, BytesMut};
use jiff::Timestamp;

use super::super::wal::core::{WalCore, WalEvent, WalStep, status};
use super::super::wire::Message;
use super::{columns, error, row};
use crate::format::{Lsn, Timeline};

const START: u64 = 0x100_0000;

fn timeline(number: u32) -> Timeline {
    Timeline::new(number).unwrap()
}

fn core() -> WalCore {
    WalCore::new(timeline(2), Lsn::new(START))
}

fn data(start: u64, bytes: &[u8]) -> Message {
    let mut body = vec![b'w'];
    body.put_u64(start);
    body.put_u64(u64::MAX);
    body.put_i64(0);
    body.extend_from_slice(bytes);
    Message::CopyData(body.into())
}

/// Takes the messages up to the first error or event that is no data.
fn play(core: &mut WalCore, messages: Vec<Message>) -> Result<Option<WalStep>, String> {
    for message in messages {
        match core.on(message).map_err(|e| e.what)? {
            WalStep::More | WalStep::Event(WalEvent::Data { .. }) => {}
            step => return Ok(Some(step)),
        }
    }
    Ok(None)
}

#[test]
fn bytes_come_in_order_without_a_gap() {
    let mut core = core();
    let WalStep::Event(WalEvent::Data { start, bytes, server_time, .. }) = core.on(data(START, b"abc")).unwrap() else {
        panic!("no data");
    };
    assert_eq!((start.get(), &bytes[..], core.position().get()), (START, &b"abc"[..], START + 3));
    assert_eq!(server_time, "2000-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
    for start in [START, START + 2, START + 4, 0, u64::MAX] {
        let error = core.on(data(start, b"x")).unwrap_err();
        assert!(error.what.contains("comes next"), "{error}");
    }
    assert!(core.on(data(START + 3, b"x")).is_ok());
    let mut last = WalCore::new(timeline(1), Lsn::new(u64::MAX));
    assert!(last.on(data(u64::MAX, b"x")).is_err());
}

#[test]
fn messages_that_are_none() {
    let mut times = vec![b'w'];
    times.put_u64(START);
    times.put_u64(START);
    times.put_i64(i64::MAX);
    for body in [&b""[..], b"w", b"w1234567", b"k", b"k12345678", b"k1234567812345678", b"x", b"\0", &times] {
        assert!(core().on(Message::CopyData(Bytes::copy_from_slice(body))).is_err(), "{body:?}");
    }
    for message in [row(&[None]), columns(), Message::Ready, Message::CopyOut, Message::CopyBoth] {
        assert!(core().on(message).is_err());
    }
}

#[test]
fn a_timeline_ends_only_with_a_sensible_successor() {
    let ending = |next: Option<&str>, at: Option<&str>| {
        vec![
            data(START, b"x"),
            Message::CopyDone,
            columns(),
            row(&[next, at]),
            Message::Complete,
            Message::Complete,
            Message::Ready,
        ]
    };
    let mut core = core();
    let step = play(&mut core, ending(Some("3"), Some("0/1000001"))).unwrap().unwrap();
    assert_eq!(step, WalStep::Event(WalEvent::TimelineEnded { next: timeline(3), at: Lsn::new(START + 1) }));
    assert!(core.is_ready() && core.is_over());
    for (next, at) in [
        (None, None),
        (Some("3"), None),
        (Some("2"), Some("0/1")),
        (Some("1"), Some("0/1")),
        (Some("0"), Some("0/1")),
        (Some("x"), Some("0/1")),
        (Some("4294967296"), Some("0/1")),
        (Some("3"), Some("1")),
    ] {
        assert!(play(&mut self::core(), ending(next, at)).is_err(), "{next:?} {at:?}");
    }
    let mut twice = ending(Some("3"), Some("0/1"));
    twice.insert(4, row(&[Some("4"), Some("0/1")]));
    assert!(play(&mut self::core(), twice).is_err());
    // Data after the server said that it is done.
    assert!(play(&mut self::core(), vec![Message::CopyDone, data(START, b"x")]).is_err());
    assert!(play(&mut self::core(), vec![Message::CopyDone, Message::CopyDone]).is_err());
}

#[test]
fn we_owe_an_end_for_an_end() {
    let mut core = core();
    assert!(!core.owes_done());
    core.on(Message::CopyDone).unwrap();
    assert!(core.owes_done());
    core.done_sent();
    assert!(!core.owes_done());
}

#[test]
fn ends_of_the_connection_are_told_apart() {
    let mut lost = core();
    play(&mut lost, vec![data(START, b"x")]).unwrap();
    assert_eq!(lost.on_end(), None, "nothing explains it");
    let mut closing = core();
    play(&mut closing, vec![Message::CopyDone]).unwrap();
    assert_eq!(closing.on_end(), None, "the outcome is missing");
    let mut shut_down = core();
    play(&mut shut_down, vec![data(START, b"x"), Message::Complete]).unwrap();
    assert_eq!(shut_down.on_end(), Some(WalStep::Event(WalEvent::Ended)));
    let mut failed = core();
    play(&mut failed, vec![error("57P01")]).unwrap();
    assert!(matches!(failed.on_end(), Some(WalStep::Failed(e)) if e.code == "57P01"));
    // With the connection left, the error comes when it is ready again.
    let mut refused = core();
    let step = play(&mut refused, vec![error("58P01"), error("other"), Message::Ready]).unwrap().unwrap();
    assert!(matches!(step, WalStep::Failed(e) if e.code == "58P01"));
    assert!(refused.is_ready());
}

#[test]
fn a_status_is_34_bytes_of_copy_data() {
    let mut out = BytesMut::new();
    let now = "2000-01-01T00:00:01Z".parse().unwrap();
    status(Lsn::new(3), Lsn::new(2), Lsn::new(1), now, true, &mut out).unwrap();
    let mut expected = b"d\0\0\0\x26r".to_vec();
    for value in [3, 2, 1, 1_000_000] {
        expected.put_u64(value);
    }
    expected.push(1);
    assert_eq!(&out[..], &expected);
}
