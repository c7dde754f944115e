//! A table kept fresh between two markers of a document that people write.

use std::path::Path;

use crate::commands::{Error, Result};
use crate::limits::DOCUMENT_BYTES_MAX;

/// What stands before the table.
pub const BEGIN: &str = "<!-- stonewal:dr -->";
/// What stands behind it.
pub const END: &str = "<!-- /stonewal:dr -->";

/// The document as it is.
pub fn read(path: &Path) -> Result<String> {
    let refused = |why: String| Error::File { path: path.to_owned(), why };
    let bytes = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?.len();
    if bytes > DOCUMENT_BYTES_MAX {
        return Err(refused(format!("{bytes} bytes are no document")));
    }
    std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))
}

/// `document` with `table` between its markers, everything else byte for byte as it was; `name` is for people. Lines end as the
/// document's do.
pub fn refresh(document: &str, name: &str, table: &str) -> Result<String> {
    let refused = |what: &str| Error::Usage(format!("{name}: {what}"));
    let mut begins = lines_of(document, BEGIN);
    let mut ends = lines_of(document, END);
    let (Some(begin), Some(end)) = (begins.next(), ends.next()) else {
        return Err(refused(&format!(
            "it has no place for the table: put the lines {BEGIN} and {END} where the table belongs"
        )));
    };
    if begins.next().is_some() || ends.next().is_some() {
        return Err(refused(&format!(
            "there is more than one place for the table: leave one pair of {BEGIN} and {END}"
        )));
    }
    if end.0 < begin.1 {
        return Err(refused(&format!("{END} stands before {BEGIN}")));
    }
    let newline = if document[begin.0..begin.1].ends_with("\r\n") { "\r\n" } else { "\n" };
    let table: String = table.trim_end().lines().flat_map(|line| [line, newline]).collect();
    Ok(format!("{}{table}{}", &document[..begin.1], &document[end.0..]))
}

/// Where the lines that hold `marker` and nothing else begin, and where the next ones do.
fn lines_of<'a>(document: &'a str, marker: &'a str) -> impl Iterator<Item = (usize, usize)> + 'a {
    let mut at = 0;
    let lines = document.split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        (start, at, line)
    });
    lines.filter(move |(_, _, line)| line.trim() == marker).map(|(start, end, _)| (start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_changes() {
        let before = "# DR\r\n\r\nold words\r\n  <!-- stonewal:dr -->\r\n| stale |\r\n<!-- /stonewal:dr -->\r\nthe end, without a line end \u{e4}";
        let after = refresh(before, "DR.md", "| a |\n| --- |\n").unwrap();
        let want = "# DR\r\n\r\nold words\r\n  <!-- stonewal:dr -->\r\n| a |\r\n| --- |\r\n<!-- /stonewal:dr -->\r\nthe end, without a line end \u{e4}";
        assert_eq!(after, want);
        assert_eq!(refresh(&after, "DR.md", "| a |\n| --- |").unwrap(), after, "twice is once");
        let unix = "<!-- stonewal:dr -->\n<!-- /stonewal:dr -->";
        assert_eq!(refresh(unix, "DR.md", "x").unwrap(), "<!-- stonewal:dr -->\nx\n<!-- /stonewal:dr -->");
    }

    #[test]
    fn a_document_without_one_place_for_the_table_is_refused() {
        for (document, words) in [
            ("# DR\n", "it has no place"),
            ("<!-- stonewal:dr -->\n", "it has no place"),
            ("text <!-- stonewal:dr --> text\n<!-- /stonewal:dr -->\n", "it has no place"),
            ("<!-- /stonewal:dr -->\n<!-- stonewal:dr -->\n", "stands before"),
            ("<!-- stonewal:dr -->\n<!-- stonewal:dr -->\n<!-- /stonewal:dr -->\n", "more than one"),
        ] {
            let error = refresh(document, "DR.md", "x").unwrap_err().to_string();
            assert!(error.starts_with("DR.md: ") && error.contains(words), "{document}: {error}");
        }
    }
}
