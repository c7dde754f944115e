//! The protocol core against servers that break it.

mod base;
mod login;
mod wal;
mod wire;

use bytes::{BufMut as _, Bytes};

use super::server_message::ServerMessage;
use super::wire::{Decoder, Malformed, Message};

/// One message as it stands on the wire.
fn raw(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.put_u32(u32::try_from(body.len() + 4).unwrap());
    bytes.extend_from_slice(body);
    bytes
}

/// Everything that these bytes decode to, fed in pieces of `piece` bytes, and what is wrong with them if anything is.
fn decode(bytes: &[u8], piece: usize, trusted: bool) -> (Vec<Message>, Option<Malformed>) {
    let mut decoder = Decoder::new();
    if trusted {
        decoder.logged_in();
    }
    let mut messages = Vec::new();
    for piece in bytes.chunks(piece) {
        decoder.space().extend_from_slice(piece);
        loop {
            match decoder.message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

fn row(values: &[Option<&str>]) -> Message {
    Message::Row(values.iter().map(|value| value.map(|text| Bytes::copy_from_slice(text.as_bytes()))).collect())
}

fn columns() -> Message {
    Message::Columns(vec!["x".into()])
}

fn error(code: &str) -> Message {
    Message::Error(Box::new(ServerMessage { code: code.into(), ..ServerMessage::default() }))
}
