//! The command line: arguments in, output and an exit code out. The only place that prints.
//!
//! [`run`] is the whole of it: `args` is what was written, `flags` and `config` make settings of it, `resolve` makes
//! options of those, `run` calls the command, `report` says what came of it and `failure` why nothing did. `screen` owns
//! standard output and standard error.

mod args;
mod exit;
mod failure;
mod flags;
mod page;
mod progress;
mod report;
mod resolve;
mod run;
mod screen;
mod signals;
mod words;

pub use exit::Exit;
pub use run::run;
