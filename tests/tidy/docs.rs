//! What documents must say, and that it is so.

use std::os::unix::fs::PermissionsExt;

use crate::source::line;
use crate::{Finding, check, files, read, root, rust};

/// Documents that carry the table of exit codes.
const EXIT_CODE_TABLES: [&str; 2] = ["README.md", "docs/RUNBOOK.md"];

/// The commands that README.md gives.
const COMMANDS: [&str; 2] = ["scripts/demo", "scripts/test"];

const INVARIANTS: u8 = 13;

/// Invariants that no code can break yet. An entry goes when its first test comes.
const NOT_APPLICABLE_YET: &[(u8, &str)] = &[];

#[test]
fn exit_codes_are_documented() {
    check(&EXIT_CODE_TABLES.iter().flat_map(|path| missing_codes(path, &read(path))).collect::<Vec<_>>());
}

#[test]
fn the_two_commands_exist_and_run() {
    let readme = read("README.md");
    for command in COMMANDS {
        assert!(readme.contains(command), "README.md:1: does not name {command}");
        let mode = std::fs::metadata(root().join(command))
            .unwrap_or_else(|error| panic!("{command}:1: {error}"))
            .permissions();
        assert!(mode.mode() & 0o111 == 0o111, "{command}:1: is not executable");
    }
}

#[test]
fn every_invariant_has_a_test_of_its_name() {
    let files = files();
    let sources: Vec<_> = ["src/", "tests/"].iter().flat_map(|folder| rust(&files, folder)).collect();
    let code: Vec<&str> = sources.iter().filter(|s| s.path != "tests/tidy/docs.rs").map(|s| s.code.as_str()).collect();
    check(&untested_invariants(&code, NOT_APPLICABLE_YET));
}

#[test]
fn every_key_is_in_the_reference_with_its_default() {
    let table = read("src/config/key.rs");
    let keys: Vec<_> = table.lines().filter_map(key).collect();
    assert!(keys.len() > 30, "src/config/key.rs:1: the table was not understood, {} keys found", keys.len());
    check(&unexplained(&keys, &read("README.md")));
    let named = stonewal::config::named::ALL.iter().flat_map(|section| section.keys);
    let named: Vec<_> = named.map(|key| (key.path, key.default)).collect();
    check(&unexplained(&named, &read("README.md")));
}

#[test]
fn every_reason_of_a_status_is_in_the_runbook() {
    let files = files();
    let sources = rust(&files, "src/commands/status/health");
    let names: Vec<&str> = sources.iter().flat_map(|source| reasons(&source.text)).collect();
    assert!(names.len() > 15, "src/commands/status/health:1: the reasons were not understood, {} found", names.len());
    check(&without_row(&names, &read("docs/RUNBOOK.md")));
}

#[test]
fn every_playbook_is_played() {
    let files = files();
    let tests: Vec<_> = rust(&files, "tests/it/").into_iter().map(|source| source.text).collect();
    let runbook = read("docs/RUNBOOK.md");
    assert!(playbooks(&runbook).len() > 8, "docs/RUNBOOK.md:1: the playbooks were not understood");
    check(&unplayed(&runbook, &tests));
}

#[test]
fn every_module_is_on_the_map() {
    let map = read("docs/ARCHITECTURE.md");
    let lib = read("src/lib.rs");
    let modules = lib.lines().filter_map(|text| text.strip_prefix("pub mod ")?.strip_suffix(';'));
    let missing = modules.filter(|module| !map.contains(&format!("\n| `{module}` |")));
    let finding = |module: &str| Finding::new("docs/ARCHITECTURE.md", 1, format!("module {module} is not on the map"));
    check(&missing.map(finding).collect::<Vec<_>>());
}

#[test]
fn the_changelog_has_an_unreleased_section() {
    assert!(
        read("CHANGELOG.md").lines().any(|text| text == "## [Unreleased]"),
        "CHANGELOG.md:1: no section Unreleased"
    );
}

#[test]
fn links_between_documents_lead_somewhere() {
    let files = files();
    let documents = files.iter().filter(|file| crate::has_extension(&file.path, "md"));
    check(&documents.flat_map(|file| dead_links(&file.path, &file.text)).collect::<Vec<_>>());
}

/// Path and default of a key, from its line in the table.
fn key(text: &str) -> Option<(&str, Option<&str>)> {
    let (name, rest) = text.trim().split_once(" = \"")?;
    let constant = !name.is_empty() && name.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_');
    let (path, rest) = rest.split_once("\", \"STONEWAL_").filter(|_| constant)?;
    Some((path, rest.split_once("Some(\"").and_then(|(_, rest)| rest.split_once('"')).map(|(default, _)| default)))
}

fn unexplained(keys: &[(&str, Option<&str>)], readme: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, default) in keys {
        let row = readme.lines().enumerate().find(|(_, row)| row.starts_with(&format!("| `{path}` |")));
        let Some((number, row)) = row else {
            findings.push(Finding::new("README.md", 1, format!("does not explain the key {path}")));
            continue;
        };
        let shown = row.split('|').nth(2).unwrap_or_default();
        if default.is_some_and(|default| shown.trim() != format!("`{default}`")) {
            findings.push(Finding::new("README.md", number + 1, format!("the default of {path} is {default:?}")));
        }
    }
    findings
}

/// Names of reasons: the first argument of `reasons.red` and `reasons.yellow`.
fn reasons(text: &str) -> Vec<&str> {
    let calls = ["reasons.red(", "reasons.yellow("].into_iter().flat_map(|call| text.split(call).skip(1));
    calls.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next()).collect()
}

