//! Figures of the studies as SVG and PNG, for screen and print: Okabe and Ito's colours (2008), which differ for every
//! kind of colour vision, and a mark of its own for each, which differ without colour.

use crate::study::{Axis, Figure, Panel, Series, Style};
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};
use std::sync::Once;

/// The font is part of the program: the same figures on every machine.
const FONT: &[u8] = include_bytes!("../../fixtures/fonts/DejaVuSans-subset.ttf");
const FAMILY: &str = "sans-serif";

/// Size of a panel and of the legend below, in pixels of the SVG.
const PANEL_WIDTH: u32 = 420;
const PANEL_HEIGHT: u32 = 320;
const LEGEND_HEIGHT: u32 = 34;
/// Pixels of the PNG to one of the SVG: 300 dots an inch for a panel of 2.8 inches.
const PNG_SCALE: u32 = 2;

const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];
/// Largest over smallest value from which an axis is logarithmic.
const LEAST_LOG_RANGE: f64 = 30.0;
/// Ticks an axis has, about.
const TICKS: usize = 6;
const LOG10_OF_3: f64 = 0.477_121_254_719_662_4;
/// Numbers at ticks of logarithmic axes that are not written as powers.
const PLAIN: std::ops::Range<f64> = 0.0009..11_000.0;
const INK: RGBColor = RGBColor(27, 31, 36);
const GRID: RGBColor = RGBColor(225, 228, 232);

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
#[error("figure '{name}' cannot be drawn: {reason}")]
pub struct FigureError {
    name: String,
    reason: String,
}

/// The figure as SVG.
///
/// # Errors
/// [`FigureError`] if drawing fails.
pub fn svg(figure: &Figure) -> Result<String, FigureError> {
    let mut text = String::new();
    let (width, height) = size(figure, 1);
    draw(figure, 1, &SVGBackend::with_string(&mut text, (width, height)).into_drawing_area())?;
    Ok(text)
}

/// The figure as PNG.
///
/// # Errors
/// [`FigureError`] if drawing fails.
pub fn png(figure: &Figure) -> Result<Vec<u8>, FigureError> {
    let (width, height) = size(figure, PNG_SCALE);
    let mut pixels = vec![255_u8; (3 * width * height) as usize];
    draw(figure, PNG_SCALE, &BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area())?;
    let fault = |error: png::EncodingError| FigureError { name: figure.name.clone(), reason: error.to_string() };
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(fault)?;
    writer.write_image_data(&pixels).map_err(fault)?;
    writer.finish().map_err(fault)?;
    Ok(bytes)
}

fn rows(figure: &Figure) -> u32 {
    figure.panels.len().div_ceil(figure.columns.max(1)) as u32
}

fn legend(figure: &Figure) -> Vec<&Series> {
    let mut entries: Vec<&Series> = Vec::new();
    for series in figure.panels.iter().flat_map(|panel| &panel.series) {
        if !series.name.is_empty() && entries.iter().all(|entry| entry.name != series.name) {
            entries.push(series);
        }
    }
    entries
}

/// Width an entry of the legend takes.
fn entry_width(series: &Series) -> u32 {
    36 + (7.2 * series.name.chars().count() as f64) as u32
}

/// Entries of the legend, as many a line as fit.
fn legend_lines(figure: &Figure) -> Vec<Vec<&Series>> {
    let available = PANEL_WIDTH * figure.columns.max(1) as u32 - 20;
    let mut lines: Vec<Vec<&Series>> = Vec::new();
    let mut used = available;
    for series in legend(figure) {
        let width = entry_width(series);
        if used + width > available || lines.is_empty() {
            lines.push(Vec::new());
            used = 0;
        }
        used += width;
        lines.last_mut().expect("there is a line").push(series);
    }
    lines
}

fn size(figure: &Figure, scale: u32) -> (u32, u32) {
    let columns = figure.columns.max(1) as u32;
    let legend = LEGEND_HEIGHT * legend_lines(figure).len() as u32;
    (scale * columns * PANEL_WIDTH, scale * (rows(figure) * PANEL_HEIGHT + legend))
}

type Area<B> = DrawingArea<B, plotters::coord::Shift>;

