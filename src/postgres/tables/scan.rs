//! A plain dump as a sequence of statements and rows.

use super::super::Result;
use super::super::sql::{Lexer, Seen};
use crate::limits::DUMP_STATEMENT_BYTES_MAX;

/// What is told of a stream, in its order.
pub(super) trait Sink {
    /// A statement without its semicolon, comments and leading space; not `whole` if it is longer than what is held.
    fn statement(&mut self, text: &[u8], whole: bool) -> Result<()>;
    /// A command of psql: a line with its end.
    fn command(&mut self, line: &[u8]);
    /// Rows of the COPY statement before it, with the line that ends them; cut anywhere.
    fn rows(&mut self, bytes: &[u8]);
    /// They have ended.
    fn end_of_rows(&mut self);
}

/// Takes the stream apart.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    lexer: Lexer,
    mode: Mode,
    text: Vec<u8>,
    cut: bool,
    /// Whether the last byte belonged to a comment.
    comment: bool,
    command: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mode {
    #[default]
    Sql,
    /// After `COPY … FROM stdin;`, up to the end of that line.
    CopyLine,
    /// Rows; how many bytes of `\.` the current line consists of so far, `None` if it is another line.
    Rows(Option<u8>),
}

impl Scanner {
    /// Takes a part of the stream, cut anywhere.
    pub(super) fn push(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<()> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            at += match self.mode {
                Mode::Sql => self.sql(rest, sink)?,
                Mode::CopyLine => {
                    if rest[0] == b'\n' {
                        self.mode = Mode::Rows(Some(0));
                    }
                    1
                }
                Mode::Rows(matched) => self.rows(rest, matched, sink),
            };
        }
        Ok(())
    }

    /// Whether the stream ended between statements.
    pub(super) fn is_whole(&self) -> bool {
        self.mode == Mode::Sql && self.lexer.is_plain() && self.text.is_empty()
    }

    fn rows(&mut self, bytes: &[u8], matched: Option<u8>, sink: &mut impl Sink) -> usize {
        let Some(matched) = matched else {
            let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
            sink.rows(&bytes[..end]);
            if bytes[end - 1] == b'\n' {
                self.mode = Mode::Rows(Some(0));
            }
            return end;
        };
        sink.rows(&bytes[..1]);
        self.mode = match (matched, bytes[0]) {
            (0, b'\\') => Mode::Rows(Some(1)),
            (1, b'.') | (2, b'\r') => Mode::Rows(Some(2)),
            (2, b'\n') => Mode::Sql,
            (_, b'\n') => Mode::Rows(Some(0)),
            _ => Mode::Rows(None),
        };
        if self.mode == Mode::Sql {
            self.lexer.begin_line();
            sink.end_of_rows();
        }
        1
    }

    fn sql(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<usize> {
        let run = self.lexer.run_length(bytes);
        if run > 0 {
            if !self.comment {
                self.keep(&bytes[..run]);
            }
            return Ok(run);
        }
        let seen = self.lexer.step(bytes[0]);
        self.comment = matches!(seen, Seen::CommentStart | Seen::Comment);
        match seen {
            Seen::Text if self.text.is_empty() && bytes[0].is_ascii_whitespace() => {}
            Seen::Text | Seen::Quoted => self.keep(&bytes[..1]),
            // The first byte of its mark was taken for text.
            Seen::CommentStart if !self.cut => {
                self.text.pop();
            }
            Seen::CommentStart => {}
            Seen::Comment => {
                if bytes[0] == b'\n' && !self.text.is_empty() {
                    self.keep(b" ");
                }
            }
            Seen::Meta => self.meta(bytes[0], sink),
            Seen::End => self.end(sink)?,
        }
        Ok(1)
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = DUMP_STATEMENT_BYTES_MAX.saturating_sub(self.text.len());
        self.cut |= bytes.len() > room;
        self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn meta(&mut self, byte: u8, sink: &mut impl Sink) {
        if self.command.len() < DUMP_STATEMENT_BYTES_MAX {
            self.command.push(byte);
        }
        if byte == b'\n' {
            sink.command(&std::mem::take(&mut self.command));
        }
    }

    fn end(&mut self, sink: &mut impl Sink) -> Result<()> {
        sink.statement(&self.text, !self.cut)?;
        if self.text.starts_with(b"COPY ") && self.text.ends_with(b" FROM stdin") {
            self.mode = Mode::CopyLine;
        }
        self.text.clear();
        self.cut = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default, PartialEq, Debug)]
    struct Seen(Vec<String>);

    impl Sink for Seen {
        fn statement(&mut self, text: &[u8], whole: bool) -> Result<()> {
            self.0.push(format!("{}{}", String::from_utf8_lossy(text), if whole { "" } else { " (cut)" }));
            Ok(())
        }
        fn command(&mut self, line: &[u8]) {
            self.0.push(String::from_utf8_lossy(line).into_owned());
        }
        fn rows(&mut self, bytes: &[u8]) {
            let text = String::from_utf8_lossy(bytes);
            match self.0.last_mut() {
                Some(last) if last.starts_with("rows:") => last.push_str(&text),
                _ => self.0.push(format!("rows:{text}")),
            }
        }
        fn end_of_rows(&mut self) {
            self.0.push("end".into());
        }
    }

    fn scan(text: &str, step: usize) -> (Vec<String>, bool) {
        let (mut scanner, mut seen) = (Scanner::default(), Seen::default());
        text.as_bytes().chunks(step).for_each(|part| scanner.push(part, &mut seen).unwrap());
        (seen.0, scanner.is_whole())
    }

    #[test]
    fn statements_and_rows_come_apart_wherever_the_stream_is_cut() {
        let text = "--\n-- Name: x; DROP TABLE y;\n--\n\\restrict k\n\nSET a = ';';\nCOPY s.t (a) FROM stdin;\nCOPY s.u FROM stdin;\n\\.x\n\\.\n\\! x\n\nF $$ ;\n-- no\n$$ -- c\nx;\n\\unrestrict k\n";
        let want = [
            "\\restrict k\n",
            "SET a = ';'",
            "COPY s.t (a) FROM stdin",
            "rows:COPY s.u FROM stdin;\n\\.x\n\\.\n",
            "end",
            "\\! x\n",
            "F $$ ;\n-- no\n$$  x",
            "\\unrestrict k\n",
        ];
        for step in [1, 2, 3, 7, 1000] {
            assert_eq!(scan(text, step), (want.map(str::to_owned).to_vec(), true), "by {step}");
        }
    }

    #[test]
    fn a02_a_stream_that_ends_inside_something_is_not_whole() {
        for cut in ["SET", "COPY s.t (a) FROM stdin;", "COPY s.t (a) FROM stdin;\n1\n", "SELECT 'x", "A; /* x"] {
            assert!(!scan(cut, 3).1, "{cut:?}");
        }
    }

    #[test]
    fn i12_what_is_longer_than_any_definition_is_cut() {
        let long = format!("F '{}';\nB;", "x".repeat(DUMP_STATEMENT_BYTES_MAX + 5));
        let (seen, whole) = scan(&long, 4096);
        assert!(seen[0].ends_with(" (cut)") && seen[0].len() < DUMP_STATEMENT_BYTES_MAX + 10);
        assert_eq!((seen[1].as_str(), whole), ("B", true));
    }
}
