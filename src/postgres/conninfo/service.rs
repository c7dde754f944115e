//! The connection service file (PostgreSQL docs 34.17): sections of named settings.

use std::path::PathBuf;

use super::super::{Error, Result};
use super::keywords;
use super::text::Pairs;

/// The settings of `service` from the first of `files` that defines it. A missing file is passed over unless it is
/// `required` (named by the operator), as libpq does.
pub(super) fn read(service: &str, files: &[(PathBuf, bool)]) -> Result<Pairs> {
    for (path, required) in files {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !required => continue,
            Err(e) => return Err(Error::File { path: path.clone(), what: format!("read the service file: {e}") }),
        };
        if let Some(pairs) = section(service, &text, path)? {
            return Ok(pairs);
        }
    }
    let looked: Vec<_> = files.iter().map(|(p, _)| p.display().to_string()).collect();
    let what = format!("\"{service}\" is not defined in {}", looked.join(" or "));
    Err(Error::Setting { name: "service".into(), what })
}

fn section(service: &str, text: &str, path: &std::path::Path) -> Result<Option<Pairs>> {
    let wrong = |line: usize, what: &str| Error::File { path: path.into(), what: format!("line {}: {what}", line + 1) };
    let mut found: Option<Pairs> = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            if name.split(']').next() == Some(service) {
                found = Some(Pairs::new());
            }
            continue;
        }
        let Some(pairs) = found.as_mut() else { continue };
        if line.starts_with("ldap://") {
            return Err(wrong(number, "LDAP look-up is not supported"));
        }
        let (name, value) = line.split_once('=').ok_or_else(|| wrong(number, "a setting lacks its \"=\""))?;
        let name = name.trim_end();
        if name == "service" || name == "servicefile" {
            return Err(wrong(number, "a service cannot name another service"));
        }
        if keywords::find(name).is_none() {
            return Err(Error::Setting {
                name: name.into(),
                what: format!("is not a parameter that libpq knows (service {service})"),
            });
        }
        // The first of two equal names wins in a service file (libpq fills only what is still unset).
        if !pairs.iter().any(|(n, _)| n == name) {
            pairs.push((name.to_owned(), value.trim_start().to_owned()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# c\n[one]\nhost=a\nhost=b\nuser = x\n\n[two]\nport=1\n[one]\nport=9\n[bad]\nnonsense=1\n[loop]\nservice=one\n";

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pg_service.conf");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn reads_one_section() {
        let (_dir, path) = file(FILE);
        let got = read("one", &[(path, true)]).unwrap();
        assert_eq!(got, [("host".into(), "a".into()), ("user".into(), "x".into())]);
    }

    #[test]
    fn falls_through_to_the_system_file() {
        let (_dir, path) = file(FILE);
        let missing = PathBuf::from("/nonexistent/pg_service.conf");
        assert_eq!(
            read("two", &[(missing.clone(), false), (path.clone(), false)]).unwrap(),
            [("port".into(), "1".into())]
        );
        assert!(matches!(read("two", &[(missing, true), (path, false)]), Err(Error::File { .. })));
    }

    #[test]
    fn names_what_is_wrong() {
        let (_dir, path) = file(FILE);
        let said = |service: &str| read(service, &[(path.clone(), true)]).unwrap_err().to_string();
        assert!(said("none").contains("\"none\" is not defined"));
        assert!(said("bad").contains("nonsense"));
        assert!(said("loop").contains("another service"));
    }
}