fn without_row(names: &[&str], runbook: &str) -> Vec<Finding> {
    let missing = names.iter().filter(|name| !runbook.lines().any(|row| row.starts_with(&format!("| `{name}` |"))));
    missing.map(|name| Finding::new("docs/RUNBOOK.md", 1, format!("says nothing about the reason {name}"))).collect()
}

/// Line and heading of each section of the third level that gives commands.
fn playbooks(runbook: &str) -> Vec<(usize, &str)> {
    let mut all = Vec::new();
    let mut open = None;
    for (number, text) in runbook.lines().enumerate() {
        if text.starts_with('#') {
            open = text.strip_prefix("### ").map(|heading| (number + 1, heading));
        } else if text.starts_with("    ") {
            all.extend(open.take());
        }
    }
    all
}

/// Those that no test takes out of the document to run them.
fn unplayed(runbook: &str, tests: &[String]) -> Vec<Finding> {
    let is_played = |heading: &str| {
        let (argument, section) = (format!("\"{heading}\""), format!("\"### {heading}\""));
        let called = |text: &String| text.split("play(").skip(1).any(|rest| rest.trim_start().starts_with(&argument));
        tests.iter().any(|text| called(text) || text.contains(&section))
    };
    let missing = playbooks(runbook).into_iter().filter(|(_, heading)| !is_played(heading));
    let told = |(line, heading): (usize, &str)| {
        Finding::new("docs/RUNBOOK.md", line, format!("the commands of {heading:?} are run by no test"))
    };
    missing.map(told).collect()
}

fn missing_codes(path: &str, text: &str) -> Vec<Finding> {
    let codes = stonewal::cli::Exit::ALL.map(stonewal::cli::Exit::code);
    let missing = codes.iter().filter(|code| !text.lines().any(|row| row.starts_with(&format!("| {code} |"))));
    missing.map(|code| Finding::new(path, 1, format!("exit code {code} is not in the table"))).collect()
}

fn untested_invariants(code: &[&str], excused: &[(u8, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for invariant in 1..=INVARIANTS {
        let tested = code.iter().any(|code| code.contains(&format!("fn i{invariant:02}_")));
        let excuse = excused.iter().find(|(number, _)| *number == invariant);
        let reason = match (tested, excuse) {
            (false, None) => format!("invariant {invariant} has no test named i{invariant:02}_…"),
            (true, Some(_)) => format!("invariant {invariant} is tested: take it out of NOT_APPLICABLE_YET"),
            _ => continue,
        };
        findings.push(Finding::new("tests/tidy/docs.rs", 1, reason));
    }
    findings
}

/// Relative links of Markdown whose file does not exist.
fn dead_links(path: &str, text: &str) -> Vec<Finding> {
    let folder = root().join(path).parent().map(std::path::Path::to_owned).unwrap_or_default();
    let mut findings = Vec::new();
    for (at, _) in text.match_indices("](") {
        let target = text[at + 2..].split([')', '#', ' ']).next().unwrap_or_default();
        if target.is_empty() || target.contains("://") || target.starts_with("mailto:") || folder.join(target).exists()
        {
            continue;
        }
        findings.push(Finding::new(path, line(text, at), format!("{target} does not exist")));
    }
    findings
}

#[test]
fn each_document_rule_can_fail() {
    let row = "| 0 | a |\n| 1 | b |\n| 2 | c |\n| 3 | d |\n| 4 | e |\n| 13 | f |\n| 126 | g |\n| 130 | h |\n";
    assert_eq!(missing_codes("x.md", row), [Finding::new("x.md", 1, "exit code 5 is not in the table")]);
    let all: Vec<String> = (1..=INVARIANTS).map(|n| format!("fn i{n:02}_x() {{}}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    assert_eq!(untested_invariants(&all, &[]), []);
    assert_eq!(untested_invariants(&all[1..], &[]).len(), 1);
    assert_eq!(untested_invariants(&all[1..], &[(1, "")]), []);
    assert_eq!(untested_invariants(&all, &[(1, "")]).len(), 1);
    assert_eq!(dead_links("docs/x.md", "[a](../README.md#x) [b](https://a.b/c)\n[c](no-such.md)")[0].line, 2);
    assert_eq!(reasons("reasons.red(\"a\", x); reasons.yellow(\n \"b-c\", y); reasons.red(x)"), ["a", "b-c"]);
    assert_eq!(without_row(&["a", "b"], "| `a` | red |\nand `b` too"), without_row(&["b"], ""));
    assert_eq!(without_row(&["b"], "").len(), 1);
    let books = "## A\n    a\n### B\ntext\n### C\ntext\n\n    c\n    c\n### D\n    d\n";
    assert_eq!(playbooks(books), [(5, "C"), (10, "D")]);
    let played = ["world.play(\n    \"C\", x)".to_owned(), "says(\"D\")".to_owned()];
    let left = unplayed(books, &played);
    assert_eq!((left.len(), left[0].line), (1, 10), "{left:?}");
    let line = "    A_B = \"a.b\", \"STONEWAL_A_B\", Some(\"x\"), \"x or y\";";
    assert_eq!(key(line), Some(("a.b", Some("x"))));
    assert_eq!(unexplained(&[("a.b", Some("x"))], "| `a.b` | `x` | x or y |"), []);
    for readme in ["| `a.b` | `y` | x or y |", "`a.b` is `x`", ""] {
        assert_eq!(unexplained(&[("a.b", Some("x"))], readme).len(), 1, "{readme}");
    }
}
