//! Errors in words.

use std::error::Error;

/// An error and its causes on one line. A cause that the text before it already tells is left out.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !tells(&text, &said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    text
}

/// Whether `text` tells what `said` says: all of it, or what follows labels such as "db error: ERROR: ".
fn tells(text: &str, said: &str) -> bool {
    /// Shorter remainders may stand in `text` by accident.
    const BYTES_MIN: usize = 20;
    let first = said.lines().next().unwrap_or_default();
    let remainders = first.match_indices(": ").map(|(at, label)| &first[at + label.len()..]);
    text.contains(said) || remainders.filter(|rest| rest.len() >= BYTES_MIN).any(|rest| text.contains(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_only_adds_labels_is_left_out() {
        let text = "run a statement: relation \"t\" does not exist [42P01]";
        assert!(tells(text, "db error: ERROR: relation \"t\" does not exist\nHINT: look"));
        assert!(!tells("no connection to db: timed out", "io error: Connection refused (os error 111)"));
        assert!(!tells("a: refused", "b: refused"));
    }
}
