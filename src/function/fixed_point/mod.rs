//! The last hidden layer and the logit in 16-bit fixed point, with a bound on what that does to a logit.
//!
//! Where a machine adds two products of 16-bit integers in the lane and the time of one in single precision, most labels
//! are found so at half the price; the few logits within the bound are left to other arithmetic.

mod avx512;
#[cfg(target_arch = "x86_64")]
mod scale;

pub(super) use scale::LastLayers;
use scale::{SMALLEST, largest_number};

/// Layers of fewer units or a smaller fan-in are not worth the conversion, and have too few roundings in single precision
/// for the count in [`FixedPoint::logits`].
const LEAST_WIDTH: usize = 16;
/// Layers of a larger fan-in would leave too few bits to a number.
const LARGEST_FAN_IN: usize = 1 << 12;
/// Sums over more weights could be off by a twentieth.
const LARGEST_LAYER: usize = 1 << 22;

/// Bounds in single precision from here on are those of networks so large that sums could overflow.
const LARGEST_BOUND: f32 = (1_u64 << 60) as f32;

/// A machine with the instructions.
#[derive(Debug, Clone, Copy)]
pub(super) struct FixedPoint(());

/// Room for one thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    #[cfg(target_arch = "x86_64")]
    numbers: avx512::Numbers,
    /// What [`FixedPoint::logits`] finds, and its bound for each.
    pub logits: Vec<f32>,
    pub bounds: Vec<f32>,
}

