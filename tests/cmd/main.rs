//! The command line from outside: what it prints and how it ends. [`live`] plays it against its own embedded store; the
//! rest are transcripts, for everything that needs no server.
//!
//! A transcript is a text file beside this one. `$` lines run the program (variables may stand before its name), what
//! follows is its standard output, then its standard error behind `!`, then `[exit N]`. `@ NAME MODE TEXT` makes a file
//! first. `UPDATE_TRANSCRIPTS=1` writes down what happens; the diff is then to be read like any other change.

#![expect(clippy::unwrap_used, reason = "in a test, a failure is a panic")]

mod live;
mod runner;
mod transcript;

use std::path::PathBuf;

use transcript::Transcript;

/// Stands for every secret in the transcripts.
const SECRET: &str = "sentinel";

macro_rules! transcripts {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

transcripts! { arguments configuration cost help keys restore status store }

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cmd")
}

fn check(name: &str) {
    let path = folder().join(format!("{name}.txt"));
    let written = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let transcript = Transcript::parse(&written);
    assert!(transcript.runs() > 0, "{}: runs nothing", path.display());
    let happened = runner::play(&transcript);
    assert!(!happened.outputs().contains(SECRET), "{}: a secret is printed (invariant I13)", path.display());
    let happened = happened.to_string();
    #[expect(clippy::disallowed_methods, reason = "a switch of this test, no setting of the program")]
    let update = std::env::var_os("UPDATE_TRANSCRIPTS").is_some();
    if update {
        std::fs::write(&path, happened).unwrap();
        return;
    }
    if let Some((line, (was, is))) = differences(&written, &happened).next() {
        panic!(
            "{}:{line}: expected\n  {was}\nbut it is\n  {is}\nin full:\n{happened}\nUPDATE_TRANSCRIPTS=1 writes it down",
            path.display()
        );
    }
}

/// Lines that differ, with their numbers.
fn differences<'a>(written: &'a str, happened: &'a str) -> impl Iterator<Item = (usize, (&'a str, &'a str))> {
    let pad = |text: &'a str| text.lines().map(Some).chain(std::iter::repeat(None));
    let count = written.lines().count().max(happened.lines().count());
    let pairs = pad(written).zip(pad(happened)).take(count).enumerate();
    let shown = |line: Option<&'a str>| line.unwrap_or("(nothing)");
    pairs.filter(|(_, (was, is))| was != is).map(move |(i, (was, is))| (i + 1, (shown(was), shown(is))))
}

#[test]
fn every_transcript_is_played() {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "txt")) {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(NAMES.contains(&name.as_str()), "{name} is not in the list of main.rs");
    }
}

#[test]
fn a_difference_is_found() {
    for (was, is, line) in [("a\nb\n", "a\nc\n", 2), ("a\n", "a\nb\n", 2), ("a\nb\n", "a\n", 2), ("a", "b", 1)] {
        assert_eq!(differences(was, is).next().unwrap().0, line, "{was:?} {is:?}");
    }
    assert_eq!(differences("a\nb\n", "a\nb\n").count(), 0);
}
