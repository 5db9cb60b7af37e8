//! Curves as plain SVG: a row of panels, each with measured points and a counted curve.

use std::fmt::Write;

/// One panel.
pub struct Panel {
    pub title: String,
    pub x: &'static str,
    pub y: &'static str,
    /// Measured points (x, y).
    pub points: Vec<(f64, f64)>,
    /// Counts at the same x, and their unit, scaled so that the last count lies on the last point.
    pub count: Option<(Vec<f64>, &'static str)>,
    /// Text below the panel.
    pub note: String,
}

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 60.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 60.0;
const HEAD: f64 = 50.0;

/// Draws a title and below it the panels, `columns` in a row.
pub fn draw(title: &str, columns: usize, panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(columns);
    let (width, height) = (WIDTH * columns as f64, HEAD + HEIGHT * rows as f64);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    text(&mut out, 12.0, 22.0, "start", title);
    text(
        &mut out,
        12.0,
        40.0,
        "start",
        "points: measured; dashed: the count of the work, scaled to the last point (axis at the right)",
    );
    for (i, panel) in panels.iter().enumerate() {
        let (x, y) = ((i % columns) as f64 * WIDTH, HEAD + (i / columns) as f64 * HEIGHT);
        let _ = writeln!(out, "<g transform=\"translate({x} {y})\">");
        panel.draw(&mut out);
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
    out
}

impl Panel {
    fn draw(&self, out: &mut String) {
        let last = self.points.last().copied().unwrap_or((1.0, 1.0));
        // Scale of the count, in units of y.
        let scale = self.count.as_ref().and_then(|(count, _)| count.last()).map_or(0.0, |&count| last.1 / count);
        let counted: Vec<(f64, f64)> = match &self.count {
            Some((count, _)) => self.points.iter().zip(count).map(|(point, &count)| (point.0, count * scale)).collect(),
            None => Vec::new(),
        };
        let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
        let right = round_up(most(&mut self.points.iter().map(|p| p.0)));
        let top = round_up(most(&mut self.points.iter().chain(&counted).map(|p| p.1)));
        let x = |value: f64| LEFT + value / right * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
        text(out, LEFT, TOP - 12.0, "start", &self.title);
        for i in 0..=4 {
            let (at, value) = (y(top * f64::from(i) / 4.0), top * f64::from(i) / 4.0);
            let _ = writeln!(out, "<path d=\"M{LEFT} {at:.1}H{}\" stroke=\"#ddd\"/>", WIDTH - RIGHT);
            text(out, LEFT - 5.0, at + 4.0, "end", &number(value));
            if scale > 0.0 {
                text(out, WIDTH - RIGHT + 5.0, at + 4.0, "start", &number(value / scale));
            }
        }
        for point in &self.points {
            text(out, x(point.0), HEIGHT - BOTTOM + 15.0, "middle", &number(point.0));
        }
        text(out, LEFT, HEIGHT - BOTTOM + 32.0, "start", &format!("{} against {}", self.y, self.x));
        if let Some((_, unit)) = &self.count {
            text(out, WIDTH - 5.0, HEIGHT - BOTTOM + 32.0, "end", unit);
        }
        text(out, LEFT, HEIGHT - BOTTOM + 48.0, "start", &self.note);
        let mut line = |points: &[(f64, f64)], style: &str| {
            let path: Vec<String> = points.iter().map(|p| format!("{:.1},{:.1}", x(p.0), y(p.1))).collect();
            let _ = writeln!(out, "<polyline points=\"{}\" fill=\"none\" {style}/>", path.join(" "));
        };
        line(&counted, "stroke=\"#c60\" stroke-dasharray=\"5 4\"");
        line(&self.points, "stroke=\"#06c\"");
        for point in &self.points {
            let _ = writeln!(out, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"#06c\"/>", x(point.0), y(point.1));
        }
    }
}

/// The next of 1, 2, 2.5, 4, 5 and 10 times a power of ten.
fn round_up(value: f64) -> f64 {
    if !(value > 0.0 && value.is_finite()) {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let step = [1.0, 2.0, 2.5, 4.0, 5.0, 10.0].into_iter().find(|step| step * power >= value * 0.999_999);
    step.unwrap_or(10.0) * power
}

/// With three significant digits.
fn number(value: f64) -> String {
    let digits = if value > 0.0 { (2.0 - value.log10().floor()).clamp(0.0, 6.0) as usize } else { 0 };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let _ = write!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">");
    for c in words.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // XML cannot hold these.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out.push_str("</text>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_axes() {
        assert_eq!([0.0, 0.25, 3.0, 12.5, 1234.5, 0.001234].map(number), ["0", "0.25", "3", "12.5", "1234", "0.00123"]);
        assert_eq!([0.0, 0.3, 1.0, 21.0, 99.0, 400.0].map(round_up), [1.0, 0.4, 1.0, 25.0, 100.0, 400.0]);
        assert_eq!(round_up(f64::NAN), 1.0);
    }

    #[test]
    fn names_are_text_and_points_lie_within() {
        let count = Some((vec![1.0, 4.0], "GFLOP"));
        let panel = Panel {
            title: "a<b&c\u{1}".into(),
            x: "size",
            y: "seconds",
            points: vec![(1.0, 0.5), (2.0, 1.0)],
            count,
            note: String::new(),
        };
        let svg = draw("t", 1, &[panel]);
        assert!(svg.contains("a&lt;b&amp;c\u{fffd}</text>"), "{svg}");
        // The count's last value lies on the last point: 4 of 1 second, so that 1 is a quarter.
        assert!(svg.contains("points=\"200.0,157.5 340.0,30.0\""), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2);
    }
}
