//! The form of a transcript, read and written.

use std::fmt;

/// A transcript: its lines in order, with runs taken together.
pub(crate) struct Transcript(pub(crate) Vec<Part>);

/// What a transcript consists of.
pub(crate) enum Part {
    /// A comment or an empty line.
    Text(String),
    /// A file to make: name, permission bits, contents.
    File { line: String, name: String, mode: u32, contents: String },
    /// A run of the program.
    Run(Run),
}

/// One run: what is typed, and what came of it.
#[derive(Default)]
pub(crate) struct Run {
    pub(crate) typed: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) exit: Option<i32>,
}

impl Transcript {
    pub(crate) fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut run: Option<Run> = None;
        for line in text.lines() {
            if let Some(open) = &mut run {
                if let Some(code) = line.strip_prefix("[exit ").and_then(|rest| rest.strip_suffix(']')) {
                    open.exit = code.parse().ok();
                    parts.extend(run.take().map(Part::Run));
                }
                continue;
            }
            if let Some(typed) = line.strip_prefix("$ ") {
                run = Some(Run { typed: typed.into(), ..Run::default() });
            } else if let Some(rest) = line.strip_prefix("@ ") {
                parts.push(file(line, rest));
            } else {
                assert!(line.is_empty() || line.starts_with('#'), "not a line of a transcript: {line}");
                parts.push(Part::Text(line.into()));
            }
        }
        assert!(run.is_none(), "the last run has no [exit N]");
        Self(parts)
    }

    pub(crate) fn runs(&self) -> usize {
        self.0.iter().filter(|part| matches!(part, Part::Run(_))).count()
    }

    /// Everything that was printed.
    pub(crate) fn outputs(&self) -> String {
        let outputs = self.0.iter().map(|part| match part {
            Part::Run(run) => format!("{}{}", run.stdout, run.stderr),
            Part::Text(_) | Part::File { .. } => String::new(),
        });
        outputs.collect()
    }
}

fn file(line: &str, rest: &str) -> Part {
    let mut words = rest.splitn(3, ' ');
    let mut word = || words.next().unwrap_or_default();
    let (name, mode, text) = (word(), word(), word());
    let mode = u32::from_str_radix(mode, 8).unwrap_or_else(|_| panic!("no permission bits: {line}"));
    Part::File { line: line.into(), name: name.into(), mode, contents: text.replace("\\n", "\n") }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(line) | Part::File { line, .. } => writeln!(f, "{line}")?,
                Part::Run(run) => {
                    writeln!(f, "$ {}", run.typed)?;
                    f.write_str(&run.stdout)?;
                    for line in run.stderr.lines() {
                        writeln!(f, "{}", format!("! {line}").trim_end())?;
                    }
                    writeln!(f, "[exit {}]", run.exit.map_or("by a signal".into(), |code| code.to_string()))?;
                }
            }
        }
        Ok(())
    }
}

#[test]
fn a_transcript_is_written_as_it_was_read() {
    let text = "# why\n\n@ f 0600 a\\nb\n$ X=1 stonewal list\n[exit 3]\n";
    let read = Transcript::parse(text);
    assert_eq!(read.to_string(), text);
    assert!(matches!(&read.0[2], Part::File { name, mode: 0o600, contents, .. } if name == "f" && contents == "a\nb"));
    assert_eq!(Transcript::parse("$ stonewal\nout\n! err\n[exit 0]\n").runs(), 1);
}
