//! What must not stand in any file: leftovers, paths of one machine, mirrors of registries, prints outside the cli.

use crate::imports::{is_or_below, test_files};
use crate::source::{Source, line};
use crate::{Finding, Text, check, files, has_extension, rust};

/// Put together here, so that this file does not trip its own rules.
const LEFTOVERS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
const MACHINE_PATHS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tmp/", "brief"), concat!("/Us", "ers/")];
const MIRRORS: [&str; 6] = [
    concat!("index", "-url"),
    concat!("replace", "-with"),
    concat!("CARGO_REGISTR", "IES"),
    concat!("PIP_IN", "DEX"),
    concat!("GOPRO", "XY"),
    concat!("deb ", "http"),
];
const PRINTS: [&str; 5] = ["println!", "eprintln!", "print!", "eprint!", "dbg!"];

#[test]
fn no_leftovers_machine_paths_or_mirrors() {
    check(&files().iter().flat_map(forbidden_words).collect::<Vec<_>>());
}

#[test]
fn the_lock_file_knows_one_registry() {
    let lock = files().into_iter().find(|file| file.path == "Cargo.lock").expect("Cargo.lock is committed");
    check(&foreign_sources(&lock.text));
}

#[test]
fn only_the_command_line_prints() {
    let sources = rust(&files(), "src/");
    let tests = test_files(&sources);
    let silent = sources.iter().filter(|s| !s.path.starts_with("src/cli/") && s.path != "src/cli.rs");
    let shipped = silent.filter(|s| !tests.iter().any(|test| is_or_below(&s.path, test)));
    check(&shipped.flat_map(prints).collect::<Vec<_>>());
}

fn forbidden_words(file: &Text) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, text) in file.text.lines().enumerate() {
        let mut find = |reason: String| findings.push(Finding::new(&file.path, number + 1, reason));
        if let Some(word) = LEFTOVERS.iter().find(|word| has_word(text, word)) {
            find(format!("{word}: finish it or say in plain words why it is so"));
        }
        if let Some(path) = MACHINE_PATHS.iter().find(|path| text.contains(**path)) {
            find(format!("{path} is a path of one machine"));
        }
        if let Some(word) = MIRRORS.iter().find(|word| text.contains(**word)) {
            find(format!("{word}: where packages come from is the machine's business"));
        }
        let rust_allow = has_extension(&file.path, "rs") && text.trim_start().starts_with(concat!("#[al", "low("));
        if rust_allow {
            find("use #[expect(lint, reason = \"..\")]".into());
        }
    }
    findings
}

fn has_word(text: &str, word: &str) -> bool {
    let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
    text.match_indices(word)
        .any(|(at, _)| edge(text[..at].chars().next_back()) && edge(text[at + word.len()..].chars().next()))
}

fn foreign_sources(lock: &str) -> Vec<Finding> {
    let known = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    let sources = lock.lines().enumerate().filter(|(_, text)| text.starts_with("source = ") && *text != known);
    sources.map(|(number, text)| Finding::new("Cargo.lock", number + 1, format!("{text} is not crates.io"))).collect()
}

fn prints(source: &Source) -> Vec<Finding> {
    let code = source.shipped();
    let mut findings = Vec::new();
    for print in PRINTS {
        for (at, _) in code.match_indices(print) {
            if !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                findings.push(Finding::new(&source.path, line(&code, at), format!("{print} outside cli")));
            }
        }
    }
    findings
}

#[test]
fn each_word_rule_can_fail() {
    let reasons = |text: &str| forbidden_words(&Text { path: "src/a.rs".into(), text: text.into() }).len();
    for words in [&LEFTOVERS[..], &MACHINE_PATHS, &MIRRORS] {
        for word in words {
            assert_eq!(reasons(&format!("fine\n// see {word} here\n")), 1, "{word}");
        }
    }
    assert_eq!(reasons(concat!("#[al", "low(dead_code)]")), 1);
    assert_eq!(reasons("network/ mkdir FIXMEUP is fine"), 0);
    assert_eq!(foreign_sources("name = \"a\"\nsource = \"registry+https://example.org/index\"\n")[0].line, 2);
}

#[test]
fn prints_are_found_in_code_only() {
    let text = "fn f() {\n    println!(\"x\");\n    // println!\n    my_println!();\n}\n#[cfg(test)]\nmod tests { fn g() { println!(); } }";
    let found = prints(&Source::new("src/a.rs", text));
    assert_eq!(found, [Finding::new("src/a.rs", 2, "println! outside cli")]);
}
