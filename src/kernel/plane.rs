//! Planes of positions, seen pairwise: all positions `a` with `a + offset` also on the plane, for one offset.
//!
//! A kernel between two images is a function of a position in each. Convolutions sum it along
//! `(a + i, b + i)`, which keeps the offset `b - a`: seen one offset at a time the four-dimensional
//! kernel falls into small images, each convolved by itself.

use crate::model::Window;
use crate::numeric::instructions::vectorised;
use std::ops::Range;

/// `b - a` for positions `a` of the row's image and `b` of the column's.
pub(super) type Offset = [isize; 2];

/// The position by itself.
pub(super) const HERE: Offset = [0, 0];

/// The positions `a` of a plane for which `a + offset` lies on it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Region {
    /// First row and column.
    pub origin: [usize; 2],
    /// Rows and columns.
    pub extent: [usize; 2],
}

impl Region {
    /// The region of `offset` on a plane of `size`; an offset that leaves the plane has no rows either, so that
    /// nobody walks along rows without columns.
    pub fn new(size: [usize; 2], offset: Offset) -> Self {
        let extent = [0, 1].map(|axis| size[axis].saturating_sub(offset[axis].unsigned_abs()));
        if extent.contains(&0) {
            return Self::default();
        }
        let origin = [0, 1].map(|axis| offset[axis].min(0).unsigned_abs());
        Self { origin, extent }
    }

    /// Number of positions.
    pub fn len(&self) -> usize {
        self.extent[0] * self.extent[1]
    }
}

/// All offsets on a plane, [`HERE`] first.
pub(super) fn all_offsets(size: [usize; 2]) -> Vec<Offset> {
    let [rows, columns] = size.map(|size| size as isize - 1);
    let all = (-rows..=rows).flat_map(|y| (-columns..=columns).map(move |x| [y, x]));
    std::iter::once(HERE).chain(all.filter(|offset| *offset != HERE)).collect()
}

/// Window entries `i` that pair with `i + difference` in the same window.
pub(super) fn pairing_taps(window: &Window, difference: Offset) -> [Range<usize>; 2] {
    [0, 1].map(|axis| {
        let first = difference[axis].min(0).unsigned_abs();
        let end = window.size[axis].saturating_sub(difference[axis].max(0).unsigned_abs());
        first.min(end)..end
    })
}

/// The output offsets of a window that an input offset contributes to.
pub(super) fn pooled_offsets(window: &Window, offset: Offset) -> impl Iterator<Item = Offset> {
    let [rows, columns] = [0, 1].map(|axis| {
        let (stride, reach) = (window.stride[axis] as isize, window.size[axis] as isize - 1);
        // Those with |offset - stride output| <= reach.
        (offset[axis] - reach + stride - 1).div_euclid(stride)..=(offset[axis] + reach).div_euclid(stride)
    });
    rows.flat_map(move |y| columns.clone().map(move |x| [y, x]))
}

/// `output(a) = sum over taps of input(stride a + tap - before)`, with zeros outside the input's region;
/// `lanes` numbers stand at each position.
#[derive(Debug)]
pub(super) struct BoxSum<'a> {
    pub window: &'a Window,
    pub taps: [Range<usize>; 2],
    pub input: Region,
    pub output: Region,
    pub lanes: usize,
}

impl BoxSum<'_> {
    /// Runs it: adds to `output`, or replaces what stands there; `line` is scratch.
    pub fn run(&self, accumulate: bool, input: &[f64], output: &mut [f64], line: &mut Vec<f64>) {
        // Compiled for each width of vector instructions, as the duals are.
        vectorised(
            #[inline(always)]
            move || self.run_here(accumulate, input, output, line),
        );
    }

    #[inline(always)]
    fn run_here(&self, accumulate: bool, input: &[f64], output: &mut [f64], line: &mut Vec<f64>) {
        let lanes = self.lanes;
        let [output_rows, output_columns] = self.output.extent;
        if self.output.len() == 0 {
            return;
        }
        // A line of the input, rows under the window added up, between zeros wide enough for every window.
        let first = self.position(1, 0, self.taps[1].start);
        let last = self.position(1, output_columns - 1, self.taps[1].end - 1);
        let left = (-first).max(0) as usize;
        let width = left + self.input.extent[1].max((last + 1).max(0) as usize);
        let start = (first + left as isize) as usize;
        line.clear();
        line.resize(width * lanes, 0.0);
        let row_len = self.input.extent[1] * lanes;
        let shape = Line { taps: self.taps[1].len(), step: self.window.stride[1] * lanes, lanes };
        for y in 0..output_rows {
            let from = self.position(0, y, self.taps[0].start).max(0) as usize;
            let to = self.position(0, y, self.taps[0].end - 1) + 1;
            let to = to.clamp(from as isize, self.input.extent[0].max(from) as isize) as usize;
            let rows = &input[(from * row_len).min(input.len())..(to * row_len).min(input.len())];
            let out = &mut output[y * output_columns * lanes..(y + 1) * output_columns * lanes];
            if row_len == 0 || rows.is_empty() {
                if !accumulate {
                    out.fill(0.0);
                }
                continue;
            }
            sum_rows(&mut line[left * lanes..left * lanes + row_len], rows);
            shape.sum_along(accumulate, &line[start * lanes..], out);
        }
    }

    /// Row or column, counted from the input region's origin, under `tap` of the output region's `index`.
    #[inline(always)]
    fn position(&self, axis: usize, index: usize, tap: usize) -> isize {
        let position = (self.output.origin[axis] + index) * self.window.stride[axis] + tap;
        position as isize - (self.window.before[axis] + self.input.origin[axis]) as isize
    }
}

