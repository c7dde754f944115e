//! A replication connection: opened as the settings say, one command at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use postgres_protocol::message::frontend;

use super::super::conninfo::ConnInfo;
use super::super::tls::Check;
use super::super::{Error, Result, connect};
use super::failure::{Failure, Fault};
use super::link::Link;
use super::login::{self, Binding, Credentials, Login};
use super::server_message::ServerMessage;
use super::transport;
use super::wire::{Malformed, Message};
use crate::limits::{ANSWER_BYTES_MAX, REPLICATION_ANSWER_SECONDS};

/// A connection of a role with `REPLICATION` to the server as a whole. Dropping it closes it.
#[derive(Debug)]
pub struct Client {
    link: Link,
    info: ConnInfo,
    parameters: BTreeMap<String, String>,
    version: u32,
    encrypted: bool,
    /// Whether an answer was not read to its end, so that the next one cannot be told from it.
    out_of_step: bool,
}

/// A stream or backup that did not begin; the connection may still be good. Turns into its [`Error`] with `?`.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub error: Error,
    /// The connection, if it can be used on.
    pub client: Option<Box<Client>>,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        refused.error
    }
}

/// Rows of an answer.
pub(super) type Rows = Vec<Vec<Option<Bytes>>>;

impl Client {
    /// Connects to the first endpoint that fits. The database of the settings does not matter; the password file is
    /// searched for `replication` first, as for PostgreSQL's own programs. Safe to drop at any point.
    pub async fn connect(info: &ConnInfo, application_name: &str) -> Result<Self> {
        connect::connect(info, application_name).await
    }

    /// The settings narrowed down to the server that answered.
    pub fn info(&self) -> &ConnInfo {
        &self.info
    }

    /// Whether the connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// `server_version_num`, such as 150018.
    pub fn server_version_num(&self) -> u32 {
        self.version
    }

    /// A setting that the server reported when we logged in, such as `server_version` or (14 and newer) `in_hot_standby`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    async fn log_in(info: &ConnInfo, application_name: &str, opened: transport::Opened) -> Result<Self> {
        let encrypted = opened.encrypted;
        let credentials = Credentials {
            user: info.user().to_owned(),
            password: password(info)?,
            binding: match info.param("channel_binding") {
                Some("disable") => Binding::Disable,
                Some("require") => Binding::Require,
                _ => Binding::Prefer,
            },
            end_point: opened.end_point,
        };
        let mut parameters =
            vec![("database", "replication"), ("replication", "true"), ("application_name", application_name)];
        parameters.push(("client_encoding", "UTF8"));
        parameters.extend(info.param("options").map(|options| ("options", options)));
        let mut link = Link::new(opened.stream, info.redacted());
        let mut first = BytesMut::new();
        let mut login = Login::start(credentials, &parameters, &mut first).map_err(|e| link.reader.malformed(&e))?;
        link.writer.send(|out| added(out, &first)).await?;
        loop {
            let message = link.reader.next().await?;
            let message = message
                .ok_or_else(|| connect::unreachable(info, "the server closed the connection during the login"))?;
            let mut answer = BytesMut::new();
            let ready = login.on(message, &mut answer).map_err(|e| refusal(info, e))?;
            if !answer.is_empty() {
                link.writer.send(|out| added(out, &answer)).await?;
            }
            if ready {
                break;
            }
        }
        link.reader.logged_in();
        let parameters = login.into_parameters();
        let version = parameters.get("server_version").and_then(|text| version_num(text));
        let version = version.ok_or_else(|| Error::Protocol {
            target: info.redacted(),
            what: "the server does not report its version".into(),
        })?;
        if version < 130_000 {
            let what =
                format!("PostgreSQL {} is too old: 13 is the oldest that can be streamed from", version / 10_000);
            return Err(Error::Unsupported { what });
        }
        Ok(Self { link, info: info.clone(), parameters, version, encrypted, out_of_step: false })
    }

    /// Sends a command. From here to the end of its answer the connection is good for nothing else.
    pub(super) async fn send(&mut self, command: &str) -> Result<()> {
        if self.out_of_step {
            return Err(self.link.reader.lost("an earlier command was not read to its end"));
        }
        self.out_of_step = true;
        self.link.writer.send(|out| Ok(frontend::query(command, out)?)).await
    }

    /// A short command and the rows of its answer. `action` is for error texts.
    pub(super) async fn ask(&mut self, action: &str, command: &str) -> Result<Rows> {
        let answered = async {
            self.send(command).await?;
            self.answer(action).await
        };
        match tokio::time::timeout(Duration::from_secs(REPLICATION_ANSWER_SECONDS), answered).await {
            Ok(rows) => rows,
            Err(_) => Err(self.link.reader.lost(&format!("no answer within {REPLICATION_ANSWER_SECONDS} s"))),
        }
    }

    async fn answer(&mut self, action: &str) -> Result<Rows> {
        let (mut rows, mut bytes, mut error) = (Rows::new(), 0, None);
        loop {
            let next = self.link.reader.next().await;
            match next {
                Ok(Some(Message::Row(row))) => {
                    bytes += 16 + row.iter().map(|value| 16 + value.as_ref().map_or(0, Bytes::len)).sum::<usize>();
                    if bytes > ANSWER_BYTES_MAX {
                        return Err(self.malformed(&Malformed::new("an answer without end")));
                    }
                    rows.push(row);
                }
                Ok(Some(Message::Error(e))) => error = Some(*e),
                Ok(Some(Message::Ready)) => {
                    self.out_of_step = false;
                    return error.map_or(Ok(rows), |error| Err(failed(action, error)));
                }
                Ok(Some(
                    Message::Columns(_)
                    | Message::Complete
                    | Message::Notice(_)
                    | Message::Parameter(..)
                    | Message::Other,
                )) => {}
                Ok(Some(other)) => {
                    return Err(self.malformed(&Malformed::new(format!("{} as an answer", other.kind()))));
                }
                // The last words before the end say more than the end.
                Ok(None) | Err(Error::Lost { .. }) if error.is_some() => {
                    return Err(failed(action, error.unwrap_or_default()));
                }
                Ok(None) => return Err(self.link.reader.lost("the server closed it")),
                Err(e) => return Err(e),
            }
        }
    }

    pub(super) fn malformed(&mut self, error: &Malformed) -> Error {
        self.link.reader.malformed(error)
    }

    pub(super) fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// The answer was read to its end.
    pub(super) fn in_step(&mut self) {
        self.out_of_step = false;
    }

    /// The client again, if it can be used on.
    pub(super) fn refused(self, error: Error) -> Refused {
        Refused { error, client: (!self.out_of_step).then(|| Box::new(self)) }
    }
}

