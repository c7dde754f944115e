//! Bytes of a server taken apart into messages (PostgreSQL docs 55.7 "Message Formats"), sans I/O.
//!
//! Lengths are checked before anything is set aside for them: a server, or whatever answers in its place, cannot make us
//! hold more than [`REPLICATION_MESSAGE_BYTES_MAX`] and one read.

use bytes::{Buf as _, Bytes, BytesMut};
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::message::backend;

use super::server_message::ServerMessage;
use crate::limits::{LOGIN_MESSAGE_BYTES_MAX, REPLICATION_MESSAGE_BYTES_MAX, REPLICATION_READ_BYTES};

/// The bytes break the protocol; the connection is of no more use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Malformed {
    /// What is wrong with them.
    pub what: String,
}

impl Malformed {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

impl From<std::io::Error> for Malformed {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}

/// What the server asks for, or says, during the login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthRequest {
    /// We are in.
    Ok,
    /// The password as it is.
    Cleartext,
    /// MD5 of password, user and this salt.
    Md5([u8; 4]),
    /// SASL with one of these mechanisms.
    Sasl(Vec<String>),
    /// The server's first message of SCRAM.
    SaslContinue(Bytes),
    /// The server's last message of SCRAM.
    SaslFinal(Bytes),
    /// A method that we do not speak.
    Unsupported(&'static str),
}

/// One message of the server. Payloads are slices of the read buffer: keeping one keeps the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Login.
    Auth(AuthRequest),
    /// A setting of the session: name and value.
    Parameter(String, String),
    /// Titles of the columns of a result.
    Columns(Vec<String>),
    /// One row of a result; `None` is NULL.
    Row(Vec<Option<Bytes>>),
    /// A result or a command is complete.
    Complete,
    /// The server waits for a command.
    Ready,
    /// A command failed.
    Error(Box<ServerMessage>),
    /// Something worth telling.
    Notice(Box<ServerMessage>),
    /// The server will send copy data.
    CopyOut,
    /// Both sides will send copy data.
    CopyBoth,
    /// A piece of copy data.
    CopyData(Bytes),
    /// The server's copy data ends.
    CopyDone,
    /// Nothing that matters to us.
    Other,
}

impl Message {
    /// What it is, for error texts: never its contents.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Auth(_) => "an authentication request",
            Self::Parameter(..) => "a parameter",
            Self::Columns(_) => "a result's columns",
            Self::Row(_) => "a row",
            Self::Complete => "the end of a command",
            Self::Ready => "readiness for a command",
            Self::Error(_) => "an error",
            Self::Notice(_) => "a notice",
            Self::CopyOut => "the start of a copy",
            Self::CopyBoth => "the start of streaming",
            Self::CopyData(_) => "copy data",
            Self::CopyDone => "the end of a copy",
            Self::Other => "another message",
        }
    }
}

/// Collects bytes and hands out messages.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
    /// Whether the login is over, which allows longer messages.
    trusted: bool,
}

impl Decoder {
    /// An empty decoder, for a connection that has not logged in.
    pub fn new() -> Self {
        Self::default()
    }

    /// The login succeeded.
    pub fn logged_in(&mut self) {
        self.trusted = true;
    }

    /// Where to put the next bytes read, behind those that are there. Has room.
    pub fn space(&mut self) -> &mut BytesMut {
        // A quarter left is worth a read; less would make many small ones.
        if self.buffer.capacity() - self.buffer.len() < REPLICATION_READ_BYTES / 4 {
            self.buffer.reserve(REPLICATION_READ_BYTES);
        }
        &mut self.buffer
    }

    /// Bytes that are not yet a message.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// The next whole message, or `None` until more bytes are there.
    pub fn message(&mut self) -> Result<Option<Message>, Malformed> {
        let Some(header) = backend::Header::parse(&self.buffer)? else { return Ok(None) };
        let max = if self.trusted { REPLICATION_MESSAGE_BYTES_MAX } else { LOGIN_MESSAGE_BYTES_MAX };
        let length = usize::try_from(header.len()).unwrap_or(usize::MAX);
        if length > max {
            let tag = char::from(header.tag()).escape_default();
            return Err(Malformed::new(format!("a message {tag} of {length} bytes, where {max} is the most")));
        }
        if self.buffer.len() <= length {
            return Ok(None);
        }
        if header.tag() == b'W' {
            let mut body = self.buffer.split_to(length + 1).freeze().slice(5..);
            return copy_both(&mut body).map(|()| Some(Message::CopyBoth));
        }
        let message = backend::Message::parse(&mut self.buffer)?;
        message.map(convert).transpose()
    }
}

/// CopyBothResponse: overall format, then one format for each column.
fn copy_both(body: &mut Bytes) -> Result<(), Malformed> {
    let short = || Malformed::new("a CopyBothResponse of the wrong length");
    let _format = body.try_get_u8().map_err(|_| short())?;
    let columns = body.try_get_u16().map_err(|_| short())?;
    if body.remaining() == usize::from(columns) * 2 { Ok(()) } else { Err(short()) }
}

fn convert(message: backend::Message) -> Result<Message, Malformed> {
    use backend::Message as M;
    Ok(match message {
        M::AuthenticationOk => Message::Auth(AuthRequest::Ok),
        M::AuthenticationCleartextPassword => Message::Auth(AuthRequest::Cleartext),
        M::AuthenticationMd5Password(body) => Message::Auth(AuthRequest::Md5(body.salt())),
        M::AuthenticationSasl(body) => {
            Message::Auth(AuthRequest::Sasl(body.mechanisms().map(|name| Ok(name.to_owned())).collect()?))
        }
        M::AuthenticationSaslContinue(body) => {
            Message::Auth(AuthRequest::SaslContinue(Bytes::copy_from_slice(body.data())))
        }
        M::AuthenticationSaslFinal(body) => Message::Auth(AuthRequest::SaslFinal(Bytes::copy_from_slice(body.data()))),
        M::AuthenticationGss | M::AuthenticationGssContinue(_) => Message::Auth(AuthRequest::Unsupported("GSSAPI")),
        M::AuthenticationSspi => Message::Auth(AuthRequest::Unsupported("SSPI")),
        M::AuthenticationKerberosV5 => Message::Auth(AuthRequest::Unsupported("Kerberos V5")),
        M::AuthenticationScmCredential => Message::Auth(AuthRequest::Unsupported("SCM credentials")),
        M::ParameterStatus(body) => Message::Parameter(body.name()?.to_owned(), body.value()?.to_owned()),
        M::RowDescription(body) => Message::Columns(body.fields().map(|field| Ok(field.name().to_owned())).collect()?),
        M::DataRow(body) => {
            let bytes = body.buffer_bytes();
            Message::Row(body.ranges().map(|range| Ok(range.map(|range| bytes.slice(range)))).collect()?)
        }
        M::CommandComplete(_) => Message::Complete,
        M::ReadyForQuery(_) => Message::Ready,
        M::ErrorResponse(body) => Message::Error(Box::new(ServerMessage::read(body.fields())?)),
        M::NoticeResponse(body) => Message::Notice(Box::new(ServerMessage::read(body.fields())?)),
        M::CopyOutResponse(_) => Message::CopyOut,
        M::CopyData(body) => Message::CopyData(body.into_bytes()),
        M::CopyDone => Message::CopyDone,
        M::CopyInResponse(_) => return Err(Malformed::new("the server wants a copy from us")),
        M::BackendKeyData(_) | M::NotificationResponse(_) | M::EmptyQueryResponse => Message::Other,
        _ => return Err(Malformed::new("an answer to a question that we never ask")),
    })
}
