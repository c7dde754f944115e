//! Standard output for data, standard error for everything else, and a progress bar that neither overwrites.

use std::borrow::Cow;
use std::io::{IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressDrawTarget};
use serde::Serialize;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::Exit;
use super::failure::{Failure, FailureDocument};
use super::report::Report;
use crate::observe::chain;

/// How many warnings are printed in full.
const WARNINGS_SHOWN: usize = 20;

/// Both outputs. Clones share the bar.
#[derive(Clone, Debug)]
pub(super) struct Screen {
    json: bool,
    quiet: bool,
    bar: ProgressBar,
}

impl Screen {
    /// The bar is there from the start, so that whoever prints knows it; it stays hidden until something moves.
    pub(super) fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet, bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()) }
    }

    /// Whether standard output carries one JSON document.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Shows the bar, if someone looks at it.
    pub(super) fn show_bar(&self) -> Option<&ProgressBar> {
        let seen = std::io::stderr().is_terminal() && !self.json && !self.quiet;
        seen.then(|| self.bar.set_draw_target(ProgressDrawTarget::stderr()));
        seen.then_some(&self.bar)
    }

    /// Whether a question would be seen and could be answered.
    pub(super) fn can_ask(&self) -> bool {
        std::io::stderr().is_terminal() && std::io::stdin().is_terminal() && !self.json
    }

    /// Asks for one line; `None` at the end of input.
    pub(super) fn ask(&self, question: &str) -> Option<String> {
        self.bar.suspend(|| {
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "{question}");
            let _ = stderr.flush();
            let mut answer = String::new();
            let read = std::io::stdin().read_line(&mut answer).ok()?;
            (read > 0).then(|| answer.trim_end_matches(['\r', '\n']).to_owned())
        })
    }

    /// For the log: its lines go to standard error, around the bar.
    pub(super) fn log_writer(&self) -> BoxMakeWriter {
        let screen = self.clone();
        BoxMakeWriter::new(move || LogWriter(screen.clone()))
    }

    /// One or more lines on standard error. That nobody reads them is no reason to fail.
    pub(super) fn say(&self, text: &str) {
        self.bar.suspend(|| {
            let _ = writeln!(std::io::stderr().lock(), "{}", harmless(text));
        });
    }

    /// What happens meanwhile, on standard error, unless only warnings are wanted.
    pub(super) fn remark(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// Text for people on standard output as it happens; nothing with `--json`, which prints one document at the end.
    pub(super) fn tell(&self, text: &str) {
        if !self.json {
            let _ = writeln!(std::io::stdout().lock(), "{}", harmless(text));
        }
    }

    /// Prints what came of a command and says how the run ended.
    pub(super) fn deliver(&self, report: &impl Report) -> Exit {
        self.bar.finish_and_clear();
        let mut text = String::new();
        if self.json {
            text = document(report);
        } else if !(self.quiet && report.is_summary()) {
            report.print(&mut text);
            text = harmless(&text).into_owned();
        }
        let printed = if report.leaves_stdout_alone() && !self.json {
            self.say(text.trim_end());
            Ok(())
        } else {
            std::io::stdout().lock().write_all(text.as_bytes()).and_then(|()| std::io::stdout().lock().flush())
        };
        let warnings = report.warnings();
        for warning in warnings.iter().take(WARNINGS_SHOWN) {
            self.say(&format!("warning: {warning}"));
        }
        if warnings.len() > WARNINGS_SHOWN {
            self.say(&format!("warning: and {} more; --json tells all", warnings.len() - WARNINGS_SHOWN));
        }
        match printed {
            // A reader that has seen enough, such as `head`, is no failure.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                self.say(&format!("error: standard output: {error}"));
                Exit::Failed
            }
            _ => report.exit(),
        }
    }

    /// Says why a run failed.
    pub(super) fn fail(&self, failure: &Failure, exit: Exit) {
        self.bar.finish_and_clear();
        let (error, hint) = (chain(failure), failure.hint());
        self.say(&format!("error: {error}"));
        if let Some(hint) = &hint {
            self.say(&format!("\nhint: {hint}"));
        }
        self.fail_document(error, hint, exit);
    }

    /// The document of a failed run, if documents are asked for.
    pub(super) fn fail_document(&self, error: String, hint: Option<String>, exit: Exit) {
        if self.json {
            let text = document(&FailureDocument { error, hint, exit_code: exit.code() });
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
        }
    }
}

/// Without what moves a terminal's cursor or hides text: whoever may write to the bucket chooses names of objects, and they
/// are shown.
fn harmless(text: &str) -> Cow<'_, str> {
    let moves = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(moves) {
        return Cow::Borrowed(text);
    }
    // RFC 4180 ends its lines with both.
    let lines = text.split("\r\n");
    let clean = |line: &str| line.replace(moves, "\u{fffd}");
    lines.map(clean).collect::<Vec<_>>().join("\r\n").into()
}

/// One line of JSON.
fn document(value: &impl Serialize) -> String {
    // What we serialise are plain structs; the error case would be a map with keys that are not text.
    let json = serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"error\":{:?}}}", error.to_string()));
    format!("{json}\n")
}

struct LogWriter(Screen);

impl std::io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.bar.suspend(|| std::io::stderr().lock().write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn a_name_in_the_bucket_does_not_move_the_cursor() {
        assert_eq!(
            harmless("tampering: a\x1b[2J\x07\r\u{9b}1A\tb\n"),
            "tampering: a\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}1A\tb\n"
        );
        assert_eq!(harmless("größe\n"), "größe\n");
    }
}