impl connect::Opening for Client {
    async fn open(info: &ConnInfo, application_name: &str, check: Option<Check>) -> Result<Self> {
        let [endpoint] = info.endpoints() else { return Err(connect::unreachable(info, "more than one endpoint")) };
        let opened = transport::open(info, endpoint, check).await?;
        Self::log_in(info, application_name, opened).await
    }

    async fn fits(&mut self, attrs: &str) -> Result<bool> {
        // Before 14 the server does not report it, but a standby is always read-only.
        let standby = match self.parameter("in_hot_standby") {
            Some(value) => value == "on",
            None if attrs == "any" => return Ok(true),
            None => self.show("transaction_read_only").await? == "on",
        };
        Ok(match attrs {
            "primary" => !standby,
            "standby" => standby,
            "read-write" => self.show("transaction_read_only").await? == "off",
            "read-only" => self.show("transaction_read_only").await? == "on",
            _ => true,
        })
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of Writer::send")]
fn added(out: &mut BytesMut, bytes: &BytesMut) -> Result<(), Malformed> {
    out.extend_from_slice(bytes);
    Ok(())
}

/// The password file may have a line for `replication` (docs 27.2.5), or one for the database of the settings.
fn password(info: &ConnInfo) -> Result<Option<secrecy::SecretString>> {
    let Some(endpoint) = info.endpoints().first() else { return Ok(None) };
    match info.with_dbname("replication").password_for(endpoint)? {
        Some(password) => Ok(Some(password)),
        None => info.password_for(endpoint),
    }
}

/// `server_version` as a number: `15.18 (Debian …)`, `18beta1`, `17devel`.
fn version_num(text: &str) -> Option<u32> {
    let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let major = parts.next()?.ok().filter(|major| (10..1000).contains(major))?;
    let minor = if text.contains('.') { parts.next().and_then(Result::ok).unwrap_or(0) } else { 0 };
    Some(major * 10_000 + minor.min(9999))
}

pub(super) fn failed(action: &str, error: ServerMessage) -> Error {
    Error::Replication { action: action.to_owned(), failure: Box::new(Failure::new(error, Vec::new())) }
}

/// What a refused login means.
fn refusal(info: &ConnInfo, refused: login::Refused) -> Error {
    let target = info.redacted();
    let error = match refused {
        login::Refused::Us(what) => return Error::Authentication { target, what },
        login::Refused::Malformed(e) => return Error::Protocol { target, what: e.what },
        login::Refused::Server(error) => error,
    };
    let failure = Failure::new(*error, Vec::new());
    let what = failure.error.to_string();
    match (&failure.fault, failure.error.code.as_str()) {
        (Fault::NoHbaEntry | Fault::RoleNotAllowed | Fault::NoWalSender, _) => {
            Error::Replication { action: format!("log in as {target} for replication"), failure: Box::new(failure) }
        }
        (_, code) if code.starts_with("53") || code.starts_with("57P") => Error::Busy { target, what },
        (_, "42501") => Error::Denied { action: format!("connect to {target}"), what },
        _ => Error::Authentication { target, what },
    }
}

#[cfg(test)]
mod tests {
    use super::version_num;

    #[test]
    fn versions() {
        for (text, number) in [
            ("15.18 (Debian 15.18-0+deb12u1)", Some(150_018)),
            ("18beta1", Some(180_000)),
            ("17devel", Some(170_000)),
            ("13.23", Some(130_023)),
            ("", None),
            ("x", None),
            ("99999999999", None),
        ] {
            assert_eq!(version_num(text), number, "{text}");
        }
    }
}
