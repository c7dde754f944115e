//! Who may use what: the table of docs/ARCHITECTURE.md.

use crate::source::{Source, line};
use crate::{Finding, check, files, read, rust};

/// Module, and the modules of this crate that it may name. A path allows what is below it; `store` stands for its
/// traits and types, not for one of the implementations in [`STORES`].
const TABLE: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("observe", &[]),
    ("format", &["limits"]),
    ("keys", &["format", "limits", "observe"]),
    ("store", &["limits", "observe"]),
    ("kms", &["keys", "store", "limits", "observe"]),
    ("pipeline", &["format", "keys", "store", "limits", "observe"]),
    ("postgres", &["format::Lsn", "format::SegmentSize", "format::Timeline", "pipeline::stage", "limits", "observe"]), // positions in the WAL
    ("catalog", &["format", "keys", "store", "pipeline::stage", "limits", "observe"]), // the receipts that commit consumes
    ("retention", &["format", "catalog", "store", "limits", "observe"]),
    ("verify", &["format", "catalog", "pipeline", "keys", "store", "postgres", "limits", "observe"]),
    (
        "commands",
        &[
            "format",
            "keys",
            "kms",
            "store",
            "store::s3",
            "store::embedded",
            "store::roles",
            "pipeline",
            "postgres",
            "catalog",
            "retention",
            "verify",
            "config",
            "limits",
            "observe",
        ],
    ),
    ("config", &["limits"]),
    ("cli", &["commands", "config", "limits", "observe"]),
];

/// Stores: code that works on any of them names none of them.
const STORES: &[&str] = &["store::s3", "store::embedded", "store::faulty", "store::memory", "store::roles"];

/// Modules of the table that are not written yet. An entry must go when its module comes.
const PLANNED: &[&str] = &[];

#[test]
fn modules_import_only_what_the_table_allows() {
    let sources = rust(&files(), "src/");
    let tests = test_files(&sources);
    let shipped = sources.iter().filter(|source| !tests.iter().any(|test| is_or_below(&source.path, test)));
    check(&shipped.flat_map(breaches).collect::<Vec<_>>());
}

#[test]
fn the_crate_documentation_lists_exactly_the_modules_of_the_table() {
    let lib = read("src/lib.rs");
    check(&module_list(&lib));
}

/// Files that a `#[cfg(test)] mod name;` declares, without extension.
pub(crate) fn test_files(sources: &[Source]) -> Vec<String> {
    let files = sources.iter().flat_map(|source| {
        let folder = source.path.trim_end_matches(".rs").trim_end_matches("/mod").to_owned();
        let folder = if folder == "src/lib" || folder == "src/main" { "src".to_owned() } else { folder };
        source.test_modules().into_iter().map(move |name| format!("{folder}/{name}"))
    });
    files.collect()
}

pub(crate) fn is_or_below(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

fn breaches(source: &Source) -> Vec<Finding> {
    let path = source.path.trim_start_matches("src/");
    let module = path.split(['/', '.']).next().unwrap_or(path);
    if module == "lib" {
        return Vec::new();
    }
    let code = source.shipped();
    let finding = |offset, reason: String| Finding::new(&source.path, line(&code, offset), reason);
    if module == "main" {
        let foreign = paths(&code, "stonewal").into_iter().filter(|(_, path)| path.first().is_none_or(|m| m != "cli"));
        return foreign
            .map(|(at, path)| finding(at, format!("main may use cli only, not {}", path.join("::"))))
            .collect();
    }
    let Some((_, allowed)) = TABLE.iter().find(|(name, _)| *name == module) else {
        return vec![Finding::new(&source.path, 1, format!("module {module} is not in the table"))];
    };
    let mut findings = Vec::new();
    for (at, path) in paths(&code, "crate") {
        if path.first().is_none_or(|first| first == module) || is_allowed(&path, allowed, module) {
            continue;
        }
        findings.push(finding(at, format!("{module} may not use crate::{}", path.join("::"))));
    }
    findings
}

fn is_allowed(path: &[String], allowed: &[&str], module: &str) -> bool {
    if path[0].starts_with(char::is_uppercase) {
        return matches!(module, "commands" | "cli"); // crate::Error, of which the lower modules know nothing
    }
    let full = path.join("::");
    let covers = |prefix: &str| full == prefix || full.strip_prefix(prefix).is_some_and(|rest| rest.starts_with("::"));
    if let Some(store) = STORES.iter().find(|store| covers(store)) {
        return allowed.contains(store);
    }
    allowed.iter().any(|prefix| covers(prefix))
}

/// Every path that starts at `root::` in the code, groups taken apart, with the offset of its root.
fn paths(code: &str, root: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(root) {
        let bytes = code.as_bytes();
        let inside_word =
            |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'$');
        if at > 0 && inside_word(bytes.get(at - 1)) || inside_word(bytes.get(at + root.len())) {
            continue;
        }
        let tokens = tokens(&code[at + root.len()..]);
        if tokens.first().is_some_and(|token| token == "::") {
            let mut all = Vec::new();
            expand(&tokens, 1, &mut Vec::new(), &mut all);
            found.extend(all.into_iter().map(|path| (at, path)));
        }
    }
    found
}

