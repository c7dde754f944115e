//! Tables, fields of hash chains, patterns of databases.

use super::Parsed;
use crate::config::settings::{ChainField, ChainForm, RequiredTable, TableRef};

/// `SCHEMA.TABLE` or `TABLE`; a part with a dot in it stands in double quotes.
pub(in crate::config) fn table(text: &str) -> Parsed<TableRef> {
    let (schema, table) = table_parts(text)?;
    Ok(TableRef { schema: schema.unwrap_or_else(|| "public".into()), table })
}

/// The same as its parts; the schema only if it is given.
pub(in crate::config) fn table_parts(text: &str) -> Parsed<(Option<String>, String)> {
    let unfit = || format!("{text:?} is not the name of a table");
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.trim().chars().peekable();
    while let Some(c) = chars.next() {
        let last = parts.last_mut().ok_or_else(unfit)?;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                last.push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            c => last.push(c),
        }
    }
    if quoted || parts.iter().any(String::is_empty) {
        return Err(unfit());
    }
    match <[String; 2]>::try_from(parts) {
        Ok([schema, table]) => Ok((Some(schema), table)),
        Err(mut parts) if parts.len() == 1 => Ok((None, parts.remove(0))),
        Err(_) => Err(unfit()),
    }
}

/// A table, and `>= ROWS` behind it if it must have so many.
pub(in crate::config) fn required_table(text: &str) -> Parsed<RequiredTable> {
    let Some((name, rows)) = text.rsplit_once(">=") else {
        return Ok(RequiredTable { table: table(text)?, min_rows: None });
    };
    let rows = rows.trim();
    let min_rows = rows.parse().map_err(|_| format!("{rows:?} is not a number of rows"))?;
    Ok(RequiredTable { table: table(name)?, min_rows: Some(min_rows) })
}

/// `NAME`, `NAME=COLUMN`, either with `:FORM`.
pub(in crate::config) fn chain_field(text: &str) -> Parsed<ChainField> {
    let forms = [
        ("text", ChainForm::Text),
        ("number", ChainForm::Number),
        ("boolean", ChainForm::Boolean),
        ("json", ChainForm::Json),
        ("time", ChainForm::Time),
    ];
    let (names, form) = match text.rsplit_once(':') {
        None => (text, None),
        Some((names, word)) => (names, Some(super::choice(word.trim(), &forms)?)),
    };
    let (name, column) = names.split_once('=').unwrap_or((names, names));
    let (name, column) = (name.trim().to_owned(), column.trim().to_owned());
    if name.is_empty() || column.is_empty() {
        return Err(format!("{text:?} is not a field"));
    }
    Ok(ChainField { name, column, form })
}

/// A hash as it is stored, of whatever form.
pub(in crate::config) fn chain_head(text: &str) -> Parsed<String> {
    if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("{text:?} is not a hash"));
    }
    Ok(text.into())
}

/// `HOST/DATABASE`. Without the slash it could mean either.
pub(in crate::config) fn host_pattern(text: &str) -> Parsed<String> {
    match text.rsplit_once('/') {
        Some((host, database)) if !host.is_empty() && !database.is_empty() => Ok(text.into()),
        _ => Err(format!("{text:?} is not HOST/DATABASE")),
    }
}

/// The address of a document. What it holds is printed, so it holds no secret: no user, no password, no query.
pub(in crate::config) fn web_address(text: &str) -> Parsed<String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let rest = rest.ok_or("an address starts with http:// or https://")?;
    if rest.contains('@') {
        return Err("an address holds no user or password".into());
    }
    let visible = rest.bytes().all(|c| c.is_ascii_graphic()) && !rest.contains(['?', '#', '\\']);
    if rest.is_empty() || rest.starts_with(['/', ':']) || !visible {
        return Err("that is not the address of a document".into());
    }
    Ok(text.into())
}

/// `NAME.NAME`: the way into a JSON document.
pub(in crate::config) fn json_field(text: &str) -> Parsed<Vec<String>> {
    let names: Vec<String> = text.split('.').map(str::to_owned).collect();
    if names.iter().any(String::is_empty) {
        return Err(format!("{text:?} is not the name of a field"));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_split_at_dots_outside_quotes() {
        for (text, schema, name) in [
            ("audit_logs", "public", "audit_logs"),
            ("a.B", "a", "B"),
            ("\"a.b\".c", "a.b", "c"),
            ("\"a\"\"b\"", "public", "a\"b"),
            (" x ", "public", "x"),
        ] {
            assert_eq!(table(text), Ok(TableRef { schema: schema.into(), table: name.into() }), "{text}");
        }
        for bad in ["", "a.b.c", "a.", ".a", "\"open"] {
            assert!(table(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn required_tables_say_how_many_rows() {
        assert_eq!(required_table("a").unwrap().min_rows, None);
        let some = required_table("s.a >= 1000").unwrap();
        assert_eq!((some.table.table.as_str(), some.min_rows), ("a", Some(1000)));
        assert!(required_table("a >= many").is_err() && required_table(">= 3").is_err());
    }

    #[test]
    fn fields_have_names_columns_and_forms() {
        let field = |name: &str, column: &str, form| ChainField { name: name.into(), column: column.into(), form };
        assert_eq!(chain_field("action"), Ok(field("action", "action", None)));
        assert_eq!(chain_field("userId=user_id"), Ok(field("userId", "user_id", None)));
        assert_eq!(chain_field("at = created : time"), Ok(field("at", "created", Some(ChainForm::Time))));
        assert_eq!(chain_field("id:text"), Ok(field("id", "id", Some(ChainForm::Text))));
        assert!(chain_field("a:date").is_err() && chain_field("=b").is_err());
    }

    #[test]
    fn a_head_is_one_word() {
        assert_eq!(chain_head("a/b+c=="), Ok("a/b+c==".into()));
        assert!(chain_head("").is_err() && chain_head("ab cd").is_err());
    }

    #[test]
    fn i13_an_address_holds_no_secret() {
        for good in ["http://app.example/api/system/version", "https://app.example:8443/v", "http://[::1]:3000/v"] {
            assert_eq!(web_address(good).as_deref(), Ok(good));
        }
        for bad in [
            "app.example/v",
            "ftp://app.example",
            "https://u:sentinel@h/v",
            "https://h/v?token=sentinel",
            "https:///v",
            "http://h/a b",
        ] {
            assert!(!web_address(bad).unwrap_err().contains("sentinel"), "{bad}");
        }
        assert_eq!(json_field("a.b").unwrap(), ["a", "b"]);
        assert!(json_field("a..b").is_err() && json_field("").is_err());
    }

    #[test]
    fn a_pattern_names_host_and_database() {
        assert!(host_pattern("db*.example/app").is_ok() && host_pattern("*/prod").is_ok());
        assert!(host_pattern("prod").is_err() && host_pattern("/prod").is_err());
    }
}