impl FixedPoint {
    /// This machine, if it has them.
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if avx512::detected() {
            return Some(Self(()));
        }
        None
    }

    /// Whether a last hidden layer is worth it.
    pub fn suits(fan_in: usize, units: usize) -> bool {
        let worth_it = fan_in >= LEAST_WIDTH && units >= LEAST_WIDTH;
        worth_it && fan_in <= LARGEST_FAN_IN && fan_in * units <= LARGEST_LAYER
    }

    /// The logits of activations `h >= 0` (`fan_in x columns`, the columns a multiple of 16), and for each a bound
    /// on its distance from that of exact activations; `bound` is the bound in single precision.
    ///
    /// Column `h`, whose largest entry is `m`, becomes `q = round(s h)` with `s = Q / m`, and the weights, the largest in
    /// size being `w`, become `p = round(t W)` with `t = Q / w`, and [`Q`](largest_number) so that sums of products are exact
    /// in 32 bits. As `|h - q / s| <= 1 / (2 s)` and `|W - p / t| <= 1 / (2 t)`,
    /// unit `v` is off by at most `||W_v||_1 / (2 s) + sum(q) / (2 s t)`, and the logit, for read-out `r`, by
    ///
    /// ```text
    /// (sum_v |r_v| ||W_v||_1 + ||r||_1 sum(q) / t) / (2 s)
    /// ```
    ///
    /// Six roundings take a sum to a unit's activation, fewer than the `fan_in + 2`
    /// that `bound` counts for them; a twentieth more covers the roundings of these sums, and `bound` being
    /// relative to numbers that are off themselves.
    pub fn logits(self, layers: LastLayers, hidden: &[f32], columns: usize, bound: f32, scratch: &mut Scratch) {
        let (fan_in, units) = (layers.fan_in, layers.bias.len());
        assert_eq!(hidden.len(), fan_in * columns, "activations of another layer");
        assert_eq!(layers.weights.len(), fan_in * units, "weights of another layer");
        assert_eq!(layers.readout.len(), units, "a read-out of another layer");
        scratch.logits.resize(columns, 0.0);
        scratch.bounds.resize(columns, 0.0);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `detect` found the instructions.
        unsafe {
            avx512::logits(layers, hidden, &mut scratch.numbers, &mut scratch.logits, &mut scratch.bounds);
        }
        let finite = bound < LARGEST_BOUND;
        for distance in &mut scratch.bounds {
            *distance = if finite { bound + 1.05 * *distance } else { f32::INFINITY };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::Streams;
    use rand_distr::{Distribution, StandardNormal};

    struct Case {
        fan_in: usize,
        weights: Vec<f32>,
        bias: Vec<f32>,
        readout: Vec<f32>,
        hidden: Vec<f32>,
        columns: usize,
    }

    /// Every error over its bound; `None` where the machine has no fixed point.
    fn errors(case: &Case) -> Option<Vec<f64>> {
        let fixed_point = FixedPoint::detect()?;
        let norm = |values: &[f32]| values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        let column =
            |column: usize| -> Vec<f32> { case.hidden[column..].iter().step_by(case.columns).copied().collect() };
        let longest = (0..case.columns).map(|index| norm(&column(index))).fold(0.0, f64::max);
        let units = norm(&case.weights) * longest + norm(&case.bias);
        let roundings = (case.fan_in + case.bias.len() + 8) as f64 * f64::from(f32::EPSILON);
        let bound = (roundings * (norm(&case.readout) * units + 0.25)) as f32;
        let layers = LastLayers {
            fan_in: case.fan_in,
            weights: &case.weights,
            bias: &case.bias,
            readout: &case.readout,
            shift: 0.25,
        };
        let mut scratch = Scratch::default();
        fixed_point.logits(layers, &case.hidden, case.columns, bound, &mut scratch);
        let errors = (0..case.columns).map(|column| {
            let column_of = |k: usize| f64::from(case.hidden[k * case.columns + column]);
            let rows = case.weights.chunks(case.fan_in).zip(&case.bias).zip(&case.readout);
            let logit = rows.fold(0.25, |logit, ((row, bias), readout)| {
                let sum: f64 = row.iter().enumerate().map(|(k, weight)| f64::from(*weight) * column_of(k)).sum();
                logit + f64::from(*readout) * (sum + f64::from(*bias)).max(0.0)
            });
            (f64::from(scratch.logits[column]) - logit).abs() / f64::from(scratch.bounds[column])
        });
        Some(errors.collect())
    }

    fn random(fan_in: usize, units: usize, columns: usize, scale: f32, stream: u64) -> Case {
        let mut generator = Streams::new(4).stream("fixed point", stream);
        let mut draw = |count: usize, scale: f32| -> Vec<f32> {
            (0..count)
                .map(|_| scale * <StandardNormal as Distribution<f32>>::sample(&StandardNormal, &mut generator))
                .collect()
        };
        let hidden = draw(fan_in * columns, 1.0).into_iter().map(|value| value.max(0.0)).collect();
        let weights = draw(fan_in * units, scale / (fan_in as f32).sqrt());
        let (bias, readout) = (draw(units, 0.3 * scale), draw(units, 1.0));
        Case { fan_in, weights, bias, readout, hidden, columns }
    }

    /// n = 36 layers and seed 4. Errors of independent roundings come near a twentieth of the bound.
    #[test]
    fn logits_lie_within_their_bounds() {
        let mut largest: f64 = 0.0;
        for (stream, (fan_in, units)) in
            [(16, 16), (17, 16), (40, 40), (41, 33), (64, 70), (300, 19)].into_iter().enumerate()
        {
            for (place, columns) in [16, 32, 48, 64, 112, 128].into_iter().enumerate() {
                let scale = [1.0, 1e-6, 1e6][place % 3];
                let Some(errors) = errors(&random(fan_in, units, columns, scale, (6 * stream + place) as u64)) else {
                    return println!("skipped: no integer dot products on this machine");
                };
                for (column, error) in errors.into_iter().enumerate() {
                    assert!(error <= 1.0, "{fan_in} to {units}, {columns} columns, column {column}: {error} bounds");
                    largest = largest.max(error);
                }
            }
        }
        assert!(largest > 0.02, "{largest}: a bound so wide would see no error");
    }

    /// All roundings in one direction, first of activations, then of weights: nearly all of the bound is needed.
    #[test]
    fn the_bound_is_reached() {
        let (fan_in, columns) = (64, 16);
        let ones = |count: usize| vec![1.0; count];
        // Just below what is rounded up to 1, beside a number that is the largest.
        let half = |row: f32| 0.49 / largest_number(fan_in, row);
        let mut hidden = vec![half(fan_in as f32); fan_in * columns];
        hidden[..columns].fill(1.0);
        let mut weights = vec![half(1.0); fan_in * 16];
        weights.iter_mut().step_by(fan_in).for_each(|weight| *weight = 1.0);
        for (weights, hidden) in [(ones(fan_in * 16), hidden), (weights, ones(fan_in * columns))] {
            let case = Case { fan_in, weights, bias: vec![0.0; 16], readout: ones(16), hidden, columns };
            let errors = errors(&case).unwrap_or_default();
            assert!(errors.iter().all(|error| (0.75..1.0).contains(error)), "{errors:?}");
        }
    }

    /// The largest sums that numbers of 16 bits and their roundings can make, for rows of any shape.
    #[test]
    fn numbers_leave_room_for_their_sums() {
        for fan_in in [16, 17, 40, 300, LARGEST_FAN_IN] {
            for step in 0..=64 {
                let row = 1.0 + (fan_in - 1) as f32 * step as f32 / 64.0;
                let largest = largest_number(fan_in, row);
                let (number, row) = (f64::from(largest), f64::from(row));
                let sum = (number * row + fan_in as f64 / 2.0).min(number * fan_in as f64);
                assert!(number * sum < 2.0_f64.powi(31) && largest <= 32767.0, "{fan_in}, {row}");
                assert!(
                    number * number * (row + 3.0) > 0.99 * 2.0_f64.powi(31) || largest == 32767.0,
                    "{fan_in}, {row}"
                );
            }
        }
    }

    /// Sums of products as large as they can be, and numbers that no scale fits.
    #[test]
    fn the_largest_sums_do_not_overflow() {
        for (fan_in, sign) in [(16, 1.0), (40, -1.0), (1 << 12, 1.0)] {
            for hidden in [0.0, 1e-30, 1.0, 1e12] {
                for weight in [1e-30, 1.0, 1e12] {
                    let case = Case {
                        fan_in,
                        weights: vec![sign * weight; fan_in * 16],
                        bias: vec![0.0; 16],
                        readout: vec![1.0; 16],
                        hidden: vec![hidden; fan_in * 16],
                        columns: 16,
                    };
                    let errors = errors(&case).unwrap_or_default();
                    assert!(errors.iter().all(|error| *error <= 1.0), "{fan_in}, {hidden}, {weight}: {errors:?}");
                }
            }
        }
    }
}
