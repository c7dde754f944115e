//! `wal push`, `wal fetch`, `wal verify`.

use std::ffi::OsString;

use clap::error::ErrorKind;

use super::Run;
use super::audit::Notes;
use crate::cli::Exit;
use crate::cli::args::{WalFetch, WalPush, WalVerify};
use crate::cli::failure::{Failure, Result};
use crate::cli::progress::watch;
use crate::cli::resolve::{self, Purpose};
use crate::commands::parts::WalLevel;
use crate::commands::{wal_fetch, wal_push, wal_verify};
use crate::observe::{Phase, Progress};

impl Run<'_> {
    pub(super) async fn wal_push(&self, args: WalPush) -> Result<Exit> {
        let wal = &self.settings.wal;
        let what = match (args.file, args.from) {
            (_, Some(directory)) => wal_push::What::Directory(directory),
            (Some(file), None) => wal_push::What::File(file),
            (None, None) => return Err(Failure::usage("there is no file to push", "give %p, or --from DIR")),
        };
        let options = wal_push::Options {
            what,
            repository: resolve::repository(self.settings)?,
            access: resolve::access(self.settings, Purpose::Write)?,
            cluster: resolve::cluster(self.settings)?,
            encoding: resolve::encoding(wal.codec, wal.level),
            ahead: wal.push_ahead,
            deadline: wal.deadline,
        };
        let outcome = self.until_interrupted(Box::pin(wal_push::run(options))).await?;
        Ok(self.screen.deliver(&outcome))
    }

    pub(super) async fn wal_fetch(&self, args: WalFetch) -> Result<Exit> {
        let options = wal_fetch::Options {
            name: args.name,
            to: args.to,
            repository: resolve::reading(self.settings)?,
            access: resolve::access(self.settings, Purpose::Read)?,
            cluster: resolve::cluster(self.settings)?,
            ahead: self.settings.wal.fetch_ahead,
            deadline: self.settings.wal.deadline,
        };
        let outcome = self.until_interrupted(Box::pin(wal_fetch::run(options))).await?;
        Ok(self.screen.deliver(&outcome))
    }

    pub(super) async fn wal_verify(&self, args: &WalVerify) -> Result<Exit> {
        let level: WalLevel = args.level.parse().map_err(|problem| Failure::Usage {
            what: format!("--level: {problem}"),
            way_out: Some("`stonewal wal verify --help` explains the levels".into()),
        })?;
        let purpose = if level == WalLevel::Full { Purpose::Read } else { Purpose::Look };
        let options = wal_verify::Options {
            level,
            repository: resolve::reading(self.settings)?,
            access: resolve::access(self.settings, purpose)?,
            cluster: resolve::cluster_or_all(self.settings, args.all_clusters)?,
        };
        let progress = Progress::new();
        progress.set_phase(Phase::Streaming);
        let mut notes = Notes::of("wal.verify");
        if let Some(cluster) = &options.cluster {
            notes = notes.cluster(cluster);
        }
        let job = async |_: &Notes| {
            let job = self.until_interrupted(Box::pin(wal_verify::run(options, &progress)));
            let outcome = watch(self.screen, &progress, job).await?;
            Ok(self.screen.deliver(&outcome))
        };
        // The other levels read no WAL, only headers.
        if level == WalLevel::Full { self.audited(notes, job).await } else { job(&notes).await }
    }
}

/// Whether the arguments are meant for `wal fetch`, however wrong they may be.
pub(super) fn is_fetch(arguments: &[OsString]) -> bool {
    let position = |word: &str| arguments.iter().skip(1).position(|argument| argument == word);
    let asks_for_help = arguments.iter().any(|argument| argument == "--help" || argument == "-h");
    !asks_for_help && position("wal").zip(position("fetch")).is_some_and(|(wal, fetch)| wal < fetch)
}

/// Whether what clap says of the arguments is that `wal` has no such subcommand.
pub(super) fn is_mistyped(kind: ErrorKind, text: &str) -> bool {
    kind == ErrorKind::InvalidSubcommand && text.contains("Usage: stonewal wal ")
}

/// The exit code of a fetch (invariant I10): written, proven to be absent, or neither. `deliver` says [`Exit::Failed`] for
/// absence; every failure on the way there, and a panic, comes as something else or is turned into it.
pub(super) fn fetch_exit(exit: &std::thread::Result<Exit>) -> Exit {
    match exit {
        Ok(Exit::Done) => Exit::Done,
        Ok(Exit::Absent) => Exit::Absent,
        Ok(Exit::Interrupted) => Exit::Interrupted,
        _ => Exit::StopRecovery,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn i10_a_fetch_is_known_as_one_however_it_is_written() {
        for line in [
            "stonewal wal fetch 000000010000000000000001 pg_wal/RECOVERYXLOG",
            "stonewal wal fetch",
            "stonewal --no-such-flag wal fetch x y",
            "stonewal --config x wal --json fetch a b c d",
        ] {
            assert!(is_fetch(&arguments(line)), "{line}");
        }
        for line in ["stonewal", "stonewal verify", "stonewal wal fetch --help"] {
            assert!(!is_fetch(&arguments(line)), "{line}");
        }
    }

    #[test]
    fn i10_a_mistyped_fetch_stops_recovery() {
        for (line, exit) in [
            ("stonewal wal fetchh 000000010000000000000001 pg_wal/RECOVERYXLOG", Exit::StopRecovery),
            ("stonewal --json wal 000000010000000000000001 pg_wal/RECOVERYXLOG", Exit::StopRecovery),
            ("stonewal wall fetch x y", Exit::Usage),
            ("stonewal backup everything", Exit::Usage),
            ("stonewal wal verify --no-such-flag", Exit::Usage),
        ] {
            assert_eq!(crate::cli::run(arguments(line)), exit, "{line}");
        }
    }

    #[test]
    fn i10_only_proven_absence_says_absent() {
        for exit in Exit::ALL {
            let told = fetch_exit(&Ok(exit));
            assert_eq!(told.code() == 0, exit == Exit::Done);
            assert_eq!(told == Exit::Absent, exit == Exit::Absent);
            assert!(matches!(told, Exit::Done | Exit::Absent) || told.code() > 125, "{exit:?}");
        }
        assert_eq!(fetch_exit(&Ok(Exit::Absent)).code(), 1);
        assert_eq!(fetch_exit(&std::panic::catch_unwind(|| panic!("a bug"))), Exit::StopRecovery);
    }
}
