//! The configuration file: where it is, and its keys with their lines.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment::Environment;
use super::error::{Error, Origin, Result};
use super::key;
use super::layers::{Given, Layer, Raw};
use super::named::{self, NamedSection};
use super::secret_file;

/// A file that holds no more than settings is small.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Files to read, weakest first: the one named by the flag or `STONEWAL_CONFIG`, else the system's and the user's.
pub(super) fn layers(flag: Option<&Path>, environment: &Environment, system: &Path) -> Result<Vec<Layer>> {
    let named = flag.map(Path::to_owned).or_else(|| environment.get(key::CONFIG_VARIABLE).map(PathBuf::from));
    if let Some(path) = named {
        return Ok(vec![read(&path)?]);
    }
    let user = environment.get("XDG_CONFIG_HOME").map(PathBuf::from);
    let user = user.or_else(|| environment.get("HOME").map(|home| Path::new(home).join(".config")));
    let mut layers = Vec::new();
    for path in std::iter::once(system.to_owned()).chain(user.map(|dir| dir.join("stonewal/stonewal.toml"))) {
        match read(&path) {
            Err(Error::Unreadable { source, .. }) if absent(&source) => {}
            layer => layers.push(layer?),
        }
    }
    Ok(layers)
}

fn absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn read(path: &Path) -> Result<Layer> {
    let opened = secret_file::open("configuration file", path, FILE_BYTES_MAX)?;
    let layer = parse(path, &opened.text)?;
    let password = layer.get(key::POSTGRES_URL.path).is_some_and(|given| match &given.raw {
        Raw::One(url) => holds_password(url),
        Raw::List(_) => false,
    });
    if password {
        opened.require_private()?;
    }
    Ok(layer)
}

/// Whether a connection string seems to carry a password. Errs on the side of yes.
fn holds_password(url: &str) -> bool {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?']).next().unwrap_or(""));
    let in_authority = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    in_authority || url.contains("password")
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Layer> {
    let at = |span: Range<usize>| Origin::File { path: path.into(), line: line(text, span.start) };
    let table = DeTable::parse(text)
        .map_err(|error| Error::Syntax { at: at(error.span().unwrap_or(0..0)), problem: error.message().to_owned() })?;
    let mut layer = Layer::new();
    walk("", table.get_ref(), &at, &mut layer)?;
    Ok(layer)
}

fn walk(prefix: &str, table: &DeTable<'_>, at: &impl Fn(Range<usize>) -> Origin, layer: &mut Layer) -> Result<()> {
    for (name, value) in table {
        let path = if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
        let origin = at(name.span());
        let section = key::ALL.iter().any(|key| key.path.strip_prefix(&path).is_some_and(|rest| rest.starts_with('.')));
        match (key::by_path(&path), value.get_ref()) {
            (Some(key), value) => {
                let Some(raw) = raw(value) else {
                    let problem = format!("{} is not allowed here", article(value));
                    return Err(Error::Value { key: key.path.into(), at: origin, problem, allowed: key.allowed });
                };
                layer.insert(path, Given { raw, origin });
            }
            (None, DeValue::Table(inner)) if section => walk(&path, inner, at, layer)?,
            (None, DeValue::Table(inner)) if named::ALL.iter().any(|kind| kind.path == path) => {
                walk(&path, inner, at, layer)?;
            }
            (None, value) => {
                let kind = named::ALL.iter().find_map(|kind| Some((*kind, kind.name_in(&path)?)));
                let Some((kind, name)) = kind else {
                    let nearest = key::nearest_path(&path).map(str::to_owned);
                    return Err(Error::UnknownKey { nearest, key: path, at: origin });
                };
                walk_named(kind, name, (value, origin), at, layer)?;
            }
        }
    }
    Ok(())
}

/// A section that has a name of the operator's.
fn walk_named(
    kind: &'static NamedSection,
    name: &str,
    (value, origin): (&DeValue<'_>, Origin),
    at: &impl Fn(Range<usize>) -> Origin,
    layer: &mut Layer,
) -> Result<()> {
    let section = || kind.path_of(name, "").trim_end_matches('.').to_owned();
    let wrong = |problem: String, allowed| Error::Value { key: section().into(), at: origin.clone(), problem, allowed };
    if !named::is_name(name) {
        return Err(wrong(format!("{name:?} is not a name"), named::NAME_ALLOWED));
    }
    let DeValue::Table(keys) = value else {
        return Err(wrong(format!("{} is not allowed here", article(value)), "a section with keys of its own"));
    };
    if keys.is_empty() {
        // It would be there and mean nothing.
        return Err(wrong("the section is empty".into(), "a section with keys of its own"));
    }
    for (word, value) in keys {
        let (path, origin) = (kind.path_of(name, word.get_ref()), at(word.span()));
        let Some(key) = kind.key(word.get_ref()) else {
            return Err(Error::UnknownKey { nearest: kind.nearest(name, word.get_ref()), key: path, at: origin });
        };
        let Some(raw) = raw(value.get_ref()) else {
            let problem = format!("{} is not allowed here", article(value.get_ref()));
            return Err(Error::Value { key: path.into(), at: origin, problem, allowed: key.allowed });
        };
        layer.insert(path, Given { raw, origin });
    }
    Ok(())
}

/// The value as text; what it means is decided by its key.
fn raw(value: &DeValue<'_>) -> Option<Raw> {
    Some(match value {
        DeValue::Array(items) => Raw::List(items.iter().map(Spanned::get_ref).map(scalar).collect::<Option<_>>()?),
        other => Raw::One(scalar(other)?),
    })
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        _ => None,
    }
}

fn article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::Float(_) => "a fraction",
        DeValue::Datetime(_) => "a date",
        DeValue::Table(_) => "a section",
        DeValue::Array(_) => "a list of anything but plain values",
        _ => "such a value",
    }
}