fn draw<B: DrawingBackend>(figure: &Figure, scale: u32, area: &Area<B>) -> Result<(), FigureError> {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        for style in [FontStyle::Normal, FontStyle::Bold] {
            assert!(register_font(FAMILY, style, FONT).is_ok(), "the embedded font is sound");
        }
    });
    let fault = |reason: String| FigureError { name: figure.name.clone(), reason };
    draw_all(figure, scale, area).map_err(|error| fault(error.to_string()))
}

type Drawn<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

fn draw_all<B: DrawingBackend>(figure: &Figure, scale: u32, area: &Area<B>) -> Drawn<B> {
    area.fill(&WHITE)?;
    let columns = figure.columns.max(1) as u32;
    let (panels, key) = area.split_vertically(scale * rows(figure) * PANEL_HEIGHT);
    for (panel, area) in figure.panels.iter().zip(panels.split_evenly((rows(figure) as usize, columns as usize))) {
        draw_panel(panel, scale as i32, &area)?;
    }
    let size = scale as i32;
    let text = font(12 * scale);
    for (line, entries) in legend_lines(figure).iter().enumerate() {
        let mut x = 14 * size;
        let y = (LEGEND_HEIGHT as i32 * line as i32 + 14) * size;
        for series in entries {
            match series.style {
                Style::Marks => draw_mark(&key, (x + 8 * size, y), 4 * size, series.colour)?,
                style => {
                    let stroke = colour(series.colour).stroke_width(2 * scale);
                    let pieces = if style == Style::Dashes { vec![(0, 6), (10, 16)] } else { vec![(0, 16)] };
                    for (from, to) in pieces {
                        key.draw(&PathElement::new([(x + from * size, y), (x + to * size, y)], stroke))?;
                    }
                }
            }
            let beside = text.pos(Pos::new(HPos::Left, VPos::Center));
            key.draw(&Text::new(series.name.clone(), (x + 22 * size, y), beside))?;
            x += entry_width(series) as i32 * size;
        }
    }
    area.present()
}

fn font(size: u32) -> TextStyle<'static> {
    (FAMILY, size).into_font().color(&INK)
}

fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

/// A mark that differs from the others in shape too, centred at `place`.
fn draw_mark<B: DrawingBackend>(area: &Area<B>, place: (i32, i32), radius: i32, index: usize) -> Drawn<B> {
    let (x, y) = place;
    let colour = colour(index);
    let edge = colour.stroke_width((radius / 3).max(1) as u32);
    match index % COLOURS.len() {
        0 => area.draw(&Circle::new(place, radius, colour.mix(0.75).filled())),
        1 => {
            area.draw(&PathElement::new([(x - radius, y - radius), (x + radius, y + radius)], edge))?;
            area.draw(&PathElement::new([(x - radius, y + radius), (x + radius, y - radius)], edge))
        }
        2 => area.draw(&Rectangle::new([(x - radius, y - radius), (x + radius, y + radius)], edge)),
        3 => area.draw(&Polygon::new(
            [(x, y - radius - 1), (x + radius, y + radius), (x - radius, y + radius)],
            colour.mix(0.75).filled(),
        )),
        4 => {
            area.draw(&PathElement::new([(x - radius, y), (x + radius, y)], edge))?;
            area.draw(&PathElement::new([(x, y - radius), (x, y + radius)], edge))
        }
        5 => area.draw(&Polygon::new(
            [(x, y - radius - 1), (x + radius + 1, y), (x, y + radius + 1), (x - radius - 1, y)],
            colour.mix(0.75).filled(),
        )),
        _ => area.draw(&Circle::new(place, radius, edge)),
    }
}

/// Range of values with a margin; never empty.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if !(low <= high) {
        return (0.0, 1.0);
    }
    // Values that differ by rounding are shown as equal.
    let size = low.abs().max(high.abs());
    let margin = if high - low > 1e-6 * size { 0.06 * (high - low) } else { (0.05 * size).max(f64::MIN_POSITIVE) };
    (low - margin, high + margin)
}

/// The axis as drawn: logarithms where it is logarithmic.
fn placed(value: f64, axis: &Axis) -> f64 {
    if axis.log { value.log10() } else { value }
}

/// An axis with ticks where they are said to be.
struct Scale {
    coordinate: RangedCoordf64,
    ticks: Vec<f64>,
}

