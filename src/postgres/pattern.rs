//! psql's object name patterns (PostgreSQL docs, psql "Patterns"), so that what is counted is what pg_dump dumps.

use super::{Error, Result};

/// A pattern as two regular expressions for the server; without a schema it means relations on the `search_path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) schema: Option<String>,
    pub(super) name: String,
}

/// Schema patterns: one part.
pub(super) fn schema(text: &str) -> Result<String> {
    match parts(text)?.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(unfit(text)),
    }
}

/// Table patterns: `name` or `schema.name`.
pub(super) fn table(text: &str) -> Result<Pattern> {
    match parts(text)?.as_slice() {
        [name] => Ok(Pattern { schema: None, name: name.clone() }),
        [schema, name] => Ok(Pattern { schema: Some(schema.clone()), name: name.clone() }),
        _ => Err(unfit(text)),
    }
}

fn unfit(text: &str) -> Error {
    Error::Unsupported { what: format!("the pattern {text} has too many dots or an open quote") }
}

/// Follows `patternToSQLRegex`: `*` and `?` outside quotes, folding outside quotes, everything literal inside.
fn parts(text: &str) -> Result<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '.' && !quoted {
            parts.push(String::new());
            continue;
        }
        let Some(part) = parts.last_mut() else { continue };
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                part.push('"');
            }
            '"' => quoted = !quoted,
            '*' if !quoted => part.push_str(".*"),
            '?' if !quoted => part.push('.'),
            '$' => part.push_str("\\$"),
            c if quoted && "|*+?()[]{}.^\\".contains(c) => part.extend(['\\', c]),
            c if quoted => part.push(c),
            c => part.extend(c.to_lowercase()),
        }
    }
    if quoted || parts.iter().any(String::is_empty) {
        return Err(unfit(text));
    }
    Ok(parts.into_iter().map(|part| format!("^({part})$")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_become_regular_expressions() {
        let cases = [
            ("Audit_*", None, "^(audit_.*)$"),
            ("s.t?", Some("^(s)$"), "^(t.)$"),
            ("\"Weird.Name\"", None, "^(Weird\\.Name)$"),
            ("\"a\"\"b\".c", Some("^(a\"b)$"), "^(c)$"),
            ("a$b", None, "^(a\\$b)$"),
            ("(a|b)", None, "^((a|b))$"),
            ("Ä*", None, "^(ä.*)$"),
        ];
        for (text, schema, name) in cases {
            assert_eq!(
                table(text).unwrap(),
                Pattern { schema: schema.map(str::to_owned), name: name.into() },
                "{text}"
            );
        }
        for bad in ["a.b.c", "\"open", "", "a."] {
            assert!(table(bad).is_err(), "{bad}");
        }
        assert!(schema("a.b").is_err());
    }
}
