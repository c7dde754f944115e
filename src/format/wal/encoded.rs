//! Bytes in JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::format::Error;

/// Bytes that are base64 text in JSON (RFC 4648, section 4, with padding).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Base64(pub Vec<u8>);

impl From<Base64> for String {
    fn from(bytes: Base64) -> Self {
        STANDARD.encode(bytes.0)
    }
}

impl TryFrom<String> for Base64 {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        let malformed = |_| Error::Malformed { what: "base64 text", why: "it is none".into() };
        STANDARD.decode(text).map(Self).map_err(malformed)
    }
}
