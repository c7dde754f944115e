//! Plays a transcript: a folder of its own, a known environment, the built program.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::transcript::{Part, Run, Transcript};

/// What every run starts with. The configuration file is empty unless the transcript makes another one.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("AWS_ACCESS_KEY_ID", "key"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("AWS_SECRET_ACCESS_KEY", crate::SECRET),
    ("PATH", "/usr/bin:/bin"),
    ("STONEWAL_CONFIG", "stonewal.toml"),
    ("USER", "nobody"),
];

/// The same transcript with what happens now.
pub(crate) fn play(transcript: &Transcript) -> Transcript {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stonewal.toml"), "").unwrap();
    let parts = transcript.0.iter().map(|part| match part {
        Part::Text(line) => Part::Text(line.clone()),
        Part::File { line, name, mode, contents } => {
            make(&folder.path().join(name), *mode, contents);
            Part::File { line: line.clone(), name: name.clone(), mode: *mode, contents: contents.clone() }
        }
        Part::Run(run) => Part::Run(execute(&run.typed, folder.path())),
    });
    Transcript(parts.collect())
}

fn make(path: &Path, mode: u32, contents: &str) {
    std::fs::write(path, format!("{contents}\n")).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn execute(typed: &str, folder: &Path) -> Run {
    let words = split(typed);
    let program = words.iter().position(|word| word == "stonewal");
    let program = program.unwrap_or_else(|| panic!("does not run stonewal: {typed}"));
    let variables = words[..program].iter().map(|word| word.split_once('=').expect("VAR=value before the program"));
    let output = Command::new(env!("CARGO_BIN_EXE_stonewal"))
        .args(&words[program + 1..])
        .env_clear()
        .env("HOME", folder)
        .envs(ENVIRONMENT)
        .envs(variables)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| steady(&String::from_utf8(bytes).unwrap(), folder);
    Run { typed: typed.into(), stdout: text(output.stdout), stderr: text(output.stderr), exit: output.status.code() }
}

/// Leaves out what differs between runs.
fn steady(text: &str, folder: &Path) -> String {
    let text = text.replace(&folder.display().to_string(), "[DIR]");
    let Some((before, after)) = text.split_once("attempts in ") else { return text };
    let rest = after.split_once(" s").map_or(after, |(_, rest)| rest);
    format!("{before}attempts in [TIME] s{rest}")
}

/// Words as a shell takes them: single quotes keep blanks together.
fn split(typed: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    for c in typed.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn words_are_split_as_a_shell_does() {
    assert_eq!(split("A='x y' stonewal  --to ''"), ["A=x y", "stonewal", "--to", ""]);
    assert_eq!(steady("4 attempts in 0.4 s: x [/d/f]", Path::new("/d")), "4 attempts in [TIME] s: x [[DIR]/f]");
}
