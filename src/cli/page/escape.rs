//! Foreign text in markup.

use std::fmt::{self, Display, Write};

/// What `T` prints, as text of HTML: nothing in it is markup, ends an attribute or changes the direction of what follows.
pub(super) struct Text<T>(pub(super) T);

impl<T: Display> Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escape(f), "{}", self.0)
    }
}

/// Prose of ours in markup: what stands between backticks in it is code.
pub(super) struct Prose<'a>(pub(super) &'a str);

impl Display for Prose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        pieces(self.0).into_iter().try_for_each(|piece| match piece {
            Piece::Words(words) => write!(f, "{}", Text(words)),
            Piece::Code(code) => write!(f, "<code>{}</code>", Text(code)),
        })
    }
}

/// A part of prose.
pub(super) enum Piece<'a> {
    Words(&'a str),
    /// What stood between backticks.
    Code(&'a str),
}

/// The parts of prose; a backtick without another is one of the words.
pub(super) fn pieces(mut text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    while let Some((words, rest)) = text.split_once('`') {
        let Some((code, after)) = rest.split_once('`').filter(|(code, _)| !code.is_empty()) else { break };
        pieces.extend([Piece::Words(words), Piece::Code(code)]);
        text = after;
    }
    pieces.push(Piece::Words(text));
    pieces
}

struct Escape<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escape<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c {
            '&' => self.0.write_str("&amp;"),
            '<' => self.0.write_str("&lt;"),
            '>' => self.0.write_str("&gt;"),
            '"' => self.0.write_str("&quot;"),
            '\'' => self.0.write_str("&#39;"),
            '\n' | '\t' => self.0.write_char(' '),
            c if misleads(c) => write!(self.0, "[U+{:04X}]", u32::from(c)),
            c => self.0.write_char(c),
        })
    }
}

/// Control characters, and those that turn the direction of text around or cannot be seen.
pub(super) fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{61C}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_is_markup() {
        let hostile = "<script>alert('x')</script> & \" onload=\"x \u{202E}gnp.exe\u{0}\nnext";
        let want =
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot; onload=&quot;x [U+202E]gnp.exe[U+0000] next";
        assert_eq!(Text(hostile).to_string(), want);
        assert_eq!(Text("Köln, 東京").to_string(), "Köln, 東京");
    }

    #[test]
    fn commands_in_prose_are_code() {
        let told = Prose("run `a <b>`, then `c`; a ` alone, and ``").to_string();
        assert_eq!(told, "run <code>a &lt;b&gt;</code>, then <code>c</code>; a <code> alone, and </code>`");
        assert_eq!(Prose("a ` alone").to_string(), "a ` alone");
    }
}
