//! Takes the transaction control out of a plain dump.
//!
//! pg_dump wraps the data of large objects in `BEGIN; … COMMIT;` (`StartRestoreLOs` in pg_backup_archiver.c), which
//! would commit our own transaction half-way. Those two statements are left out wherever they stand alone between
//! statements; the same words in COPY data, function bodies and strings are data and pass untouched.

use super::super::sql::{Lexer, Seen, is_restrict};

/// Streaming; holds back no more than the first few bytes of a statement.
#[derive(Debug, Default)]
pub(super) struct Rewriter {
    lexer: Lexer,
    mode: Mode,
    /// Bytes of the current statement not yet passed on: it may still turn out to be `BEGIN` or `COMMIT`.
    held: Vec<u8>,
    /// First and last bytes of the current statement, without comments and leading space.
    head: Vec<u8>,
    tail: Vec<u8>,
    /// The command to psql that is being read.
    command: Vec<u8>,
    refused: Option<String>,
    /// psql is locked already, under a key of ours: it would refuse the commands with which pg_dump locks it.
    locked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mode {
    #[default]
    Sql,
    /// After `COPY … FROM stdin;`, up to the end of that line.
    CopyLine,
    /// COPY data; how many bytes of `\.` the current line consists of so far, `None` if it is another line.
    Copy(Option<u8>),
}

const DROPPED: [&[u8]; 2] = [b"BEGIN", b"COMMIT"];
/// They end the transaction of the restore without a failure; pg_dump writes neither.
const ENDING: [&[u8]; 2] = [b"ROLLBACK", b"ABORT"];
/// More than pg_dump's longest command, which has a key of 63 letters.
const COMMAND_BYTES: usize = 256;
/// More than the longest dropped word, so that a full head means that nothing is held.
const HEAD_BYTES: usize = 8;
const COPY_BEGINS: &[u8] = b"COPY ";
const COPY_ENDS: &[u8] = b" FROM stdin";

impl Rewriter {
    /// For a psql that is locked.
    pub(super) fn lock(&mut self) {
        self.locked = true;
    }

    /// A command to psql, or the end of a transaction, that pg_dump does not write, if there was one. The stream is not to be sent
    /// then.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// Takes a part of the stream, cut anywhere, and appends what psql shall get.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut at = 0;
        while at < bytes.len() {
            match self.mode {
                Mode::Copy(matched) => at += self.copy(&bytes[at..], matched, out),
                Mode::CopyLine => {
                    out.push(bytes[at]);
                    if bytes[at] == b'\n' {
                        self.mode = Mode::Copy(Some(0));
                    }
                    at += 1;
                }
                Mode::Sql => {
                    // Long strings (large objects) pass at memory speed; by then nothing is held back any more. The
                    // remembered tail may go stale inside, but what ends a COPY statement comes after the quote.
                    let run = if self.head.len() == HEAD_BYTES { self.lexer.run_length(&bytes[at..]) } else { 0 };
                    if run > 0 {
                        out.extend_from_slice(&bytes[at..at + run]);
                        at += run;
                    } else {
                        self.sql(bytes[at], out);
                        at += 1;
                    }
                }
            }
        }
    }

