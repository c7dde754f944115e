//! Small rooms: files of about 200 lines, functions that fit a screen.

use crate::source::{Source, item_end, line};
use crate::{Finding, check, files, rust};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn files_and_functions_are_small() {
    let files = files();
    let sources: Vec<Source> =
        ["src/", "tests/", "benches/", "fuzz/"].iter().flat_map(|folder| rust(&files, folder)).collect();
    let mut lengths: Vec<usize> = sources.iter().map(|source| source.text.lines().count()).collect();
    lengths.sort_unstable();
    println!(
        "{} files, median {} lines, longest {}",
        lengths.len(),
        lengths[lengths.len() / 2],
        lengths[lengths.len() - 1]
    );
    check(&sources.iter().flat_map(oversized).collect::<Vec<_>>());
}

fn oversized(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    let mut findings = Vec::new();
    if lines > FILE_LINES_MAX {
        let reason = format!("{lines} lines; a file has at most {FILE_LINES_MAX}: split it by concept");
        findings.push(Finding::new(&source.path, FILE_LINES_MAX + 1, reason));
    }
    for (name, first, last) in functions(&source.code) {
        let lines = last - first + 1;
        if lines > FUNCTION_LINES_MAX {
            let reason = format!("fn {name} has {lines} lines; a function has at most {FUNCTION_LINES_MAX}");
            findings.push(Finding::new(&source.path, first, reason));
        }
    }
    findings
}

/// Name, first and last line of every function with a body.
fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let before = code[..at].chars().next_back();
        let name: String = code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.is_empty() || before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let end = item_end(code.as_bytes(), at);
        if code[..end].ends_with('}') {
            found.push((name, line(code, at), line(code, end - 1)));
        }
    }
    found
}

#[test]
fn long_files_and_long_functions_are_found() {
    let long = format!("fn a() {{}}\nfn long<const N: usize>(x: [u8; 3]) -> X {{\n{}}}\n", "    f();\n".repeat(69));
    let found = oversized(&Source::new("x.rs", &long));
    assert_eq!(found, [Finding::new("x.rs", 2, "fn long has 71 lines; a function has at most 70")]);
    assert_eq!(oversized(&Source::new("x.rs", &"// x\n".repeat(401))).len(), 1);
    assert!(oversized(&Source::new("x.rs", &"// x\n".repeat(400))).is_empty());
}

#[test]
fn declarations_and_function_pointers_are_no_functions() {
    assert_eq!(functions("trait T { fn a(&self); fn b() {} }\ntype F = fn (u8);\n"), [("b".to_owned(), 1, 1)]);
}