fn line(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> Error {
        match parse(Path::new("/etc/s.toml"), text) {
            Ok(_) => panic!("accepted: {text}"),
            Err(error) => error,
        }
    }

    #[test]
    fn wrong_files_name_the_line_and_the_way_out() {
        for (text, message, hint) in [
            (
                "repository = \"s3://b\"\n\n[lock]\nretian = \"35d\"\n",
                "/etc/s.toml:4: unknown key lock.retian",
                "did you mean lock.retain?",
            ),
            ("retain = \"35d\"\n", "/etc/s.toml:1: unknown key retain", "did you mean lock.retain?"),
            (
                "[encryption]\nenabled = false\n",
                "/etc/s.toml:1: unknown key encryption",
                "README.md lists every key; remove this one",
            ),
            ("\nlock = \"35d\"\n", "/etc/s.toml:2: unknown key lock", "did you mean lock.mode?"),
            (
                "[dump]\nlevel = 1.5\n",
                "/etc/s.toml:2: dump.level: a fraction is not allowed here",
                "allowed: gzip 1 to 9",
            ),
            ("cluster = \"a\"\ncluster = \"b\"\n", "/etc/s.toml:2: duplicate key", "the file is TOML"),
            ("cluster = main\n", "/etc/s.toml:1: ", "the file is TOML"),
            (
                "[keys.recipients]\na = 1\n",
                "/etc/s.toml:1: keys.recipients: a section is not allowed here",
                "allowed: a list of age",
            ),
            (
                "[verify.chain.audit]\ntabel = \"a\"\n",
                "/etc/s.toml:2: unknown key verify.chain.audit.tabel",
                "did you mean verify.chain.audit.table?",
            ),
            (
                "[verify.chain.Audit]\ntable = \"a\"\n",
                "/etc/s.toml:1: verify.chain.Audit: \"Audit\" is not a name",
                "allowed: 1 to 63",
            ),
            (
                "[verify.chain]\naudit = 1\n",
                "/etc/s.toml:2: verify.chain.audit: such a value is not allowed here",
                "allowed: a section",
            ),
            (
                "\n[verify.chain.audit]\n",
                "/etc/s.toml:2: verify.chain.audit: the section is empty",
                "allowed: a section",
            ),
            (
                "[verify.chain.audit]\norder = 1.5\n",
                "/etc/s.toml:2: verify.chain.audit.order: a fraction",
                "allowed: a list of columns",
            ),
        ] {
            let error = error(text);
            assert!(error.to_string().starts_with(message), "{text:?}: {error}");
            assert!(error.hint().unwrap().starts_with(hint), "{text:?}: {:?}", error.hint());
        }
    }

    fn is_named(path: &str) -> bool {
        named::ALL.iter().any(|kind| path.starts_with(&format!("{}.", kind.path)))
    }

    #[test]
    fn dotted_keys_and_sections_mean_the_same() {
        for text in ["lock.retain = \"1y\"", "[lock]\nretain = \"1y\"", "lock = { retain = \"1y\" }"] {
            let layer = parse(Path::new("f"), text).unwrap_or_else(|e| panic!("{e}"));
            assert!(matches!(&layer["lock.retain"].raw, Raw::One(value) if value == "1y"));
        }
    }

    #[test]
    fn passwords_in_urls_are_noticed() {
        for (url, expected) in [
            ("postgres://u:p@h/d", true),
            ("postgres://u@h/d?password=p", true),
            ("host=h password=p", true),
            ("postgres://u:p@h1,h2:5433/d", true),
            ("postgres://u@h:5432/d", false),
            ("host=h user=u", false),
            ("postgres://h:5432/d", false),
        ] {
            assert_eq!(holds_password(url), expected, "{url}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_layer_or_an_error_with_a_line_in_it(text in "[a-z0-9.= \"\\[\\]{}\\n#é,-]{0,80}") {
            match parse(Path::new("f"), &text) {
                Ok(layer) => assert!(layer.keys().all(|path| key::by_path(path).is_some() || is_named(path))),
                Err(Error::UnknownKey { at: Origin::File { line, .. }, .. }
                    | Error::Value { at: Origin::File { line, .. }, .. }
                    | Error::Syntax { at: Origin::File { line, .. }, .. }) => {
                    assert!((1..=text.lines().count() + 1).contains(&line));
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}
