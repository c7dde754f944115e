//! Reading SQL text that pg_dump and pg_dumpall write: where statements begin and end, and where COPY data lies.

mod body;
pub(super) mod names;

use body::Body;

/// What one step of the [`Lexer`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Between tokens of a statement.
    Plain,
    /// After one `-`.
    Dash,
    /// After one `/`.
    Slash,
    LineComment,
    /// Depth, and whether the last byte may begin or end a comment mark.
    BlockComment(u32, u8),
    /// `'…'`; the flag is set when backslash escapes (`E'…'`).
    Quote(bool),
    /// After a backslash in `E'…'`.
    QuoteEscape,
    Identifier,
    /// Reading the tag of an opening `$tag$`.
    DollarTag,
    /// Inside `$tag$…$tag$`; how many bytes of the closing tag have been matched.
    Dollar(usize),
    /// A backslash command of psql, up to the end of the line.
    Meta,
}

/// Byte by byte through SQL. `standard_conforming_strings` is on, as in everything pg_dump writes.
#[derive(Debug)]
pub(super) struct Lexer {
    state: State,
    tag: Vec<u8>,
    /// The byte before this one, in plain state: decides what `'` and `$` mean.
    before: u8,
    line_start: bool,
    /// Open parentheses: a rule has several statements in them.
    depth: u32,
    body: Body,
}

impl Default for Lexer {
    fn default() -> Self {
        Self { state: State::Plain, tag: Vec::new(), before: b' ', line_start: true, depth: 0, body: Body::default() }
    }
}

/// What a byte was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Part of a statement, or white space around it.
    Text,
    /// The second byte of a comment's opening mark; the first was reported as [`Seen::Text`].
    CommentStart,
    /// Further part of a comment.
    Comment,
    /// Inside quotes of any kind.
    Quoted,
    /// Part of a psql command.
    Meta,
    /// The semicolon that ends a statement.
    End,
}

