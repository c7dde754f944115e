//! The password file (PostgreSQL docs 34.16).

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use secrecy::SecretString;

use super::super::{Error, Result};

/// The file's text, `None` if there is no such file.
///
/// Like libpq, only a plain file is read. Unlike libpq, which warns and goes on without a password, a file that group
/// or others may read is an error: an unattended backup has nobody to see the warning.
pub(super) fn read(path: &Path) -> Result<Option<SecretString>> {
    let unusable = |what: &str| Error::File { path: path.into(), what: what.into() };
    let Ok(meta) = std::fs::metadata(path) else { return Ok(None) };
    if !meta.is_file() {
        return Err(unusable("the password file is not a plain file"));
    }
    if meta.mode() & 0o077 != 0 {
        return Err(unusable("group or others may read the password file; permissions must be u=rw (0600) or less"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| unusable(&format!("read the password file: {e}")))?;
    Ok(Some(SecretString::from(text)))
}

/// The password of the first line that fits. `host` is the name as given, `localhost` for the default socket.
pub(super) fn lookup(text: &str, host: &str, port: u16, dbname: &str, user: &str) -> Option<SecretString> {
    let wanted = [host, &port.to_string(), dbname, user];
    for line in text.lines() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        if let Some(password) = fits(line, &wanted) {
            return Some(SecretString::from(unescaped(password)));
        }
    }
    None
}

/// The rest of the line after four fields that fit.
fn fits<'l>(line: &'l str, wanted: &[&str; 4]) -> Option<&'l str> {
    let mut rest = line;
    for want in wanted {
        let (field, after) = split_field(rest)?;
        if field != "*" && unescaped(field) != *want {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

/// Up to the next colon that no backslash precedes.
fn split_field(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ':' => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\\' { plain.extend(chars.next()) } else { plain.push(c) }
    }
    plain
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn finds_the_first_fitting_line() {
        let file = "# comment:5432:*:*:no\nh:5432:other:u:no\nh:5433:*:u:no\nh:*:db:u:one\n*:*:*:*:two\n";
        let cases = [
            ("h", 5432, "db", "u", Some("one")),
            ("h", 5432, "x", "u", Some("two")),
            ("h", 5432, "other", "u", Some("no")),
            ("elsewhere", 1, "a", "b", Some("two")),
        ];
        for (host, port, db, user, want) in cases {
            let got = lookup(file, host, port, db, user);
            assert_eq!(got.as_ref().map(ExposeSecret::expose_secret), want, "{host} {port} {db} {user}");
        }
        assert!(lookup("h:1:d:u:p", "h", 2, "d", "u").is_none());
        assert!(lookup("h:1:d:u", "h", 1, "d", "u").is_none(), "a line without password");
    }

    #[test]
    fn escapes_are_undone_in_fields_and_password() {
        let got = lookup(r"\:\:1:5432:d\\b:u:p\:w\\x:y", "::1", 5432, r"d\b", "u").unwrap();
        assert_eq!(got.expose_secret(), r"p:w\x:y");
        assert!(lookup(r"\*:5432:d:u:p", "h", 5432, "d", "u").is_none(), "an escaped star is a star");
    }

    #[test]
    fn refuses_what_others_may_read() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pgpass");
        assert!(read(&path).unwrap().is_none(), "no file, no password");
        std::fs::write(&path, "*:*:*:*:p").unwrap();
        for (mode, good) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&path).is_ok(), good, "{mode:o}");
        }
        assert!(matches!(read(dir.path()), Err(Error::File { .. })));
    }
}
