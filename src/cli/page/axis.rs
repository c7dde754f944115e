//! A time axis: from moments to positions, and where to put its labels.

use jiff::Timestamp;

/// Most labels on an axis.
const TICKS_MAX: i64 = 9;

/// Distances of labels, in seconds, and how a label at such a distance is written.
const STEPS: [(i64, &str); 15] = [
    (60, "%H:%M"),
    (300, "%H:%M"),
    (900, "%H:%M"),
    (3600, "%H:%M"),
    (3 * 3600, "%d %b %H:%M"),
    (6 * 3600, "%d %b %H:%M"),
    (12 * 3600, "%d %b %H:%M"),
    (86_400, "%d %b"),
    (2 * 86_400, "%d %b"),
    (7 * 86_400, "%d %b"),
    (14 * 86_400, "%d %b"),
    (28 * 86_400, "%d %b %Y"),
    (91 * 86_400, "%b %Y"),
    (365 * 86_400, "%b %Y"),
    (3650 * 86_400, "%Y"),
];

/// The axis of a chart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    from: i64,
    to: i64,
    left: f64,
    width: f64,
}

impl Axis {
    /// From `from` on the left to `to` on the right; at least a minute.
    pub(super) fn new(from: Timestamp, to: Timestamp, left: f64, width: f64) -> Self {
        let from = from.as_second();
        Self { from, to: to.as_second().max(from.saturating_add(60)), left, width }
    }

    /// Where a moment stands; what lies outside stands at the edge.
    #[expect(clippy::cast_precision_loss, reason = "a position in a picture")]
    pub(super) fn x(&self, at: Timestamp) -> f64 {
        let second = at.as_second().clamp(self.from, self.to);
        self.left + self.width * (second - self.from) as f64 / (self.to - self.from) as f64
    }

    /// Whether a moment lies within.
    pub(super) fn holds(&self, at: Timestamp) -> bool {
        (self.from..=self.to).contains(&at.as_second())
    }

    /// Positions and texts of the labels.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let span = self.to - self.from;
        let (step, format) =
            STEPS.into_iter().find(|(step, _)| span / step < TICKS_MAX).unwrap_or(STEPS[STEPS.len() - 1]);
        let first = self.from.div_euclid(step) + i64::from(self.from.rem_euclid(step) > 0);
        let marks = (first..).map(|number| number * step).take_while(|second| *second <= self.to);
        let marks = marks
            .take(usize::try_from(TICKS_MAX + 1).unwrap_or(10))
            .filter_map(|second| Timestamp::from_second(second).ok());
        marks.map(|at| (self.x(at), at.strftime(format).to_string())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn labels_are_round_and_few_whatever_the_span() {
        let (from, mut to) = (at("2026-11-24T03:17:21Z"), 30_i64);
        while to < 4_000_000_000 {
            let end = Timestamp::from_second(from.as_second() + to).unwrap();
            let ticks = Axis::new(from, end, 100.0, 800.0).ticks();
            assert!(ticks.len() <= 10, "{to} s: {ticks:?}");
            assert!(to < 60 || !ticks.is_empty(), "{to} s");
            assert!(ticks.windows(2).all(|pair| pair[0].0 < pair[1].0));
            to *= 3;
        }
        let week = Axis::new(from, at("2026-12-01T03:17:21Z"), 0.0, 700.0).ticks();
        assert_eq!(week[0].1, "25 Nov");
        assert_eq!(week.len(), 7);
    }

    #[test]
    fn moments_stand_where_they_belong() {
        let axis = Axis::new(at("2026-11-24T00:00:00Z"), at("2026-11-25T00:00:00Z"), 100.0, 240.0);
        assert!((axis.x(at("2026-11-24T06:00:00Z")) - 160.0).abs() < 0.01);
        assert!((axis.x(at("2020-01-01T00:00:00Z")) - 100.0).abs() < 0.01);
        assert!(axis.holds(at("2026-11-25T00:00:00Z")) && !axis.holds(at("2026-11-25T00:00:01Z")));
    }
}
