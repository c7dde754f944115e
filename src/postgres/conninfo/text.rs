//! Connection strings: key=value text and URIs (PostgreSQL docs 34.1.1), read exactly as libpq reads them.
//!
//! No error repeats a value: a badly encoded password may end up anywhere in a URI.

use super::super::{Error, Result};
use super::keywords;

/// Settings in the order given; a later one of the same name wins.
pub(super) type Pairs = Vec<(String, String)>;

/// Reads a connection string. Text that is neither a URI nor key=value is a database name, as for psql.
pub(super) fn parse(text: &str) -> Result<Pairs> {
    let text = text.trim();
    for scheme in ["postgresql://", "postgres://"] {
        if let Some(rest) = text.strip_prefix(scheme) {
            return uri(rest);
        }
    }
    if text.contains("://") {
        return Err(bad("URL", "must begin with postgresql:// or postgres://"));
    }
    if text.is_empty() || text.contains('=') { key_value(text) } else { Ok(vec![("dbname".into(), text.into())]) }
}

fn bad(name: &str, what: &str) -> Error {
    Error::Setting { name: name.into(), what: what.into() }
}

fn key_value(text: &str) -> Result<Pairs> {
    let mut pairs = Pairs::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_ascii_whitespace()).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let Some(after) = after.trim_start().strip_prefix('=') else {
            return Err(bad("connection string", "a setting lacks its \"=\""));
        };
        known(name)?;
        let (value, after) = value(name, after.trim_start())?;
        pairs.push((name.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(pairs)
}

/// One value: quoted or up to white space, with backslash escapes in both.
fn value<'t>(name: &str, text: &'t str) -> Result<(String, &'t str)> {
    let (body, quoted) = match text.strip_prefix('\'') {
        Some(body) => (body, true),
        None => (text, false),
    };
    let mut value = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            '\'' if quoted => return Ok((value, &body[at + 1..])),
            c if !quoted && c.is_ascii_whitespace() => return Ok((value, &body[at..])),
            c => value.push(c),
        }
    }
    if quoted { Err(bad(name, "the closing quote is missing")) } else { Ok((value, "")) }
}

/// What follows `postgresql://`.
fn uri(rest: &str) -> Result<Pairs> {
    let mut pairs = Pairs::new();
    let rest = match rest.find(['@', '/']) {
        Some(at) if rest.as_bytes()[at] == b'@' => {
            credentials(&rest[..at], &mut pairs)?;
            &rest[at + 1..]
        }
        _ => rest,
    };
    let (authority, rest) = rest.split_at(authority_end(rest)?);
    hosts(authority, &mut pairs)?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let dbname = path.strip_prefix('/').unwrap_or(path);
    if !dbname.is_empty() {
        pairs.push(("dbname".into(), decoded("dbname", dbname)?));
    }
    for part in query.split('&').filter(|p| !p.is_empty()) {
        pairs.push(parameter(part)?);
    }
    Ok(pairs)
}

/// Where the host list ends; colons and slashes inside `[…]` do not count.
fn authority_end(text: &str) -> Result<usize> {
    let mut inside = false;
    for (at, c) in text.char_indices() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            '/' | '?' if !inside => return Ok(at),
            _ => {}
        }
    }
    if inside { Err(bad("host", "the closing \"]\" of an IPv6 address is missing")) } else { Ok(text.len()) }
}

fn credentials(text: &str, pairs: &mut Pairs) -> Result<()> {
    let (user, password) = text.split_once(':').map_or((text, None), |(u, p)| (u, Some(p)));
    if !user.is_empty() {
        pairs.push(("user".into(), decoded("user", user)?));
    }
    if let Some(password) = password.filter(|p| !p.is_empty()) {
        pairs.push(("password".into(), decoded("password", password)?));
    }
    Ok(())
}

fn hosts(authority: &str, pairs: &mut Pairs) -> Result<()> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for part in authority.split(',') {
        let (host, port) = if let Some(inner) = part.strip_prefix('[') {
            let (host, after) = inner.split_once(']').ok_or_else(|| bad("host", "the closing \"]\" is missing"))?;
            match after.strip_prefix(':') {
                Some(port) => (host, port),
                None if after.is_empty() => (host, ""),
                None => return Err(bad("host", "only \":port\" may follow the \"]\" of an IPv6 address")),
            }
        } else {
            part.split_once(':').unwrap_or((part, ""))
        };
        hosts.push(decoded("host", host)?);
        ports.push(decoded("port", port)?);
    }
    if hosts.iter().any(|h| !h.is_empty()) {
        pairs.push(("host".into(), hosts.join(",")));
    }
    if ports.iter().any(|p| !p.is_empty()) {
        pairs.push(("port".into(), ports.join(",")));
    }
    Ok(())
}

fn parameter(part: &str) -> Result<(String, String)> {
    let Some((name, value)) = part.split_once('=') else {
        return Err(bad("URL", "a query parameter lacks its \"=\""));
    };
    let name = decoded("URL", name)?;
    if name == "ssl" && value == "true" {
        return Ok(("sslmode".into(), "require".into()));
    }
    known(&name)?;
    let value = decoded(&name, value)?;
    Ok((name, value))
}

fn known(name: &str) -> Result<()> {
    if keywords::find(name).is_some() {
        return Ok(());
    }
    // The name itself is shown only if it looks like one; it may be a torn piece of a password.
    let is_word = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let shown = if is_word && name.len() <= 40 { name } else { "connection string" };
    Err(bad(shown, "is not a parameter that libpq knows"))
}

/// Percent-decoding; `%00` and broken sequences are errors, `+` is itself (libpq, `conninfo_uri_decode`).
fn decoded(name: &str, text: &str) -> Result<String> {
    let broken = || bad(name, "a \"%\" must be followed by two hexadecimal digits, not 00; write % as %25");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digit = |at: usize| after.get(at).and_then(|b| char::from(*b).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else { return Err(broken()) };
        let byte = u8::try_from(high * 16 + low).map_err(|_| broken())?;
        if byte == 0 {
            return Err(broken());
        }
        bytes.push(byte);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| bad(name, "is not UTF-8 after percent-decoding"))
}
