//! Errors and notices in the server's own words (PostgreSQL docs 55.8 "Error and Notice Message Fields").

use fallible_iterator::FallibleIterator as _;
use postgres_protocol::message::backend::ErrorFields;

use super::wire::Malformed;
use crate::limits::SERVER_TEXT_BYTES_MAX;

/// An error, warning or notice of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerMessage {
    /// `ERROR`, `FATAL`, `WARNING`, … ; not translated where the server is of this century.
    pub severity: String,
    /// SQLSTATE (docs appendix A).
    pub code: String,
    /// What happened, in the server's language.
    pub message: String,
    /// More of it.
    pub detail: Option<String>,
    /// The server's own advice.
    pub hint: Option<String>,
    /// Function in the server's source that said so. Not translated, which makes it good to tell messages apart.
    pub routine: Option<String>,
}

/// A warning or notice that came along with the data.
pub type Notice = ServerMessage;

impl ServerMessage {
    pub(super) fn read(mut fields: ErrorFields<'_>) -> Result<Self, Malformed> {
        let mut message = Self::default();
        let mut severity = None;
        while let Some(field) = fields.next()? {
            let text = || text(field.value_bytes());
            match field.type_() {
                b'S' => severity = Some(text()),
                b'V' => message.severity = text(),
                b'C' => message.code = text(),
                b'M' => message.message = text(),
                b'D' => message.detail = Some(text()),
                b'H' => message.hint = Some(text()),
                b'R' => message.routine = Some(text()),
                _ => {}
            }
        }
        if message.severity.is_empty() {
            message.severity = severity.unwrap_or_default();
        }
        Ok(message)
    }

    /// Whether it warns.
    pub fn is_warning(&self) -> bool {
        self.severity == "WARNING"
    }
}

impl std::fmt::Display for ServerMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, " ({detail})")?;
        }
        write!(f, " [{}]", self.code)
    }
}

/// Shortened, one line, and without what could move the cursor of a terminal.
fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SERVER_TEXT_BYTES_MAX)]);
    text.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
