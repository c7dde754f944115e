//! The progress bar: reads the counters of a job while the job runs.

use std::pin::pin;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::screen::Screen;
use super::words::{count, ratio, size};
use crate::observe::{Phase, Progress, Reading};

const TICK: Duration = Duration::from_millis(200);

/// With a total; that of a backup is the size of the database, which its SQL only resembles. What does not fit into
/// the line is cut off.
const KNOWN: &str =
    "{prefix} {elapsed} [{bar:16}] {binary_bytes} of about {binary_total_bytes}, {binary_bytes_per_sec}{wide_msg}";
const UNKNOWN: &str = "{prefix} {elapsed} {spinner} {binary_bytes}, {binary_bytes_per_sec}{wide_msg}";
/// Rows read, or objects that came out of archive tiers.
const ROWS: &str = "{prefix} {elapsed} {spinner} {wide_msg}";
const WAITING: &str = "{prefix} {elapsed} {spinner}";

/// Runs a job to its end and shows meanwhile how far it is, if someone looks.
pub(super) async fn watch<T>(screen: &Screen, progress: &Progress, job: impl Future<Output = T>) -> T {
    let Some(bar) = screen.show_bar() else { return job.await };
    let mut job = pin!(job);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut style = "";
    loop {
        tokio::select! {
            done = &mut job => return done,
            _ = ticks.tick() => draw(bar, &progress.read(), &mut style),
        }
    }
}

fn draw(bar: &ProgressBar, reading: &Reading, style: &mut &'static str) {
    let template = match (reading.phase, reading.expected_plain_bytes) {
        (Phase::Streaming, Some(_)) => KNOWN,
        (Phase::Streaming, None) => UNKNOWN,
        (Phase::Checking | Phase::Thawing, _) => ROWS,
        _ => WAITING,
    };
    if *style != template {
        *style = template;
        if let Ok(known) = ProgressStyle::with_template(template) {
            bar.set_style(known);
        }
    }
    bar.set_prefix(reading.phase.name());
    bar.set_length(reading.expected_plain_bytes.unwrap_or(0).max(reading.plain_bytes));
    bar.set_position(reading.plain_bytes);
    bar.set_message(match reading.phase {
        Phase::Checking => count(reading.rows, "row"),
        Phase::Thawing => format!("{} of {} readable", reading.objects, count(reading.expected_objects, "object")),
        _ => stored(reading),
    });
    bar.tick();
}

/// What has reached the store, or come from it.
fn stored(reading: &Reading) -> String {
    if reading.chunks == 0 {
        return String::new();
    }
    let Reading { plain_bytes, stored_bytes, chunks, .. } = *reading;
    format!("; {} in {}, {}:1", size(stored_bytes), count(chunks, "chunk"), ratio(plain_bytes, stored_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_understood() {
        for template in [KNOWN, UNKNOWN, ROWS, WAITING] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn the_bar_tells_bytes_chunks_and_ratio() {
        let reading = Reading { plain_bytes: 40 << 20, stored_bytes: 10 << 20, chunks: 1, ..Reading::default() };
        assert_eq!(stored(&reading), "; 10.0 MiB in 1 chunk, 4.0:1");
        assert_eq!(stored(&Reading::default()), "");
    }
}
