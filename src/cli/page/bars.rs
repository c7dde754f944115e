//! A chart of measurements over time, each against what was allowed.

use jiff::Timestamp;

use super::shapes::{Form, Picture};
use super::words::{short, span};

const WIDTH: f64 = 490.0;
const LEFT: f64 = 58.0;
const TOP: f64 = 16.0;
const PLOT: f64 = 170.0;
const SLOT_MAX: f64 = 44.0;
/// Room for a date.
const LABEL: f64 = 54.0;

/// Distances of the lines, in seconds.
const STEPS: [u64; 20] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 604_800, 2_592_000];
const LINES_MAX: f64 = 5.0;

/// One measurement.
pub(super) struct Bar {
    pub(super) at: Timestamp,
    pub(super) parts: Vec<Part>,
    /// What was allowed.
    pub(super) goal: Option<f64>,
    pub(super) passed: bool,
}

/// One part of it.
pub(super) struct Part {
    pub(super) class: &'static str,
    pub(super) length: f64,
    pub(super) told: String,
}

impl Bar {
    fn length(&self) -> f64 {
        self.parts.iter().map(|part| part.length).sum()
    }
}

/// The chart.
pub(super) struct Bars<'a> {
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    pub(super) measured: &'a [Bar],
}

impl Bars<'_> {
    pub(super) fn draw(&self) -> String {
        let most =
            self.measured.iter().flat_map(|bar| [Some(bar.length()), bar.goal]).flatten().fold(1.0, f64::max) * 1.12;
        let mut picture = Picture::sized(WIDTH, TOP + PLOT + 44.0);
        let y = |seconds: f64| TOP + PLOT * (1.0 - seconds / most);
        lines(&mut picture, most, &y);
        #[expect(clippy::cast_precision_loss, reason = "a few bars")]
        let slot = ((WIDTH - LEFT - 8.0) / self.measured.len() as f64).min(SLOT_MAX);
        for (number, bar) in self.measured.iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "a few bars")]
            let x = LEFT + slot * number as f64;
            draw(&mut picture, bar, (x, slot), &y);
        }
        // Only as many dates as have room.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few bars")]
        let every = usize::max((LABEL / slot).ceil() as usize, self.measured.len().div_ceil(6));
        for (number, bar) in self.measured.iter().enumerate().step_by(every) {
            #[expect(clippy::cast_precision_loss, reason = "a few bars")]
            let x = LEFT + slot * (number as f64 + 0.5);
            picture.text("tick", (x, TOP + PLOT + 38.0), &bar.at.strftime("%d %b").to_string());
        }
        picture.finish(self.id, self.title, &self.told())
    }

    /// The picture in words.
    fn told(&self) -> String {
        let Some(last) = self.measured.last() else { return String::new() };
        let whole = |seconds: f64| std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
        let goal = last.goal.map_or_else(String::new, |goal| format!(", objective {}", span(whole(goal))));
        let longest = self.measured.iter().map(Bar::length).fold(0.0, f64::max);
        format!(
            "{} drills; the last, at {}, took {}{goal}; the longest took {}.",
            self.measured.len(),
            short(last.at),
            span(whole(last.length())),
            span(whole(longest))
        )
    }
}

fn lines(picture: &mut Picture, most: f64, y: &impl Fn(f64) -> f64) {
    #[expect(clippy::cast_precision_loss, reason = "a length in a picture")]
    let fits = |step: &u64| most / *step as f64 <= LINES_MAX;
    let step = STEPS.into_iter().find(fits).unwrap_or(STEPS[STEPS.len() - 1]);
    for number in 0..=6_u64 {
        #[expect(clippy::cast_precision_loss, reason = "a length in a picture")]
        let seconds = (number * step) as f64;
        if seconds > most {
            break;
        }
        picture.line("grid", (LEFT, y(seconds)), (WIDTH - 8.0, y(seconds)));
        picture.text("side", (LEFT - 8.0, y(seconds) + 4.0), &span(number * step));
    }
}

fn draw(picture: &mut Picture, bar: &Bar, (x, slot): (f64, f64), y: &impl Fn(f64) -> f64) {
    let (left, right) = (x + slot * 0.2, x + slot * 0.8);
    let mut from = 0.0;
    for part in bar.parts.iter().filter(|part| part.length > 0.0) {
        let (top, bottom) = (y(from + part.length), y(from));
        picture.block(part.class, (left, right), (top, bottom - top), &part.told);
        from += part.length;
    }
    if bar.length() <= 0.0 {
        picture.block("phase-1", (left, right), (y(0.0) - 1.5, 1.5), "0 s");
    }
    if let Some(goal) = bar.goal {
        picture.line("goal", (x, y(goal)), (x + slot, y(goal)));
    }
    let (class, form) = if bar.passed { ("ok-sign", Form::Circle) } else { ("bad-sign", Form::Cross) };
    let told = format!("{}: {}", short(bar.at), if bar.passed { "passed" } else { "failed" });
    picture.sign(class, form, (x + slot / 2.0, y(0.0) + 14.0), &told);
}
