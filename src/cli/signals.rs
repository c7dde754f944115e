//! SIGINT, SIGTERM and SIGHUP end a run in good order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Exit;
use super::screen::Screen;

/// What the signals act on.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupts {
    /// Cancelled by the first signal.
    pub(super) cancel: CancellationToken,
    /// While a question waits for an answer nothing has been changed yet, so a signal ends the process at once.
    pub(super) asking: Arc<AtomicBool>,
}

impl Interrupts {
    /// Listens for as long as the returned set lives. The first signal cancels; a second SIGINT ends the process.
    pub(super) fn listen(&self, screen: &Screen) -> std::io::Result<JoinSet<()>> {
        let ignored = ignored();
        let mut signals = Vec::new();
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            // nohup and shells that run jobs in the background ignore signals on purpose; so it stays.
            if ignored & (1 << (kind.as_raw_value() - 1)) == 0 {
                signals.push((kind, signal(kind)?));
            }
        }
        let mut tasks = JoinSet::new();
        for (kind, stream) in signals {
            tasks.spawn(obey(self.clone(), screen.clone(), kind, stream));
        }
        Ok(tasks)
    }
}

async fn obey(interrupts: Interrupts, screen: Screen, kind: SignalKind, mut signals: Signal) {
    while signals.recv().await.is_some() {
        let again = interrupts.cancel.is_cancelled() && kind == SignalKind::interrupt();
        if again || interrupts.asking.load(Ordering::SeqCst) {
            #[expect(clippy::exit, reason = "whoever interrupts twice does not want to wait for good order")]
            std::process::exit(Exit::Interrupted.code().into());
        }
        if !interrupts.cancel.is_cancelled() {
            screen.say("interrupted: ending in good order (interrupt again to end at once)");
            interrupts.cancel.cancel();
        }
    }
}

/// The signals that whoever started us had set to be ignored, one bit each (proc(5), `SigIgn`); none where that cannot
/// be read.
fn ignored() -> u64 {
    std::fs::read_to_string("/proc/self/status").ok().and_then(|status| mask(&status)).unwrap_or(0)
}

fn mask(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        assert_eq!(mask("Name:\tx\nSigIgn:\t0000000000001003\n"), Some(0x1003));
        assert_eq!(mask("Name:\tx\n"), None);
    }
}
