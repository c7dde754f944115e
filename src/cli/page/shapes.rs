//! Shapes of pictures. Positions are in units of a picture's own, which browsers scale.

use std::fmt::Write as _;

use super::axis::Axis;
use super::escape::Text;

/// Width of every chart.
pub(super) const WIDTH: f64 = 1000.0;

/// Patterns that several charts fill with: what is missing is hatched, so that colour is not all that tells it.
pub(super) const PATTERNS: &str = "<svg class=\"defs\" width=\"0\" height=\"0\" aria-hidden=\"true\"><defs>\
<pattern id=\"hole\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
<rect class=\"hole-ground\" width=\"7\" height=\"7\"/><rect class=\"hole-line\" width=\"2.5\" height=\"7\"/></pattern>\
<pattern id=\"later\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
<rect class=\"later-line\" width=\"1.5\" height=\"7\"/></pattern></defs></svg>\n";

/// Courses of stone.
pub(super) const MARK: &str = "<svg class=\"mark\" viewBox=\"0 0 44 44\" aria-hidden=\"true\">\
<rect x=\"1\" y=\"1\" width=\"24\" height=\"12\" rx=\"2.5\"/><rect x=\"28\" y=\"1\" width=\"15\" height=\"12\" rx=\"2.5\"/>\
<rect x=\"1\" y=\"16\" width=\"11\" height=\"12\" rx=\"2.5\"/><rect x=\"15\" y=\"16\" width=\"28\" height=\"12\" rx=\"2.5\"/>\
<rect x=\"1\" y=\"31\" width=\"20\" height=\"12\" rx=\"2.5\"/><rect x=\"24\" y=\"31\" width=\"19\" height=\"12\" rx=\"2.5\"/></svg>";

/// A picture under way.
pub(super) struct Picture {
    body: String,
    width: f64,
    height: f64,
}

impl Picture {
    /// An empty one.
    pub(super) fn new(height: f64) -> Self {
        Self::sized(WIDTH, height)
    }

    /// One of another width.
    pub(super) fn sized(width: f64, height: f64) -> Self {
        Self { body: String::new(), width, height }
    }

    /// A block of exactly this size.
    pub(super) fn block(&mut self, class: &str, (from, to): (f64, f64), (y, height): (f64, f64), told: &str) {
        let (width, told) = (to - from, Text(told));
        let _ = writeln!(
            self.body,
            "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"><title>{told}</title></rect>"
        );
    }

    /// A bar with what it is as its tooltip; never so narrow that it cannot be seen.
    pub(super) fn bar(&mut self, class: &str, (from, to): (f64, f64), (y, height): (f64, f64), told: &str) {
        let width = (to - from).max(3.0);
        let _ = writeln!(
            self.body,
            "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"3\"><title>{}</title></rect>",
            Text(told)
        );
    }

    /// A sign of its own form at a point.
    pub(super) fn sign(&mut self, class: &str, form: Form, (x, y): (f64, f64), told: &str) {
        let path = form.path();
        let _ = writeln!(
            self.body,
            "<path class=\"{class}\" transform=\"translate({x:.1} {y:.1})\" d=\"{path}\"><title>{}</title></path>",
            Text(told)
        );
    }

    /// A line.
    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let _ = writeln!(
            self.body,
            "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    /// A text; `class` says where it is anchored.
    pub(super) fn text(&mut self, class: &str, (x, y): (f64, f64), text: &str) {
        let _ = writeln!(self.body, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", Text(text));
    }

    /// Labels and lines of a time axis, from `top` to the bottom.
    pub(super) fn axis(&mut self, axis: &Axis, top: f64) {
        let bottom = self.height - 4.0;
        for (x, label) in axis.ticks() {
            self.line("grid", (x, top), (x, bottom));
            self.text("tick", (x, top - 8.0), &label);
        }
    }

    /// The line of the present.
    pub(super) fn now(&mut self, x: f64, top: f64) {
        self.line("now", (x, top), (x, self.height - 4.0));
        self.text("now-label", (x, self.height - 0.0), "now");
    }

    /// The picture, with what it shows in words for those who do not see it.
    pub(super) fn finish(self, id: &str, title: &str, told: &str) -> String {
        format!(
            "<div class=\"chart\" tabindex=\"0\" role=\"group\" aria-label=\"{title}\"><svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
             aria-labelledby=\"{id}-title {id}-told\">\n<title id=\"{id}-title\">{title}</title><desc id=\"{id}-told\">{told}</desc>\n{body}</svg></div>\n",
            width = self.width,
            height = self.height + 6.0,
            title = Text(title),
            told = Text(told),
            body = self.body,
        )
    }
}

/// Signs that can be told apart without colour.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Diamond,
    Circle,
    Cross,
    Flag,
}

impl Form {
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Diamond => "M0 -8L8 0L0 8L-8 0Z",
            Self::Circle => "M0 -6A6 6 0 1 1 0 6A6 6 0 1 1 0 -6Z",
            Self::Cross => "M-7 -4.5L-4.5 -7L0 -2.5L4.5 -7L7 -4.5L2.5 0L7 4.5L4.5 7L0 2.5L-4.5 7L-7 4.5L-2.5 0Z",
            Self::Flag => "M-1 -9H1V9H-1ZM1 -9L9 -5.5L1 -2Z",
        }
    }
}

/// One entry of a legend.
pub(super) enum Key {
    Bar(&'static str),
    Line(&'static str),
    Sign(&'static str, Form),
}

/// What the shapes mean.
pub(super) fn legend(out: &mut String, entries: &[(Key, &str)]) {
    out.push_str("<ul class=\"legend\" aria-hidden=\"true\">");
    for (key, words) in entries {
        let shape = match key {
            Key::Bar(class) => format!("<rect class=\"{class}\" x=\"0\" y=\"3\" width=\"22\" height=\"10\" rx=\"3\"/>"),
            Key::Line(class) => format!("<line class=\"{class}\" x1=\"0\" y1=\"8\" x2=\"22\" y2=\"8\"/>"),
            Key::Sign(class, form) => {
                format!("<path class=\"{class}\" transform=\"translate(11 8) scale(0.8)\" d=\"{}\"/>", form.path())
            }
        };
        let _ = write!(out, "<li><svg width=\"22\" height=\"16\" viewBox=\"0 0 22 16\">{shape}</svg>{words}</li>");
    }
    out.push_str("</ul>\n");
}
