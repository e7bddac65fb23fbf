//! The kernel of the data itself: products of features, averaged over channels.

use super::Kind;
use super::image::{EXCESS, FIRST, Image};
use super::pair::Source;
use super::plane::Offset;
use crate::numeric::linalg::dot;

/// Where `sqrt(p q) - |c|` is below this share of `sqrt(p q)`, it is computed from differences: above it,
/// subtraction costs at most four of sixteen digits.
const NEARLY_PARALLEL: f64 = 1e-4;

/// Vectors, whose products are known.
pub(super) struct Vectors<'a> {
    pub kind: Kind,
    /// The row's vector, and those of the columns, one after the other.
    pub row: &'a [f64],
    pub columns: &'a [f64],
    /// Products of the row with the columns.
    pub products: &'a [f64],
    /// Squared norms.
    pub row_square: f64,
    pub column_squares: &'a [f64],
}

impl Source for Vectors<'_> {
    fn fill(&self, _offset: Offset, image: &mut Image) {
        let share = 1.0 / self.row.len() as f64;
        if self.kind == Kind::Nngp {
            for (c, product) in image.fields[FIRST].iter_mut().zip(self.products) {
                *c = share * product;
            }
            return;
        }
        for (lane, (&product, &square)) in self.products.iter().zip(self.column_squares).enumerate() {
            let top = (self.row_square * square).sqrt();
            let (mut deficit, mut excess) = (top - product, top + product);
            if top == 0.0 {
                (deficit, excess) = (0.0, 0.0);
            } else if deficit.min(excess) < NEARLY_PARALLEL * top {
                let column = &self.columns[lane * self.row.len()..(lane + 1) * self.row.len()];
                (deficit, excess) = halves(self.row, column, (square / self.row_square).sqrt().sqrt());
            }
            image.fields[FIRST][lane] = share * deficit;
            image.fields[EXCESS][lane] = share * excess;
        }
    }
}

/// `|x| |y| -+ x . y = |lambda x -+ y / lambda|^2 / 2` with `lambda^2 = |y| / |x|`.
fn halves(x: &[f64], y: &[f64], lambda: f64) -> (f64, f64) {
    let scaled = |sign: f64| -> Vec<f64> { x.iter().zip(y).map(|(x, y)| lambda * x + sign * (y / lambda)).collect() };
    let half_square = |vector: Vec<f64>| 0.5 * dot(&vector, &vector);
    (half_square(scaled(-1.0)), half_square(scaled(1.0)))
}

/// Images: channel by channel and position by position, `lanes` numbers at each.
pub(super) struct Images<'a> {
    pub kind: Kind,
    pub channels: usize,
    pub plane: [usize; 2],
    pub lanes: usize,
    /// The row's image, repeated on every lane, and the columns'.
    pub row: &'a [f64],
    pub columns: &'a [f64],
    /// Norms over channels by position, likewise (NTK only).
    pub row_norms: &'a [f64],
    pub column_norms: &'a [f64],
}

impl Source for Images<'_> {
    fn fill(&self, offset: Offset, image: &mut Image) {
        let share = 1.0 / self.channels as f64;
        let region = image.region;
        let row_len = region.extent[1] * self.lanes;
        let positions = self.plane[0] * self.plane[1];
        let mut factors = Vec::new();
        for y in 0..region.extent[0] {
            let here = [region.origin[0] + y, region.origin[1]];
            let there = [0, 1].map(|axis| here[axis].wrapping_add_signed(offset[axis]));
            let range = |at: [usize; 2], channel: usize| {
                let first = (channel * positions + at[0] * self.plane[1] + at[1]) * self.lanes;
                first..first + row_len
            };
            let out = y * row_len..(y + 1) * row_len;
            if self.kind == Kind::Nngp {
                let out = &mut image.fields[FIRST][out];
                for channel in 0..self.channels {
                    let (from, to) = (&self.row[range(here, channel)], &self.columns[range(there, channel)]);
                    for ((c, x), y) in out.iter_mut().zip(from).zip(to) {
                        *c += x * y;
                    }
                }
                out.iter_mut().for_each(|c| *c *= share);
                continue;
            }
            // As in `halves`; a point of norm 0 has deficit and excess 0.
            let norms = self.row_norms[range(here, 0)].iter().zip(&self.column_norms[range(there, 0)]);
            factors.clear();
            factors.extend(norms.map(|(x, y)| {
                if *x > 0.0 && *y > 0.0 {
                    let lambda = (y / x).sqrt();
                    [lambda, 1.0 / lambda]
                } else {
                    [0.0, 0.0]
                }
            }));
            let [deficit, excess, _] = &mut image.fields[..] else { panic!("a tangent kernel has three fields") };
            let (deficit, excess) = (&mut deficit[out.clone()], &mut excess[out]);
            for channel in 0..self.channels {
                let (from, to) = (&self.row[range(here, channel)], &self.columns[range(there, channel)]);
                for (k, [lambda, inverse]) in factors.iter().enumerate() {
                    let (x, y) = (lambda * from[k], inverse * to[k]);
                    deficit[k] += (x - y) * (x - y);
                    excess[k] += (x + y) * (x + y);
                }
            }
            for value in deficit.iter_mut().chain(excess) {
                *value *= 0.5 * share;
            }
        }
    }
}

/// Repeats every number of `values` on `lanes` lanes, into `out`.
pub(super) fn repeat(values: &[f64], lanes: usize, out: &mut Vec<f64>) {
    out.resize(values.len() * lanes, 0.0);
    for (lanes, value) in out.chunks_exact_mut(lanes).zip(values) {
        lanes.fill(*value);
    }
}

/// Lays the rows out side by side: position by position, one lane a row.
pub(super) fn interleave(rows: &[&[f64]]) -> Vec<f64> {
    let len = rows.first().map_or(0, |row| row.len());
    let mut out = Vec::with_capacity(len * rows.len());
    for position in 0..len {
        out.extend(rows.iter().map(|row| row[position]));
    }
    out
}