impl Scale {
    fn new(axis: &Axis, (low, high): (f64, f64)) -> Self {
        Self { coordinate: (low..high).into(), ticks: ticks(axis, (low, high)) }
    }
}

impl Ranged for Scale {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.coordinate.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.coordinate.range()
    }
}

/// Where an axis from `low` to `high` has its ticks: on a logarithmic one at powers of ten, and at three times them
/// where there is room.
fn ticks(axis: &Axis, (low, high): (f64, f64)) -> Vec<f64> {
    let count = if axis.names.is_empty() { TICKS } else { 2 * axis.names.len() };
    if !axis.log {
        return RangedCoordf64::from(low..high).key_points(count);
    }
    let between: &[f64] = if high - low < TICKS as f64 / 2.0 { &[0.0, LOG10_OF_3] } else { &[0.0] };
    let step = ((high - low) / TICKS as f64).ceil().max(1.0) as i32;
    (low.floor() as i32..=high.ceil() as i32)
        .filter(|decade| decade % step == 0)
        .flat_map(|decade| between.iter().map(move |part| f64::from(decade) + part))
        .filter(|place| (low..=high).contains(place))
        .collect()
}

/// The number at a tick of an axis that covers `span`.
fn tick(value: f64, axis: &Axis, span: f64) -> String {
    if !axis.names.is_empty() {
        let place = value.round();
        let is_place = (value - place).abs() < 1e-9 && place >= 1.0;
        return axis.names.get(place as usize - 1).filter(|_| is_place).cloned().unwrap_or_default();
    }
    if axis.log {
        let number = 10_f64.powf(value);
        let text = if PLAIN.contains(&number) {
            let decimals = (-value.floor()).clamp(0.0, 3.0) as usize;
            format!("{number:.decimals$}")
        } else {
            format!("{number:.0e}")
        };
        return text.replace('-', "\u{2212}");
    }
    let digits = (1.0 - span.log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.replace('-', "\u{2212}") }
}

/// The axis as drawn: linear where the values span less than a decade and a half.
fn suited(axis: &Axis, values: impl Iterator<Item = f64>) -> Axis {
    let positive = values.filter(|value| *value > 0.0 && value.is_finite());
    let (low, high) = positive.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    Axis { log: axis.log && high > LEAST_LOG_RANGE * low, ..axis.clone() }
}