impl Lexer {
    /// Whether nothing is open: no quote, no comment.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.state, State::Plain | State::Dash | State::Slash)
    }

    /// How many of the next bytes surely stay inside the string, body or comment that is open: they need no look.
    pub(super) fn run_length(&self, bytes: &[u8]) -> usize {
        let stop = match self.state {
            State::Quote(false) => b'\'',
            State::Dollar(0) => b'$',
            State::LineComment => b'\n',
            _ => return 0,
        };
        memchr::memchr(stop, bytes).unwrap_or(bytes.len())
    }

    /// What comes next begins a line, although the one before it was not shown: it was COPY data.
    pub(super) fn begin_line(&mut self) {
        self.line_start = true;
    }

    /// Takes the next byte.
    pub(super) fn step(&mut self, byte: u8) -> Seen {
        let at_line_start = std::mem::replace(&mut self.line_start, byte == b'\n');
        match self.state {
            State::Plain | State::Dash | State::Slash => self.plain(byte, at_line_start),
            State::LineComment | State::Meta => {
                let seen = if self.state == State::Meta { Seen::Meta } else { Seen::Comment };
                if byte == b'\n' {
                    self.back_to_plain(byte);
                }
                seen
            }
            State::BlockComment(depth, last) => self.block_comment(byte, depth, last),
            State::Quote(escapes) => {
                match byte {
                    b'\'' => self.back_to_plain(byte),
                    b'\\' if escapes => self.state = State::QuoteEscape,
                    _ => {}
                }
                Seen::Quoted
            }
            State::QuoteEscape => {
                self.state = State::Quote(true);
                Seen::Quoted
            }
            State::Identifier => {
                if byte == b'"' {
                    self.back_to_plain(byte);
                }
                Seen::Quoted
            }
            State::DollarTag => self.dollar_tag(byte, at_line_start),
            State::Dollar(matched) => self.dollar(byte, matched),
        }
    }

    fn back_to_plain(&mut self, byte: u8) {
        self.state = State::Plain;
        self.before = byte;
    }

    fn plain(&mut self, byte: u8, at_line_start: bool) -> Seen {
        let was = self.state;
        let before = std::mem::replace(&mut self.before, byte);
        self.state = State::Plain;
        self.body.step(byte, is_word(byte), self.depth == 0);
        match byte {
            b'-' if was == State::Dash => {
                self.state = State::LineComment;
                return Seen::CommentStart;
            }
            b'*' if was == State::Slash => {
                self.state = State::BlockComment(1, 0);
                return Seen::CommentStart;
            }
            b'-' => self.state = State::Dash,
            b'/' => self.state = State::Slash,
            b'\'' => self.state = State::Quote(matches!(before, b'E' | b'e')),
            b'"' => self.state = State::Identifier,
            b'$' if !is_word(before) => {
                self.state = State::DollarTag;
                self.tag.clear();
                self.tag.push(b'$');
            }
            b'\\' if at_line_start => {
                self.state = State::Meta;
                return Seen::Meta;
            }
            b'(' => self.depth += 1,
            b')' => self.depth = self.depth.saturating_sub(1),
            b';' if self.depth == 0 && !self.body.is_open() => {
                self.body = Body::default();
                return Seen::End;
            }
            _ => {}
        }
        Seen::Text
    }

    fn block_comment(&mut self, byte: u8, depth: u32, last: u8) -> Seen {
        self.state = match (last, byte) {
            (b'/', b'*') => State::BlockComment(depth + 1, 0),
            (b'*', b'/') if depth == 1 => State::Plain,
            (b'*', b'/') => State::BlockComment(depth - 1, 0),
            _ => State::BlockComment(depth, byte),
        };
        if self.state == State::Plain {
            self.before = b' ';
        }
        Seen::Comment
    }

    /// A tag is a word or empty; anything else makes the `$` an ordinary byte (as in `$1`).
    fn dollar_tag(&mut self, byte: u8, at_line_start: bool) -> Seen {
        if byte == b'$' {
            self.tag.push(byte);
            self.state = State::Dollar(0);
            return Seen::Text;
        }
        let fits = if self.tag.len() == 1 { is_word(byte) && !byte.is_ascii_digit() } else { is_word(byte) };
        if fits && byte != b'$' && self.tag.len() < 200 {
            self.tag.push(byte);
            return Seen::Text;
        }
        self.before = b'$';
        self.state = State::Plain;
        self.plain(byte, at_line_start)
    }

    fn dollar(&mut self, byte: u8, matched: usize) -> Seen {
        let next = if self.tag[matched] == byte { matched + 1 } else { usize::from(byte == b'$') };
        if next == self.tag.len() {
            self.back_to_plain(byte);
        } else {
            self.state = State::Dollar(next);
        }
        Seen::Quoted
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// Whether this is pg_dump's own command to psql, `\restrict KEY` or `\unrestrict KEY`, with or without the end of its line.
pub(super) fn is_restrict(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let key = line.strip_prefix(b"\\restrict ").or_else(|| line.strip_prefix(b"\\unrestrict "));
    key.is_some_and(|key| !key.is_empty() && key.iter().all(u8::is_ascii_alphanumeric))
}

/// An identifier in double quotes.
pub(super) fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A literal that means the same whatever `standard_conforming_strings` says.
pub(super) fn quote_literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') { format!("E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}

/// Statements of a text without COPY data, comments and psql commands stripped, each without its semicolon.
///
/// `None` if the text ends inside a quote, a comment or a statement.
pub(super) fn statements(text: &str) -> Option<Vec<String>> {
    let mut lexer = Lexer::default();
    let mut found = Vec::new();
    let mut current: Vec<u8> = Vec::new();
    for byte in text.bytes() {
        match lexer.step(byte) {
            Seen::Text | Seen::Quoted => current.push(byte),
            Seen::CommentStart => {
                current.pop();
            }
            Seen::Comment if byte == b'\n' => current.push(b' '),
            Seen::Comment | Seen::Meta => {}
            Seen::End => {
                let statement = String::from_utf8(std::mem::take(&mut current)).ok()?;
                found.push(statement.trim().to_owned());
            }
        }
    }
    let rest_is_blank = current.iter().all(u8::is_ascii_whitespace);
    (lexer.is_plain() && rest_is_blank).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_what_pg_dumpall_writes() {
        let cases: &[(&str, Option<&[&str]>)] = &[
            ("", Some(&[])),
            ("a;\nb ;", Some(&["a", "b"])),
            ("-- c ; d\nSET x = 'a;b''c';", Some(&["SET x = 'a;b''c'"])),
            ("CREATE ROLE \"q;\"\"--x\";", Some(&["CREATE ROLE \"q;\"\"--x\""])),
            ("a $$ ; $$ b;", Some(&["a $$ ; $$ b"])),
            ("a $t$ ; $$ $tt$ $t $t$ b;", Some(&["a $t$ ; $$ $tt$ $t $t$ b"])),
            ("$1; a$b$ ;", Some(&["$1", "a$b$"])),
            ("E'it\\'s ;' ; 'back\\' ;", Some(&["E'it\\'s ;'", "'back\\'"])),
            ("\\restrict abc;\nA; \n\\unrestrict abc\n", Some(&["A"])),
            ("a /* ; /* nested ; */ ; */ b;", Some(&["a  b"])),
            ("a - b / c;", Some(&["a - b / c"])),
            ("a /-- c/--\n;", Some(&["a /"])),
            (
                "COMMENT ON ROLE r IS 'two\n-- not a comment\n\\not meta;\nlines';",
                Some(&["COMMENT ON ROLE r IS 'two\n-- not a comment\n\\not meta;\nlines'"]),
            ),
            (
                "CREATE RULE r AS ON INSERT TO t DO ( INSERT INTO u VALUES (1);\n DELETE FROM t;\n);\nb;",
                Some(&["CREATE RULE r AS ON INSERT TO t DO ( INSERT INTO u VALUES (1);\n DELETE FROM t;\n)", "b"]),
            ),
            (
                "CREATE OR REPLACE FUNCTION f() BEGIN ATOMIC a; SELECT CASE WHEN (CASE x END) THEN \"END\" /* END */ ELSE 'END' END; END;\nb;",
                Some(&[
                    "CREATE OR REPLACE FUNCTION f() BEGIN ATOMIC a; SELECT CASE WHEN (CASE x END) THEN \"END\"  ELSE 'END' END; END",
                    "b",
                ]),
            ),
            (
                "create procedure f()\nbegin\natomic\n a;\nend;b;",
                Some(&["create procedure f()\nbegin\natomic\n a;\nend", "b"]),
            ),
            ("CREATE FUNCTION s.begin() AS $$ ; $$;b;", Some(&["CREATE FUNCTION s.begin() AS $$ ; $$", "b"])),
            (
                "BEGIN; ATOMIC; CREATE TABLE function (begin atomic); b;",
                Some(&["BEGIN", "ATOMIC", "CREATE TABLE function (begin atomic)", "b"]),
            ),
            ("CREATE FUNCTION f() BEGIN ATOMIC a; b;", None),
            ("a (; b", None),
            ("a; 'open", None),
            ("a; b", None),
            ("a; /* open", None),
            ("ä 'ö;' \"ü;\";", Some(&["ä 'ö;' \"ü;\""])),
        ];
        for (text, want) in cases {
            let want = want.map(|list| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
            assert_eq!(statements(text), want, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text in "[-a$'\"\\\\/*; \n]{0,60}") {
            let _ = statements(&text);
        }

        #[test]
        fn quoted_text_never_splits(inner in "[^']{0,40}") {
            let text = format!("A '{inner}' B;");
            proptest::prop_assert_eq!(statements(&text), Some(vec![format!("A '{}' B", inner)]));
        }
    }
}
