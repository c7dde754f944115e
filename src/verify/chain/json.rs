//! A JSON text as `JSON.parse` and a sorting `JSON.stringify` would give it back: keys sorted by UTF-16 units, the last of
//! two equal keys wins, numbers are doubles, lone surrogates are escaped.
//!
//! No library reads lone surrogates, which PostgreSQL's `json` holds and JavaScript writes; hence a reader of our own. It
//! is handed what PostgreSQL has checked already.

use std::cmp::Ordering;

/// Deeper documents are refused: the reader calls itself.
const DEPTH_MAX: usize = 512;

/// A text that is no JSON, or too deep.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

type Result<T, E = Malformed> = std::result::Result<T, E>;

/// The canonical text of a JSON text.
pub(super) fn canonical(text: &str) -> Result<String> {
    let mut reader = Reader { text, at: 0 };
    let mut out = String::with_capacity(text.len());
    reader.value(&mut out, 0)?;
    reader.blanks();
    if reader.at == text.len() { Ok(out) } else { Err(Malformed("there is something behind the JSON")) }
}

/// A string as `JSON.stringify` writes it.
pub(super) fn quote(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|c| c < 0x20 || c == b'"' || c == b'\\') {
        out.push_str(&rest[..at]);
        escape(u32::from(rest.as_bytes()[at]), out);
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// A double as JavaScript writes it.
pub(super) fn number(value: f64, out: &mut String) {
    if !value.is_finite() {
        out.push_str("null");
    } else if value == 0.0 {
        out.push('0'); // the negative one too
    } else {
        out.push_str(ryu_js::Buffer::new().format_finite(value));
    }
}

/// The order of keys: that of their UTF-16 units. Both are canonical strings, with their quotes.
pub(super) fn key_order(a: &str, b: &str) -> Ordering {
    let (a, b) = (&a[1..a.len() - 1], &b[1..b.len() - 1]);
    let plain = |text: &str| text.is_ascii() && !text.contains('\\');
    if plain(a) && plain(b) { a.cmp(b) } else { units(a).cmp(&units(b)) }
}

/// The UTF-16 units of what stands between the quotes of a canonical string.
fn units(inner: &str) -> Vec<u16> {
    let mut units = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
            continue;
        }
        units.push(match chars.next() {
            Some('u') => chars.by_ref().take(4).fold(0, |unit, digit| {
                unit << 4 | u16::try_from(digit.to_digit(16).unwrap_or_default()).unwrap_or_default()
            }),
            Some('b') => 8,
            Some('t') => 9,
            Some('n') => 10,
            Some('f') => 12,
            Some('r') => 13,
            Some(other) => u16::try_from(u32::from(other)).unwrap_or_default(),
            None => 0,
        });
    }
    units
}