fn draw_panel<B: DrawingBackend>(panel: &Panel, size: i32, area: &Area<B>) -> Drawn<B> {
    let shown = || panel.series.iter().filter(|series| series.style != Style::Rule).flat_map(|series| &series.points);
    let panel = &Panel {
        x: suited(&panel.x, shown().map(|point| point.0)),
        y: suited(&panel.y, shown().map(|point| point.1)),
        ..panel.clone()
    };
    let is_drawn = |x: f64, y: f64| x.is_finite() && y.is_finite();
    let points = |series: &Series| -> Vec<(f64, f64)> {
        let all = series.points.iter().map(|&(x, y)| (placed(x, &panel.x), placed(y, &panel.y)));
        all.filter(|&(x, y)| is_drawn(x, y)).collect()
    };
    let series: Vec<(&Series, Vec<(f64, f64)>)> = panel
        .series
        .iter()
        .map(|series| {
            let rule = series.style == Style::Rule;
            (
                series,
                if rule {
                    series.points.iter().map(|&(x, _)| (placed(x, &panel.x), 0.0)).collect()
                } else {
                    points(series)
                },
            )
        })
        .collect();
    let inside = || series.iter().filter(|(series, _)| series.style != Style::Rule).flat_map(|(_, points)| points);
    let (x_low, x_high) = range(inside().map(|point| point.0));
    let (y_low, y_high) = range(inside().map(|point| point.1));
    let scale = size as u32;
    let (x_scale, y_scale) = (Scale::new(&panel.x, (x_low, x_high)), Scale::new(&panel.y, (y_low, y_high)));
    let mut chart = ChartBuilder::on(area)
        .margin(10 * size)
        .margin_right(16 * size)
        .caption(&panel.title, font(14 * scale))
        .x_label_area_size(44 * size)
        .y_label_area_size(if panel.y.names.is_empty() { 62 } else { 190 } * size)
        .build_cartesian_2d(x_scale, y_scale)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.stroke_width(scale))
        .axis_style(INK.stroke_width(scale))
        .x_desc(&panel.x.label)
        .y_desc(&panel.y.label)
        .label_style(font(11 * scale))
        .axis_desc_style(font(12 * scale))
        .x_label_formatter(&|value| tick(*value, &panel.x, x_high - x_low))
        .y_label_formatter(&|value| tick(*value, &panel.y, y_high - y_low))
        .draw()?;
    for (series, points) in &series {
        let stroke = colour(series.colour).stroke_width(2 * scale);
        match series.style {
            Style::Line => {
                // Piece by piece: sharp joins of wide lines would stick out.
                chart.draw_series(points.windows(2).map(|pair| PathElement::new(pair.to_vec(), stroke)))?;
            }
            Style::Dashes => {
                chart.draw_series(DashedLineSeries::new(points.iter().copied(), 7 * scale, 4 * scale, stroke))?;
            }
            Style::Rule => {
                for &(x, _) in points.iter().filter(|point| point.0.is_finite()) {
                    chart.draw_series(DashedLineSeries::new(
                        [(x, y_low), (x, y_high)],
                        6 * scale,
                        4 * scale,
                        stroke,
                    ))?;
                }
            }
            Style::Marks => {
                let plane = chart.plotting_area();
                let (pixels, (left, top)) = (plane.strip_coord_spec(), plane.get_base_pixel());
                for point in points {
                    let (x, y) = plane.map_coordinate(point);
                    draw_mark(&pixels, (x - left, y - top), 3 * size, series.colour)?;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_short_and_exact() {
        let linear = Axis::linear("x");
        assert_eq!(tick(-1.5, &linear, 2.0), "\u{2212}1.5");
        assert_eq!(tick(-0.0, &linear, 2.0), "0");
        assert_eq!(tick(400.0, &linear, 300.0), "400");
        let log = Axis::log("x");
        assert_eq!([tick(-3.0, &log, 6.0), tick(2.5, &log, 2.0)], ["0.001", "316"]);
        let shown = |low, high| {
            let places = ticks(&log, (low, high));
            places.iter().map(|place| tick(*place, &log, high - low)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(-1.2, 1.2), "0.1 0.3 1 3 10");
        assert_eq!(shown(-5.5, -2.0), "1e\u{2212}5 1e\u{2212}4 0.001 0.01");
        assert_eq!(shown(-12.0, 8.0), "1e\u{2212}12 1e\u{2212}8 1e\u{2212}4 1 10000 1e8");
        let named = Axis::named(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!([1.0, 1.5, 2.0, 3.0].map(|place| tick(place, &named, 2.0)), ["a", "", "b", ""]);
    }

    #[test]
    fn equal_values_have_a_range_and_short_ranges_no_logarithm() {
        let (low, high) = range([2.0, 2.0 + 1e-12].into_iter());
        assert!(low < 1.95 && high > 2.05);
        assert_eq!(range(std::iter::empty()), (0.0, 1.0));
        let log = Axis::log("x");
        assert!(!suited(&log, [1.0, 20.0].into_iter()).log && suited(&log, [1.0, 40.0, 0.0].into_iter()).log);
    }

    #[test]
    fn points_without_a_place_are_left_out_and_names_are_escaped() {
        let figure = |points| Figure {
            name: "f".to_owned(),
            caption: "c".to_owned(),
            panels: vec![Panel {
                title: "a<b".to_owned(),
                x: Axis::log("x"),
                y: Axis::linear("y"),
                series: vec![Series { name: "s & t".to_owned(), points, style: Style::Marks, colour: 0 }],
            }],
            columns: 1,
        };
        let count = |points: Vec<(f64, f64)>| svg(&figure(points)).unwrap().matches("<circle").count();
        // One in the legend.
        assert_eq!(count(vec![(1.0, 2.0), (0.0, 3.0), (100.0, f64::NEG_INFINITY), (100.0, 1.0)]), 1 + 2);
        assert_eq!(count(vec![(f64::NAN, 1.0)]), 1);
        let drawing = svg(&figure(vec![(1.0, 1.0)])).unwrap();
        assert!(drawing.contains("a&lt;b") && drawing.contains("s &amp; t"), "{drawing}");
        assert_eq!(png(&figure(vec![(1.0, 1.0)])).unwrap(), png(&figure(vec![(1.0, 1.0)])).unwrap());
    }
}
