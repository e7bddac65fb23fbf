//! Planes of positions, seen pairwise: all positions `a` with `a + offset` also on the plane, for one offset.
//!
//! A kernel between two images is a function of a position in each. Convolutions sum it along
//! `(a + i, b + i)`, which keeps the offset `b - a`: seen one offset at a time the four-dimensional
//! kernel falls into small images, each convolved by itself.

use crate::model::Window;
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
    /// The region of `offset` on a plane of `size`.
    pub fn new(size: [usize; 2], offset: Offset) -> Self {
        let origin = [0, 1].map(|axis| offset[axis].min(0).unsigned_abs());
        let extent = [0, 1].map(|axis| size[axis].saturating_sub(offset[axis].unsigned_abs()));
        Self { origin, extent }
    }

    /// Number of positions.
    pub fn len(&self) -> usize {
        self.extent[0] * self.extent[1]
    }

    fn range(&self, axis: usize) -> Range<usize> {
        self.origin[axis]..self.origin[axis] + self.extent[axis]
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

/// `output(a) += sum over taps of input(stride a + tap - before)`, with zeros outside the input's region;
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
    /// Runs it; `column_sums` is scratch.
    pub fn add(&self, input: &[f64], output: &mut [f64], column_sums: &mut Vec<f64>) {
        let [_, input_columns] = self.input.extent;
        let [output_rows, output_columns] = self.output.extent;
        let row_len = input_columns * self.lanes;
        for y in 0..output_rows {
            // The rows under the window, added up; then windows along the row.
            let mut sources = self.taps[0].clone().filter_map(|tap| self.source(0, y, tap));
            let Some(first) = sources.next() else { continue };
            let row = |index: usize| &input[index * row_len..(index + 1) * row_len];
            column_sums.clear();
            column_sums.extend_from_slice(row(first));
            for source in sources {
                add(column_sums, row(source));
            }
            let out = &mut output[y * output_columns * self.lanes..(y + 1) * output_columns * self.lanes];
            self.add_along(column_sums, out);
        }
    }

    /// Row or column of the input's region under `tap` of the output region's row or column `index`.
    fn source(&self, axis: usize, index: usize, tap: usize) -> Option<usize> {
        let position = (self.output.origin[axis] + index) * self.window.stride[axis] + tap;
        let position = position.checked_sub(self.window.before[axis])?;
        self.input.range(axis).contains(&position).then(|| position - self.input.origin[axis])
    }

    fn add_along(&self, sums: &[f64], out: &mut [f64]) {
        let (stride, lanes) = (self.window.stride[1], self.lanes);
        let columns = self.output.extent[1];
        for tap in self.taps[1].clone() {
            let Some(first) = (0..columns).find(|&x| self.source(1, x, tap).is_some()) else { continue };
            let from = self.source(1, first, tap).expect("found above");
            let count = (self.input.extent[1] - from).div_ceil(stride).min(columns - first);
            if stride == 1 {
                add(&mut out[first * lanes..(first + count) * lanes], &sums[from * lanes..(from + count) * lanes]);
            } else {
                for x in 0..count {
                    let from = (from + x * stride) * lanes;
                    add(&mut out[(first + x) * lanes..(first + x + 1) * lanes], &sums[from..from + lanes]);
                }
            }
        }
    }
}

/// `a += b`.
fn add(a: &mut [f64], b: &[f64]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += b;
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
                sum.add(&values, &mut found, &mut Vec::new());
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