/// A control character, quote, backslash or lone surrogate.
fn escape(unit: u32, out: &mut String) {
    use std::fmt::Write as _;
    match unit {
        8 => out.push_str("\\b"),
        9 => out.push_str("\\t"),
        10 => out.push_str("\\n"),
        12 => out.push_str("\\f"),
        13 => out.push_str("\\r"),
        0x22 => out.push_str("\\\""),
        0x5c => out.push_str("\\\\"),
        unit => {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.blanks();
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<()> {
        if self.take(byte) { Ok(()) } else { Err(Malformed(what)) }
    }

    fn value(&mut self, out: &mut String, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(Malformed("the JSON is nested too deeply"));
        }
        self.blanks();
        match self.peek() {
            Some(b'{') => self.object(out, depth),
            Some(b'[') => self.array(out, depth),
            Some(b'"') => self.string(out),
            Some(b'-' | b'0'..=b'9') => self.number(out),
            _ => {
                let rest = &self.text[self.at..];
                let word = ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word));
                let word = word.ok_or(Malformed("there is no value where one is due"))?;
                self.at += word.len();
                out.push_str(word);
                Ok(())
            }
        }
    }

    fn array(&mut self, out: &mut String, depth: usize) -> Result<()> {
        self.at += 1;
        out.push('[');
        if !self.take(b']') {
            loop {
                self.value(out, depth + 1)?;
                if !self.take(b',') {
                    break;
                }
                out.push(',');
            }
            self.expect(b']', "a list does not end")?;
        }
        out.push(']');
        Ok(())
    }

    fn object(&mut self, out: &mut String, depth: usize) -> Result<()> {
        self.at += 1;
        let mut members: Vec<(String, String)> = Vec::new();
        if !self.take(b'}') {
            loop {
                let (mut key, mut value) = (String::new(), String::new());
                self.blanks();
                self.string(&mut key)?;
                self.expect(b':', "a key has no colon")?;
                self.value(&mut value, depth + 1)?;
                members.push((key, value));
                if !self.take(b',') {
                    break;
                }
            }
            self.expect(b'}', "an object does not end")?;
        }
        // Stable: of equal keys the last one stays last, and it is the one that counts.
        members.sort_by(|a, b| key_order(&a.0, &b.0));
        out.push('{');
        let mut first = true;
        for (at, (key, value)) in members.iter().enumerate() {
            if members.get(at + 1).is_some_and(|(next, _)| next == key) {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            out.push_str(key);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        Ok(())
    }

    fn string(&mut self, out: &mut String) -> Result<()> {
        const OPEN: Malformed = Malformed("a string does not end");
        if !self.take(b'"') {
            return Err(Malformed("there is no string where one is due"));
        }
        out.push('"');
        loop {
            let rest = &self.text[self.at..];
            let stop = rest.bytes().position(|c| c == b'"' || c == b'\\').ok_or(OPEN)?;
            out.push_str(&rest[..stop]);
            self.at += stop + 1;
            if rest.as_bytes()[stop] == b'"' {
                break;
            }
            let escaped = self.peek().ok_or(OPEN)?;
            self.at += 1;
            match escaped {
                b'u' => self.unicode(out)?,
                b'b' => escape(8, out),
                b't' => escape(9, out),
                b'n' => escape(10, out),
                b'f' => escape(12, out),
                b'r' => escape(13, out),
                b'/' => out.push('/'),
                b'"' | b'\\' => escape(u32::from(escaped), out),
                _ => return Err(Malformed("there is an escape that JSON does not know")),
            }
        }
        out.push('"');
        Ok(())
    }

    /// Behind `\u`: a unit, and its other half if it has one.
    fn unicode(&mut self, out: &mut String) -> Result<()> {
        let unit = self.hex()?;
        if (0xd800..0xdc00).contains(&unit) && self.text[self.at..].starts_with("\\u") {
            let before = self.at;
            self.at += 2;
            let low = self.hex()?;
            if (0xdc00..0xe000).contains(&low) {
                out.extend(char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)));
                return Ok(());
            }
            self.at = before;
        }
        match char::from_u32(unit).filter(|c| *c >= ' ' && *c != '"' && *c != '\\') {
            Some(c) => out.push(c),
            None => escape(unit, out),
        }
        Ok(())
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Malformed("a \\u escape does not end"))?;
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| Malformed("a \\u escape is not hexadecimal"))
    }

    fn number(&mut self, out: &mut String) -> Result<()> {
        let rest = &self.text[self.at..];
        let end = rest.bytes().position(|c| !matches!(c, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
        let text = &rest[..end.unwrap_or(rest.len())];
        let value: f64 = text.parse().map_err(|_| Malformed("there is a number that JSON does not know"))?;
        self.at += text.len();
        number(value, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_out_as_javascript_writes_them() {
        for (text, expected) in [
            (r#" { "b" : 1 , "a" : [ true , null , { } , [ ] ] } "#, r#"{"a":[true,null,{},[]],"b":1}"#),
            (r#"{"a":1,"a":{"x":2}}"#, r#"{"a":{"x":2}}"#),
            (r#"{"":0,"a":1,"B":2,"10":3,"9":4}"#, r#"{"":0,"10":3,"9":4,"B":2,"a":1}"#),
            (r#"{"\u0061":1,"a":2}"#, r#"{"a":2}"#),
            // By UTF-16 units a letter beyond the first plane comes before one near its end.
            ("{\"\u{ff5e}\":1,\"\u{1f600}\":2}", "{\"\u{1f600}\":2,\"\u{ff5e}\":1}"),
            (r#""\ud83d\ude00""#, "\"\u{1f600}\""),
            (r#""\uD83D x \uDE00 \ud83d\ud83d\ude00""#, "\"\\ud83d x \\ude00 \\ud83d\u{1f600}\""),
            (r#""\u0000\u001F\u007f\/\b\f\n\r\t\"\\""#, "\"\\u0000\\u001f\u{7f}/\\b\\f\\n\\r\\t\\\"\\\\\""),
            ("\"\u{2028}\"", "\"\u{2028}\""),
            (
                "[1e21,1e20,-0,0.1,-0.0,1e-7,0.000001,1E400,-1e400]",
                "[1e+21,100000000000000000000,0,0.1,0,1e-7,0.000001,null,null]",
            ),
            (
                "[9007199254740993,123456789012345678901234567890,5e-324]",
                "[9007199254740992,1.2345678901234568e+29,5e-324]",
            ),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let deep = "[".repeat(600) + &"]".repeat(600);
        for text in
            ["", "{", "[1,", "\"", "\"\\", "\"\\u12", "\"\\uzzzz\"", "nul", "{\"a\"}", "1 2", "\"\\x\"", "-", &deep]
        {
            assert!(canonical(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived_and_canonical_texts_stay(text in "[\\[\\]{}\":,\\\\ud8a0-9e.+ -]{0,40}") {
            if let Ok(once) = canonical(&text) {
                proptest::prop_assert_eq!(canonical(&once).unwrap(), once);
            }
        }
    }
}
