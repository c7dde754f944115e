//! Foreign text in markup.

use std::fmt::{self, Display, Write};

/// What `T` prints, as text of HTML: nothing in it is markup, ends an attribute or changes the direction of what follows.
pub(super) struct Text<T>(pub(super) T);

impl<T: Display> Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escape(f), "{}", self.0)
    }
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
}
