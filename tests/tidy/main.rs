//! Ground rules as tests: what may import what, how large files and functions may be, what documents must say.
//!
//! Needs no server. Every finding names file, line and reason; every rule has a test of its own which shows
//! that it can fail.

#![expect(clippy::unwrap_used, reason = "in a test, a failure is a panic")]

mod docs;
mod imports;
mod sizes;
mod source;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    file: String,
    line: usize,
    reason: String,
}

impl Finding {
    fn new(file: &str, line: usize, reason: impl Into<String>) -> Self {
        Self { file: file.into(), line, reason: reason.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.reason)
    }
}

/// Fails with every finding on a line of its own.
fn check(findings: &[Finding]) {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

/// A text file of the repository.
struct Text {
    /// Relative to the root.
    path: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All text files that belong to the repository: tracked, or new and not ignored. Outside git (a source package), all
/// files but those of a build.
fn files() -> Vec<Text> {
    let listed = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    let names = match listed {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).split('\0').filter(|n| !n.is_empty()).map(str::to_owned).collect()
        }
        _ => walk(&root()),
    };
    let text = |path: String| Some(Text { text: std::fs::read_to_string(root().join(&path)).ok()?, path });
    let files: Vec<Text> = names.into_iter().filter_map(text).collect();
    assert!(
        files.iter().any(|file| file.path == "src/lib.rs"),
        "the walk found no sources: the rules would check nothing"
    );
    files
}

fn walk(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            if !["target", ".git"].contains(&entry.file_name().to_string_lossy().as_ref()) {
                names.extend(walk(&path));
            }
        } else {
            names.push(path.strip_prefix(root()).unwrap().to_string_lossy().into_owned());
        }
    }
    names
}

/// The Rust files below a folder.
fn rust(files: &[Text], folder: &str) -> Vec<source::Source> {
    let wanted = |file: &&Text| file.path.starts_with(folder) && has_extension(&file.path, "rs");
    files.iter().filter(wanted).map(|file| source::Source::new(&file.path, &file.text)).collect()
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}
