//! Plots as inline SVG: no script, no request, colours by the page's style sheet.
//!
//! Reports of the gate are written where the feature `plots` and its drawing library are not, and follow the reader's light or dark
//! style; figures of the studies (`figure`) are files of their own, SVG and PNG, for papers.

use super::escape::escaped;
use super::table::number;

/// A series of a plot: points joined by a line, or marks alone.
pub(super) struct Series {
    /// Name in the legend.
    pub name: String,
    /// `(x, y)`; points that are not finite are left out.
    pub points: Vec<(f64, f64)>,
    /// Whether a line joins them.
    pub line: bool,
    /// Which of the style sheet's colours.
    pub colour: usize,
}

/// Title and axes of a plot.
pub(super) struct Axes<'t> {
    pub title: &'t str,
    pub x: &'t str,
    pub y: &'t str,
    /// Whether positions are logarithms to base ten, labelled by their powers.
    pub log_x: bool,
    pub log_y: bool,
}

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 42.0;

/// Range of values with a margin; never empty.
fn range(values: impl Iterator<Item = f64> + Clone) -> Option<(f64, f64)> {
    let (low, high) = (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max));
    if low > high {
        return None;
    }
    let margin = if high > low { 0.08 * (high - low) } else { 0.5 * low.abs().clamp(1e-300, 1.0) };
    Some((low - margin, high + margin))
}

/// The plot; a sentence where there is nothing to show.
pub(super) fn plot(axes: &Axes, series: &[Series]) -> String {
    let place = |value: f64, log: bool| if log { value.log10() } else { value };
    let placed: Vec<Vec<(f64, f64)>> = (series.iter())
        .map(|series| {
            let points = series.points.iter().map(|&(x, y)| (place(x, axes.log_x), place(y, axes.log_y)));
            points.filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
        })
        .collect();
    let all = || placed.iter().flatten();
    let (Some((x0, x1)), Some((y0, y1))) = (range(all().map(|p| p.0)), range(all().map(|p| p.1))) else {
        return format!("<p>{}: nothing to plot.</p>\n", escaped(axes.title));
    };
    let across = |x: f64| LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT);
    let up = |y: f64| HEIGHT - BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<figure><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n<text x=\"{LEFT}\" y=\"16\" \
         class=\"title\">{title}</text>\n",
        title = escaped(axes.title)
    );
    for step in 0..=4 {
        let share = f64::from(step) / 4.0;
        let label = |low: f64, high: f64, log: bool| {
            let value = low + share * (high - low);
            if log { format!("10^{value:.1}") } else { number((value * 1e4).round() / 1e4) }
        };
        let (x, y) = (across(x0 + share * (x1 - x0)), up(y0 + share * (y1 - y0)));
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        svg += &format!(
            "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\" class=\"grid\"/><text x=\"{:.1}\" y=\"{:.1}\" \
             class=\"tick\" text-anchor=\"end\">{}</text>\n",
            LEFT - 4.0,
            y + 3.0,
            label(y0, y1, axes.log_y)
        );
        svg += &format!(
            "<text x=\"{x:.1}\" y=\"{:.1}\" class=\"tick\" text-anchor=\"middle\">{}</text>\n",
            bottom + 13.0,
            label(x0, x1, axes.log_x)
        );
    }
    svg += &format!(
        "<text x=\"{:.1}\" y=\"{:.1}\" class=\"axis\" text-anchor=\"middle\">{}</text>\n<text transform=\"translate(11 \
         {:.1}) rotate(-90)\" class=\"axis\" text-anchor=\"middle\">{}</text>\n",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 10.0,
        escaped(axes.x),
        (TOP + HEIGHT - BOTTOM) / 2.0,
        escaped(axes.y)
    );
    for (series, points) in series.iter().zip(&placed) {
        let colour = series.colour % 6;
        if series.line {
            let path: Vec<String> = points.iter().map(|(x, y)| format!("{:.1},{:.1}", across(*x), up(*y))).collect();
            svg += &format!("<polyline points=\"{}\" class=\"line c{colour}\"/>\n", path.join(" "));
        } else {
            for (x, y) in points {
                svg += &format!(
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" class=\"mark c{colour}\"/>\n",
                    across(*x),
                    up(*y)
                );
            }
        }
    }
    let legend: Vec<String> = (series.iter().filter(|series| !series.name.is_empty()))
        .map(|series| {
            let sign = if series.line { "&#8212;" } else { "&#9679;" };
            format!("<span class=\"t{}\">{sign} {}</span>", series.colour % 6, escaped(&series.name))
        })
        .collect();
    svg + &format!("</svg>\n<figcaption>{}</figcaption></figure>\n", legend.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_that_are_not_finite_are_left_out_and_emptiness_is_said() {
        let axes = Axes { title: "a<b", x: "x", y: "y", log_x: true, log_y: false };
        let series = |points| Series { name: "s".to_owned(), points, line: false, colour: 0 };
        let svg = plot(&axes, &[series(vec![(1.0, 2.0), (0.0, 3.0), (10.0, f64::NEG_INFINITY)])]);
        assert_eq!(svg.matches("<circle").count(), 1);
        assert!(svg.contains("a&lt;b") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(plot(&axes, &[series(vec![(0.0, 1.0)])]).contains("nothing to plot"));
    }
}
