//! The login of a replication session (PostgreSQL docs 55.2.1 and 55.3), sans I/O: the server's messages in, ours out.
//!
//! A server that asked for SCRAM has to prove in turn that it knows the password; one that says "welcome" before has not.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::frontend;
use secrecy::{ExposeSecret as _, SecretString};

use super::server_message::ServerMessage;
use super::wire::{AuthRequest, Malformed, Message};
use crate::limits::PARAMETERS_MAX;

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The server said no.
    #[error("{0}")]
    Server(Box<ServerMessage>),
    /// We will not go on: no password, a method that we do not speak or that is too weak, a server that proves nothing.
    #[error("{0}")]
    Us(String),
    /// Not the protocol.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Whether the login is bound to the certificate of the server (`channel_binding`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// Never.
    Disable,
    /// Where both sides can.
    Prefer,
    /// Or no login.
    Require,
}

/// What to log in with.
#[derive(Debug)]
pub struct Credentials {
    /// The role.
    pub user: String,
    /// Its password, if we have one.
    pub password: Option<SecretString>,
    /// What the configuration says.
    pub binding: Binding,
    /// `tls-server-end-point` of the connection (RFC 5929), if it has one.
    pub end_point: Option<Vec<u8>>,
}

enum Step {
    Asked,
    Scram { exchange: sasl::ScramSha256, bound: bool, updated: bool },
    Proven { bound: bool },
    In,
}

/// The state of one login.
pub struct Login {
    credentials: Credentials,
    step: Step,
    parameters: BTreeMap<String, String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("credentials", &self.credentials).finish_non_exhaustive()
    }
}

impl Login {
    /// Begins a login: puts the startup message into `out`. `parameters` are further ones, such as `application_name`.
    pub fn start(credentials: Credentials, parameters: &[(&str, &str)], out: &mut BytesMut) -> Result<Self, Malformed> {
        let user = [("user", credentials.user.as_str())];
        frontend::startup_message(user.into_iter().chain(parameters.iter().copied()), out)?;
        Ok(Self { credentials, step: Step::Asked, parameters: BTreeMap::new() })
    }

    /// Takes one message; what is to be sent is put into `out`. True when the session is ready.
    pub fn on(&mut self, message: Message, out: &mut BytesMut) -> Result<bool, Refused> {
        match (message, &self.step) {
            (Message::Error(error), _) => Err(Refused::Server(error)),
            (Message::Notice(_) | Message::Other, _) => Ok(false),
            (Message::Parameter(name, value), _) => {
                if self.parameters.len() < PARAMETERS_MAX {
                    self.parameters.insert(name, value);
                }
                Ok(false)
            }
            (Message::Auth(AuthRequest::Ok), _) => self.welcome().map(|()| false),
            (Message::Auth(request), _) => self.answer(request, out).map(|()| false),
            (Message::Ready, Step::In) => Ok(true),
            (other, _) => Err(Malformed::new(format!("{} during the login", other.kind())).into()),
        }
    }

    /// The settings that the server reported.
    pub fn into_parameters(self) -> BTreeMap<String, String> {
        self.parameters
    }

    fn welcome(&mut self) -> Result<(), Refused> {
        let bound = match &self.step {
            Step::Asked => false,
            Step::Proven { bound } => *bound,
            Step::Scram { .. } => return Err(us("the server lets us in without proof that it knows the password")),
            Step::In => return Err(Malformed::new("a second welcome").into()),
        };
        if self.credentials.binding == Binding::Require && !bound {
            return Err(us("the server lets us in without channel binding, which is required"));
        }
        self.step = Step::In;
        Ok(())
    }

    fn answer(&mut self, request: AuthRequest, out: &mut BytesMut) -> Result<(), Refused> {
        let required = self.credentials.binding == Binding::Require;
        match (request, &mut self.step) {
            (AuthRequest::Sasl(mechanisms), Step::Asked) => self.begin_scram(&mechanisms, out),
            (AuthRequest::SaslContinue(data), Step::Scram { exchange, updated, .. }) if !*updated => {
                exchange.update(&data).map_err(|e| us(&format!("SCRAM: {e}")))?;
                *updated = true;
                Ok(frontend::sasl_response(exchange.message(), out).map_err(Malformed::from)?)
            }
            (AuthRequest::SaslFinal(data), Step::Scram { exchange, bound, updated: true }) => {
                finish_scram(exchange, &data)?;
                self.step = Step::Proven { bound: *bound };
                Ok(())
            }
            (AuthRequest::Unsupported(method), _) => {
                Err(us(&format!("the server asks for {method}, which is not supported")))
            }
            (AuthRequest::Cleartext | AuthRequest::Md5(_), Step::Asked) if required => {
                Err(us("the server asks for a login without channel binding, which is required"))
            }
            (AuthRequest::Cleartext, Step::Asked) => {
                let password = self.password()?;
                Ok(frontend::password_message(password.expose_secret().as_bytes(), out).map_err(Malformed::from)?)
            }
            (AuthRequest::Md5(salt), Step::Asked) => {
                let password = self.password()?;
                let hash = md5_hash(self.credentials.user.as_bytes(), password.expose_secret().as_bytes(), salt);
                Ok(frontend::password_message(hash.as_bytes(), out).map_err(Malformed::from)?)
            }
            _ => Err(Malformed::new("an authentication request out of turn").into()),
        }
    }

    fn begin_scram(&mut self, mechanisms: &[String], out: &mut BytesMut) -> Result<(), Refused> {
        let offers = |name: &str| mechanisms.iter().any(|offered| offered == name);
        let possible = self.credentials.end_point.clone().filter(|_| self.credentials.binding != Binding::Disable);
        let (name, binding, bound) = match possible {
            Some(hash) if offers(sasl::SCRAM_SHA_256_PLUS) => {
                (sasl::SCRAM_SHA_256_PLUS, sasl::ChannelBinding::tls_server_end_point(hash), true)
            }
            _ if self.required() => return Err(us("channel binding is required, and this connection has none")),
            _ if !offers(sasl::SCRAM_SHA_256) => {
                return Err(us(&format!(
                    "the server asks for {}, which is not supported",
                    mechanisms.join(", ").escape_debug()
                )));
            }
            // We could, the server says that it cannot: it will notice if somebody in between made that up.
            Some(_) => (sasl::SCRAM_SHA_256, sasl::ChannelBinding::unrequested(), false),
            None => (sasl::SCRAM_SHA_256, sasl::ChannelBinding::unsupported(), false),
        };
        let exchange = sasl::ScramSha256::new(self.password()?.expose_secret().as_bytes(), binding);
        frontend::sasl_initial_response(name, exchange.message(), out).map_err(Malformed::from)?;
        self.step = Step::Scram { exchange, bound, updated: false };
        Ok(())
    }

    fn password(&self) -> Result<&SecretString, Refused> {
        self.credentials.password.as_ref().ok_or_else(|| us("the server asks for a password, and none is set"))
    }

    fn required(&self) -> bool {
        self.credentials.binding == Binding::Require
    }
}

fn finish_scram(exchange: &mut sasl::ScramSha256, data: &Bytes) -> Result<(), Refused> {
    exchange.finish(data).map_err(|e| us(&format!("the server does not prove that it knows the password: {e}")))
}

fn us(what: &str) -> Refused {
    Refused::Us(what.to_owned())
}
