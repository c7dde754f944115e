//! Bytes of a hostile server: as messages, as a login, as a stream of WAL and as a base backup.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use secrecy::SecretString;
use stonewal::format::{Lsn, Timeline};
use stonewal::limits::{NOTICES_MAX, REPLICATION_MESSAGE_BYTES_MAX, REPLICATION_READ_BYTES};
use stonewal::postgres::replication::base::core::{BaseCore, Style};
use stonewal::postgres::replication::login::{Binding, Credentials, Login};
use stonewal::postgres::replication::wal::core::{WalCore, WalEvent, WalStep};
use stonewal::postgres::replication::wire::{Decoder, Message};

/// Every message of these bytes, up to the first that is none.
fn messages(bytes: &[u8], trusted: bool) -> Vec<Message> {
    let mut decoder = Decoder::new();
    if trusted {
        decoder.logged_in();
    }
    let mut messages = Vec::new();
    for piece in bytes.chunks(97) {
        decoder.space().extend_from_slice(piece);
        assert!(decoder.pending() <= REPLICATION_MESSAGE_BYTES_MAX + REPLICATION_READ_BYTES);
        loop {
            match decoder.message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return messages,
            }
        }
    }
    messages
}

fn log_in(messages: &[Message], kind: u8) {
    let credentials = Credentials {
        user: "u".into(),
        password: (kind & 1 == 0).then(|| SecretString::from("secret")),
        binding: [Binding::Disable, Binding::Prefer, Binding::Require][usize::from(kind >> 1) % 3],
        end_point: (kind & 64 != 0).then(|| vec![7; 32]),
    };
    let required = credentials.binding == Binding::Require;
    let mut out = BytesMut::new();
    let mut login = Login::start(credentials, &[], &mut out).unwrap();
    for message in messages {
        match login.on(message.clone(), &mut out) {
            // Nobody who speaks without knowing our nonce can prove that he knows the password.
            Ok(ready) => assert!(!(ready && required), "let in without channel binding"),
            Err(_) => break,
        }
    }
}

fn stream(messages: &[Message]) {
    let mut core = WalCore::new(Timeline::new(1).unwrap(), Lsn::new(0x100_0000));
    let mut end = core.position();
    for message in messages {
        match core.on(message.clone()) {
            Ok(WalStep::Event(WalEvent::Data { start, bytes, .. })) => {
                assert_eq!(start, end);
                end = end.plus(bytes.len() as u64);
                assert_eq!(end, core.position());
            }
            Ok(WalStep::Event(WalEvent::TimelineEnded { next, .. })) => assert!(next.get() > 1),
            Ok(_) => {}
            Err(_) => return,
        }
    }
    core.on_end();
}

fn backup(messages: &[Message], style: Style) {
    let mut core = BaseCore::new(style, true);
    for message in messages {
        let Ok(_) = core.on(message.clone()) else { return };
        if core.is_complete() {
            assert!(core.stop().is_some() && core.start().is_some());
            assert_eq!(core.archive_bytes().len(), core.tablespaces().len());
        }
    }
    core.on_end();
    assert!(core.take_notices().len() <= NOTICES_MAX);
}

fuzz_target!(|input: &[u8]| {
    let Some((&kind, bytes)) = input.split_first() else { return };
    log_in(&messages(bytes, false), kind);
    let messages = messages(bytes, true);
    stream(&messages);
    backup(&messages, Style::OneCopy);
    backup(&messages, Style::CopyPerArchive);
});
