//! Tables.

use std::fmt::Write as _;

use super::escape::Text;

/// One cell: text, and how it is shown.
pub(super) struct Cell {
    class: &'static str,
    text: String,
    below: String,
}

impl Cell {
    /// Ordinary text.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { class: "", text: text.into(), below: String::new() }
    }

    /// A number or size, aligned to the right.
    pub(super) fn number(text: impl Into<String>) -> Self {
        Self { class: "n", ..Self::text(text) }
    }

    /// An id or a position.
    pub(super) fn code(text: impl Into<String>) -> Self {
        Self { class: "mono", ..Self::text(text) }
    }

    /// A word that judges: `good`, `warn`, `bad`.
    pub(super) fn judged(class: &'static str, text: impl Into<String>) -> Self {
        Self { class, ..Self::text(text) }
    }

    /// With a smaller line below it.
    pub(super) fn with(mut self, below: impl Into<String>) -> Self {
        self.below = below.into();
        self
    }
}

/// A table; a heading that starts with `>` stands to the right.
pub(super) fn table(out: &mut String, caption: &str, headings: &[&str], rows: &[Vec<Cell>]) {
    let _ = write!(
        out,
        "<div class=\"wide\" tabindex=\"0\" role=\"group\" aria-label=\"{caption}\"><table><caption>{caption}</caption><thead><tr>",
        caption = Text(caption)
    );
    for heading in headings {
        let (class, text) = heading.strip_prefix('>').map_or(("", *heading), |text| (" class=\"n\"", text));
        let _ = write!(out, "<th scope=\"col\"{class}>{text}</th>");
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (number, cell) in row.iter().enumerate() {
            let (tag, scope) = if number == 0 { ("th", " scope=\"row\"") } else { ("td", "") };
            let class = if cell.class.is_empty() { String::new() } else { format!(" class=\"{}\"", cell.class) };
            let _ = write!(out, "<{tag}{scope}{class}>{}", Text(&cell.text));
            if !cell.below.is_empty() {
                let _ = write!(out, "<small>{}</small>", Text(&cell.below));
            }
            let _ = write!(out, "</{tag}>");
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
}
