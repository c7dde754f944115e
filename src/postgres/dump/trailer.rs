//! Head and tail of a plain dump: does it begin with `\restrict`, does it end with its closing line (PAINS A2).

use super::super::{Error, Result};

/// Room for the closing line, blank lines and `\unrestrict` with its key.
const KEPT_BYTES: usize = 1024;

/// Watches a stream go by.
#[derive(Debug)]
pub struct Trailer {
    closing: &'static str,
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Trailer {
    pub(in crate::postgres) fn new(closing: &'static str) -> Self {
        Self { closing, head: Vec::new(), tail: Vec::new() }
    }

    /// Takes the next part, cut anywhere.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = KEPT_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(KEPT_BYTES)..]);
        let excess = self.tail.len().saturating_sub(KEPT_BYTES);
        self.tail.drain(..excess);
    }

    /// Whether a line near the beginning is psql's `\restrict` command, before the first statement.
    pub fn has_restrict(&self) -> bool {
        let head = String::from_utf8_lossy(&self.head);
        let mut lines = head.lines().skip_while(|line| line.is_empty() || line.starts_with("--"));
        lines.next().is_some_and(|line| line.starts_with("\\restrict "))
    }

    /// Whether the first comment is the one of pg_dump's plain format. The one of pg_dumpall is another.
    pub fn is_opened(&self) -> bool {
        let head = String::from_utf8_lossy(&self.head);
        head.lines().find(|line| !line.is_empty() && *line != "--") == Some("-- PostgreSQL database dump")
    }

    /// For what pg_dump writes.
    pub fn of_a_dump() -> Self {
        Self::new("-- PostgreSQL database dump complete")
    }

    /// What stands behind `prefix` on a line near the beginning.
    pub fn line_after(&self, prefix: &str) -> Option<String> {
        let head = String::from_utf8_lossy(&self.head);
        head.lines().find_map(|line| line.strip_prefix(prefix)).map(str::to_owned)
    }

    /// Fails unless [`Trailer::is_closed`].
    pub(in crate::postgres) fn check(&self, program: &str, bytes: u64) -> Result<()> {
        let cut = || Error::Incomplete { program: program.into(), bytes };
        self.is_closed().then_some(()).ok_or_else(cut)
    }

    /// Whether what was seen ends with the closing line. After it only blank lines, `--` and `\unrestrict` may follow.
    pub fn is_closed(&self) -> bool {
        let tail = String::from_utf8_lossy(&self.tail);
        let whole = self.tail.last() == Some(&b'\n');
        let mut after = tail.lines().rev().skip_while(|l| l.is_empty() || *l == "--" || l.starts_with("\\unrestrict "));
        whole && after.next() == Some(self.closing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict key\n\nSET x;\n\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict key\n\n";

    fn watch(text: &str, step: usize) -> Trailer {
        let mut trailer = Trailer::new("-- PostgreSQL database dump complete");
        text.as_bytes().chunks(step).for_each(|part| trailer.push(part));
        trailer
    }

    #[test]
    fn a02_only_a_closed_dump_passes() {
        for step in [1, 7, 4096] {
            assert!(watch(GOOD, step).check("pg_dump", 1).is_ok());
            let long = format!("{}{GOOD}", "x\n".repeat(3000));
            assert!(watch(&long, step).check("pg_dump", 1).is_ok());
        }
        let closing = GOOD.find("complete").unwrap();
        for cut in 0..=closing + "complete".len() {
            assert!(watch(&GOOD[..cut], 5).check("pg_dump", 1).is_err(), "cut at {cut}");
        }
        let more = format!("{GOOD}SELECT 1;\n");
        assert!(watch(&more, 5).check("pg_dump", 1).is_err(), "something follows");
    }

    #[test]
    fn restrict_counts_only_before_the_first_statement() {
        assert!(watch(GOOD, 3).has_restrict() && watch(GOOD, 3).is_opened());
        assert!(!watch("--\n-- PostgreSQL database cluster dump\n--\n-- PostgreSQL database dump\n", 3).is_opened());
        assert!(!watch("--\n-- x\n--\n\nSET x;\n\\restrict late\n", 3).has_restrict());
    }
}