/// Reads one use tree from `at`, adds its paths, returns the position after it.
fn expand(tokens: &[String], mut at: usize, prefix: &mut Vec<String>, all: &mut Vec<Vec<String>>) -> usize {
    let depth = prefix.len();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    let before = at;
                    at = expand(tokens, at, prefix, all);
                    at += usize::from(tokens.get(at).is_some_and(|token| token == ",") || at == before);
                }
                prefix.truncate(depth);
                return at + 1;
            }
            Some(word) if word.starts_with(|c: char| c.is_alphabetic() || c == '_') || word == "*" => {
                prefix.push(word.to_owned());
                at += 1;
                if tokens.get(at).is_some_and(|token| token == "::") {
                    at += 1;
                    continue;
                }
                all.push(prefix.clone());
                if tokens.get(at).is_some_and(|token| token == "as") {
                    at += 2;
                }
            }
            _ => {}
        }
        prefix.truncate(depth);
        return at;
    }
}

/// Words, `::` and single marks up to the end of the statement, enough to read a use tree.
fn tokens(code: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let length = if word > 0 {
            word
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        if first == ';' || tokens.len() > 2000 {
            break;
        }
        tokens.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    tokens
}

fn module_list(lib: &str) -> Vec<Finding> {
    let documented: Vec<&str> = lib
        .lines()
        .filter_map(|l| l.strip_prefix("//! - [`")?.split_once('`'))
        .map(|(n, _)| n.trim_start_matches("mod@"))
        .collect();
    let declared: Vec<&str> =
        lib.lines().filter_map(|l| l.trim().strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let mut findings = Vec::new();
    let mut find = |reason: String| findings.push(Finding::new("src/lib.rs", 1, reason));
    for module in &declared {
        if !documented.contains(module) {
            find(format!("module {module} is not in the crate documentation"));
        }
        if !TABLE.iter().any(|(name, _)| name == module) {
            find(format!("module {module} is not in the table of tests/tidy/imports.rs"));
        }
        if PLANNED.contains(module) {
            find(format!("module {module} exists: take it out of PLANNED in tests/tidy/imports.rs"));
        }
    }
    for module in documented.iter().filter(|module| !declared.contains(module) && !PLANNED.contains(module)) {
        find(format!("the crate documentation names {module}, which does not exist"));
    }
    findings
}

#[test]
fn a_forbidden_import_is_found_in_every_spelling() {
    for code in [
        "use crate::store::Put;",
        "use crate::{limits, store::{Put, Read}};",
        "use crate :: { keys :: Key } ;",
        "fn f() { crate::keys::wrap(); }",
        "pub(crate) use crate::observe as watch;",
        "type T = Vec<crate::cli::X>;",
    ] {
        let source = Source::new("src/format/seal.rs", code);
        assert!(!breaches(&source).is_empty(), "{code}");
    }
}

#[test]
fn what_the_table_allows_passes() {
    for (file, code) in [
        ("src/format/seal.rs", "use crate::limits::{A, B}; use crate::format::Header; // crate::store::X"),
        ("src/pipeline.rs", "use crate::{format::{self, Frame}, store::{Read, Append}};"),
        ("src/postgres/child.rs", "use crate::pipeline::stage::SourceReceipt;"),
        ("src/commands/init.rs", "use crate::store::s3::S3; use crate::Error;"),
        ("src/format.rs", "#[cfg(test)] mod tests { use crate::store::Put; }"),
        ("src/config.rs", "macro_rules! m { () => { \"crate::store::x\" } }"),
    ] {
        assert_eq!(breaches(&Source::new(file, code)), [], "{code}");
    }
}

#[test]
fn finer_rules_hold_too() {
    for (file, code) in [
        ("src/postgres/child.rs", "use crate::pipeline::upload;"),
        ("src/catalog.rs", "use crate::store::{Read, s3::S3};"),
        ("src/pipeline.rs", "use crate::store::embedded::Server;"),
        ("src/keys.rs", "use crate::Error;"),
        ("src/novel.rs", "fn f() {}"),
        ("src/main.rs", "use stonewal::store::Read;"),
    ] {
        assert_eq!(breaches(&Source::new(file, code)).len(), 1, "{code}");
    }
    let lib = "//! - [`limits`]: x\n//! - [`keys`]: x\npub mod limits;\npub mod retention;\npub mod novel;\n";
    let reasons: Vec<String> = module_list(lib).into_iter().map(|finding| finding.reason).collect();
    assert_eq!(reasons.len(), 4, "{reasons:#?}");
}
