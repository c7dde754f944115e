//! Words and identifiers of the statements that pg_dump and pg_dumpall write.

/// One token: a word in lower case, an identifier or literal without its quotes, or another character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::postgres) enum Token {
    /// Unquoted; as written, which for pg_dumpall's identifiers is lower case already.
    Word(String),
    /// `"…"` with its quotes undone.
    Quoted(String),
    /// `'…'` (with its prefix left out), not undone: only passed over.
    Literal,
    /// Anything else.
    Mark(char),
}

impl Token {
    /// Whether it is this keyword.
    pub(in crate::postgres) fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// The object name it stands for.
    pub(in crate::postgres) fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name),
            _ => None,
        }
    }
}

/// Tokens of one statement, with where each begins in the text.
pub(in crate::postgres) fn tokens(statement: &str) -> Vec<(usize, Token)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = statement[at..].chars().next() {
        let rest = &statement[at..];
        let (token, length) = match c {
            c if c.is_whitespace() => (None, c.len_utf8()),
            '"' => {
                let length = quoted_length(rest, '"');
                let inner = rest[1..length].strip_suffix('"').unwrap_or(&rest[1..length]);
                (Some(Token::Quoted(inner.replace("\"\"", "\""))), length)
            }
            '\'' => (Some(Token::Literal), quoted_length(rest, '\'')),
            c if is_word(c) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (Some(Token::Word(rest[..length].to_owned())), length)
            }
            c => (Some(Token::Mark(c)), c.len_utf8()),
        };
        found.extend(token.map(|token| (at, token)));
        at += length;
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Bytes up to and with the closing quote; doubled quotes belong to the inside.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut rest = 1;
    while let Some(end) = text[rest..].find(quote) {
        rest += end + 1;
        if !text[rest..].starts_with(quote) {
            return rest;
        }
        rest += 1;
    }
    text.len()
}
