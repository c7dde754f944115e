//! A Rust file with comments, literals and test code blanked out, so that rules see code alone.

/// One file.
pub(crate) struct Source {
    /// Relative to the root.
    pub(crate) path: String,
    /// As it stands.
    pub(crate) text: String,
    /// The same lines and columns, but comments and literals are spaces.
    pub(crate) code: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.into(), code: blank_text(text) }
    }

    /// The code without items marked `#[cfg(test)]`.
    pub(crate) fn shipped(&self) -> String {
        let mut code: Vec<u8> = self.code.clone().into_bytes();
        let mut from = 0;
        while let Some(start) = self.code.get(from..).and_then(|rest| rest.find("#[cfg(test)]")).map(|at| at + from) {
            let end = item_end(self.code.as_bytes(), start);
            blank(&mut code, start, end);
            from = end;
        }
        String::from_utf8(code).unwrap()
    }

    /// Modules declared by `#[cfg(test)] mod name;`: their files are test code as a whole.
    pub(crate) fn test_modules(&self) -> Vec<String> {
        let after = self.code.split("#[cfg(test)]").skip(1);
        after
            .filter_map(|rest| Some(rest.trim_start().strip_prefix("mod ")?.split_once(';')?.0.trim().to_owned()))
            .filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
            .collect()
    }
}

/// 1-based line of a byte offset.
pub(crate) fn line(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

/// End of the item that starts at `from`: its `;`, or the brace that closes its body.
pub(crate) fn item_end(code: &[u8], from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.iter().enumerate().skip(from) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && *byte == b'}' {
                    return at + 1;
                }
            }
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

fn blank(bytes: &mut [u8], from: usize, to: usize) {
    for byte in &mut bytes[from..to] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

fn blank_text(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        match end {
            Some(end) => {
                blank(&mut code, at, end);
                at = end;
            }
            None => at += 1,
        }
    }
    // Whole comments and literals became spaces; what is left of multi-byte characters is whole too.
    String::from_utf8(code).unwrap()
}

/// End of the comment, string or character that starts here, if one does.
fn literal_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let word_before = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    let find = |needle: &[u8], from: usize| {
        rest.get(from..)?.windows(needle.len()).position(|w| w == needle).map(|found| at + from + found + needle.len())
    };
    if rest.starts_with(b"//") {
        return Some(find(b"\n", 0).map_or(bytes.len(), |end| end - 1));
    }
    if rest.starts_with(b"/*") {
        return Some(comment_end(bytes, at));
    }
    if rest[0] == b'"' {
        return Some(quoted_end(bytes, at + 1, b'"'));
    }
    if (rest[0] == b'r' || rest.starts_with(b"br")) && !word_before {
        let start = if rest[0] == b'b' { 2 } else { 1 };
        let hashes = rest[start..].iter().take_while(|byte| **byte == b'#').count();
        if rest.get(start + hashes) == Some(&b'"') {
            let mut close = vec![b'"'];
            close.resize(hashes + 1, b'#');
            return Some(find(&close, start + hashes + 1).unwrap_or(bytes.len()));
        }
    }
    if rest[0] == b'\'' {
        let text = std::str::from_utf8(rest.get(1..)?).ok()?;
        let first = text.chars().next()?;
        if first == '\\' {
            return Some(quoted_end(bytes, at + 1, b'\''));
        }
        let close = 1 + first.len_utf8();
        return (rest.get(close) == Some(&b'\'')).then_some(at + close + 1);
    }
    None
}

fn quoted_end(bytes: &[u8], from: usize, close: u8) -> usize {
    let mut at = from;
    while at < bytes.len() && bytes[at] != close {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn comment_end(bytes: &[u8], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0_usize);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

#[test]
fn comments_and_literals_are_blanked_and_lifetimes_are_not() {
    let text = "fn f<'a>(x: &'a str) { // {\n /* { /* } */ } */ let s = \"}\\\"{\"; let r = r#\"}\"}\"#; let c = '{'; let d = '\\''; let e = 'ä'; }";
    let code = blank_text(text);
    assert_eq!(code.len(), text.len());
    assert_eq!(code.matches('{').count(), 1);
    assert_eq!(code.matches('}').count(), 1);
    assert!(code.contains("<'a>(x: &'a str)"));
    assert!(code.contains("let e ="));
}

#[test]
fn test_items_are_not_shipped() {
    let source =
        Source::new("x.rs", "use a;\n#[cfg(test)]\nmod tests { use b; }\nuse c;\n#[cfg(test)]\nmod more;\nuse d;");
    let shipped = source.shipped();
    assert!(shipped.contains("use a") && shipped.contains("use c") && shipped.contains("use d"));
    assert!(!shipped.contains("use b") && !shipped.contains("more"));
    assert_eq!(source.test_modules(), ["more"]);
}