/// `out = sum over rows`, a row after the other.
#[inline(always)]
fn sum_rows(out: &mut [f64], rows: &[f64]) {
    let len = out.len();
    match rows.len() / len {
        1 => out.copy_from_slice(rows),
        2 => {
            let (a, b) = rows.split_at(len);
            for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                *out = a + b;
            }
        }
        3 => {
            let (a, rest) = rows.split_at(len);
            let (b, c) = rest.split_at(len);
            for (((out, a), b), c) in out.iter_mut().zip(a).zip(b).zip(c) {
                *out = a + b + c;
            }
        }
        _ => {
            out.copy_from_slice(&rows[..len]);
            for row in rows[len..].chunks_exact(len) {
                out.iter_mut().zip(row).for_each(|(out, value)| *out += value);
            }
        }
    }
}

/// Windows along one line.
struct Line {
    taps: usize,
    /// From a window to the next.
    step: usize,
    lanes: usize,
}

impl Line {
    #[inline(always)]
    fn sum_along(&self, accumulate: bool, line: &[f64], out: &mut [f64]) {
        let lanes = self.lanes;
        if self.step == lanes && self.taps == 3 && !accumulate {
            let [a, b, c] = [0, 1, 2].map(|tap| &line[tap * lanes..tap * lanes + out.len()]);
            for (((out, a), b), c) in out.iter_mut().zip(a).zip(b).zip(c) {
                *out = a + b + c;
            }
            return;
        }
        if !accumulate {
            out.fill(0.0);
        }
        for tap in 0..self.taps {
            let line = &line[tap * lanes..];
            if self.step == lanes {
                out.iter_mut().zip(line).for_each(|(out, value)| *out += value);
            } else {
                for (out, line) in out.chunks_exact_mut(lanes).zip(line.chunks(self.step)) {
                    out.iter_mut().zip(line).for_each(|(out, value)| *out += value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Padding;

    #[test]
    fn box_sums_are_the_sums_they_stand_for() {
        let plane = [5, 4];
        let lanes = 2;
        for (size, stride, padding) in [
            ([3, 3], [1, 1], Padding::Same),
            ([3, 2], [2, 1], Padding::Zeros([1, 1])),
            ([2, 2], [2, 2], Padding::Valid),
            ([5, 4], [1, 1], Padding::Valid),
            ([1, 1], [1, 1], Padding::Same),
        ] {
            let window = Window::new(&[1, 5, 4], size, stride, padding).unwrap();
            for offset in all_offsets(window.output) {
                let input_offset = [0, 1].map(|axis| offset[axis] * stride[axis] as isize);
                let (input, output) = (Region::new(plane, input_offset), Region::new(window.output, offset));
                let values: Vec<f64> = (0..input.len() * lanes).map(|k| (k as f64 * 0.7).sin()).collect();
                let mut found = vec![0.5; output.len() * lanes];
                let sum = BoxSum { window: &window, taps: size.map(|size| 0..size), input, output, lanes };
                sum.run(true, &values, &mut found, &mut Vec::new());
                let mut replaced = vec![f64::NAN; found.len()];
                sum.run(false, &values, &mut replaced, &mut Vec::new());
                for (found, replaced) in found.iter().zip(&replaced) {
                    assert!((found - replaced - 0.5).abs() < 1e-14);
                }
                for y in 0..output.extent[0] {
                    for x in 0..output.extent[1] {
                        for lane in 0..lanes {
                            let mut expected = 0.5;
                            for i in 0..size[0] {
                                for j in 0..size[1] {
                                    let row = ((output.origin[0] + y) * stride[0] + i) as isize;
                                    let column = ((output.origin[1] + x) * stride[1] + j) as isize;
                                    let row = row - (window.before[0] + input.origin[0]) as isize;
                                    let column = column - (window.before[1] + input.origin[1]) as isize;
                                    let inside = (0..input.extent[0] as isize).contains(&row)
                                        && (0..input.extent[1] as isize).contains(&column);
                                    if inside {
                                        let position = row as usize * input.extent[1] + column as usize;
                                        expected += values[position * lanes + lane];
                                    }
                                }
                            }
                            let index = (y * output.extent[1] + x) * lanes + lane;
                            assert!((found[index] - expected).abs() < 1e-14, "{size:?} {offset:?} ({y}, {x})");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn taps_pair_within_a_window() {
        let window = Window::new(&[1, 6, 6], [3, 2], [3, 2], Padding::Valid).unwrap();
        assert_eq!(pairing_taps(&window, [0, 0]), [0..3, 0..2]);
        assert_eq!(pairing_taps(&window, [2, -1]), [0..1, 1..2]);
        assert!(pairing_taps(&window, [3, 0])[0].is_empty());
        assert!(pairing_taps(&window, [-4, 0])[0].is_empty());
    }
}
