//! The `stonewal` binary: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    stonewal::cli::run(std::env::args_os()).into()
}