    /// Passes on what was held. False if the stream ends inside a statement, a string or COPY data.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) -> bool {
        out.append(&mut self.held);
        self.mode == Mode::Sql && self.lexer.is_plain() && self.head.is_empty()
    }

    /// COPY data up to the end of a line, or of the input.
    fn copy(&mut self, bytes: &[u8], matched: Option<u8>, out: &mut Vec<u8>) -> usize {
        let Some(matched) = matched else {
            let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
            out.extend_from_slice(&bytes[..end]);
            if bytes[end - 1] == b'\n' {
                self.mode = Mode::Copy(Some(0));
            }
            return end;
        };
        out.push(bytes[0]);
        self.mode = match (matched, bytes[0]) {
            (0, b'\\') => Mode::Copy(Some(1)),
            (1, b'.') | (2, b'\r') => Mode::Copy(Some(2)),
            (2, b'\n') => Mode::Sql,
            (_, b'\n') => Mode::Copy(Some(0)),
            _ => Mode::Copy(None),
        };
        if self.mode == Mode::Sql {
            self.lexer.begin_line();
        }
        1
    }

    fn sql(&mut self, byte: u8, out: &mut Vec<u8>) {
        match self.lexer.step(byte) {
            Seen::Text if self.head.is_empty() && byte.is_ascii_whitespace() => out.push(byte),
            Seen::Text | Seen::Quoted => {
                if self.head.len() < HEAD_BYTES {
                    self.head.push(byte);
                }
                if self.tail.len() == COPY_ENDS.len() {
                    self.tail.remove(0);
                }
                self.tail.push(byte);
                self.pass(byte, out);
            }
            Seen::CommentStart => {
                self.head.pop();
                self.tail.pop();
                self.pass(byte, out);
            }
            Seen::Comment => self.pass(byte, out),
            Seen::Meta => self.meta(byte, out),
            Seen::End => self.end(out),
        }
    }

    fn meta(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.command.push(byte);
        if byte != b'\n' && self.command.len() < COMMAND_BYTES {
            return;
        }
        let line = std::mem::take(&mut self.command);
        if byte != b'\n' || !is_restrict(&line) {
            self.refuse(&line);
        } else if !self.locked {
            out.append(&mut self.held);
            out.extend_from_slice(&line);
        }
    }

    /// Remembers the first thing that is not to be sent.
    fn refuse(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text).trim_end().to_owned();
        self.refused = self.refused.take().or(Some(text));
    }

    /// Holds the byte back while the statement may still be one of the dropped ones.
    fn pass(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.held.push(byte);
        let open = !self.head.is_empty() && DROPPED.iter().any(|word| word.starts_with(&self.head));
        if !open {
            out.append(&mut self.held);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let begins = |word: &[u8]| self.head.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
        if ENDING.into_iter().any(begins) {
            self.refuse(&self.head.clone());
        }
        if DROPPED.contains(&self.head.as_slice()) {
            self.held.clear();
        } else {
            out.append(&mut self.held);
            out.push(b';');
        }
        if self.head.starts_with(COPY_BEGINS) && self.tail == COPY_ENDS {
            self.mode = Mode::CopyLine;
        }
        self.head.clear();
        self.tail.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(text: &str, step: usize) -> (String, bool) {
        let (mut rewriter, mut out) = (Rewriter::default(), Vec::new());
        text.as_bytes().chunks(step).for_each(|part| rewriter.push(part, &mut out));
        let whole = rewriter.finish(&mut out);
        (String::from_utf8(out).unwrap(), whole)
    }

    #[test]
    fn transaction_control_goes_and_data_stays() {
        let cases = [
            ("BEGIN;\n\nSELECT lo_open('1', 2);\nCOMMIT;\n", "\n\nSELECT lo_open('1', 2);\n\n"),
            ("-- c\nBEGIN;\n-- BEGIN;\nA;", "-- c\n\n-- BEGIN;\nA;"),
            ("BEGIN\n;BEGINNING;COMMITTED x;", "BEGIN\n;BEGINNING;COMMITTED x;"),
            (
                "COPY t (a) FROM stdin;\nBEGIN;\nCOMMIT;\n\\.x\n\\.\nBEGIN;\nZ;",
                "COPY t (a) FROM stdin;\nBEGIN;\nCOMMIT;\n\\.x\n\\.\n\nZ;",
            ),
            ("COPY t FROM stdin;\n\\.\n\nCOMMIT;", "COPY t FROM stdin;\n\\.\n\n"),
            ("COPY t FROM stdin;\n'open\n$$\n\\.\nCOMMIT;A;", "COPY t FROM stdin;\n'open\n$$\n\\.\nA;"),
            ("F $$\nBEGIN;\nCOMMIT;\n$$;\nBEGIN;", "F $$\nBEGIN;\nCOMMIT;\n$$;\n"),
            ("F 'x;\nCOMMIT;\n';", "F 'x;\nCOMMIT;\n';"),
            ("\\restrict k\nBEGIN;\\restrict k\n", "\\restrict k\n\\restrict k\n"),
            ("SELECT 'COPY t FROM stdin';\nBEGIN;", "SELECT 'COPY t FROM stdin';\n"),
        ];
        for (text, want) in cases {
            for step in [1, 2, 3, 5, 1000] {
                // A backslash command only counts at the start of a line.
                let (got, _) = rewrite(text, step);
                assert_eq!(got, want, "{text:?} by {step}");
            }
        }
    }

    #[test]
    fn commands_to_psql_and_rollbacks_are_refused_unless_pg_dump_writes_them() {
        for (text, want) in [
            ("\\restrict aZ09\nA;\n\\unrestrict aZ09\n", None),
            ("A;\n\\! touch x\nB;\n", Some("\\! touch x")),
            ("COPY t FROM stdin;\n\\! data\n\\.\n\\connect x\n", Some("\\connect x")),
            ("\\restrict a \\! x\n", Some("\\restrict a \\! x")),
            ("\\restrict\n", Some("\\restrict")),
            ("F $$\n\\! body\n$$;\n'\n\\! text\n';", None),
            ("A;\n /* x */ rollback to x;\nB;\n", Some("rollback")),
            ("A; Abort ;\n\\! touch x\n", Some("Abort")),
            ("F $$\nROLLBACK;\n$$;\nCOPY t FROM stdin;\nABORT;\n\\.\n-- ROLLBACK;\nROLL; BACK;", None),
        ] {
            for step in [1, 3, 1000] {
                let (mut rewriter, mut out) = (Rewriter::default(), Vec::new());
                text.as_bytes().chunks(step).for_each(|part| rewriter.push(part, &mut out));
                assert_eq!(rewriter.refused(), want, "{text:?}");
            }
        }
        let (mut locked, mut out) = (Rewriter::default(), Vec::new());
        locked.lock();
        locked.push(b"\\restrict k\nA;\n\\unrestrict k\n", &mut out);
        assert_eq!((out.as_slice(), locked.refused()), (b"A;\n".as_slice(), None));
    }

    #[test]
    fn a02_a_stream_that_ends_inside_something_is_not_whole() {
        let whole = "SET a;\nCOPY t (a) FROM stdin;\n1\n2\n\\.\nSELECT 'x';\n\n--\n-- end\n--\n\n";
        assert!(rewrite(whole, 7).1);
        for cut in [
            "SET",
            "COPY t (a) FROM stdin;",
            "COPY t (a) FROM stdin;\n1\n2\n",
            "COPY t (a) FROM stdin;\n1\n\\.",
            "SELECT 'x",
        ] {
            assert!(!rewrite(cut, 3).1, "{cut:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_cut_does_not_matter(text in "(BEGIN;|COMMIT;|\n|COPY t FROM stdin;\n|\\\\\\.\n|'|\\$\\$|x|;|--| ){0,20}", step in 1_usize..9) {
            proptest::prop_assert_eq!(rewrite(&text, step), rewrite(&text, 1000));
        }
    }
}
