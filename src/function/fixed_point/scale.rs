//! Scales of 16-bit numbers, and what the layers are.

/// The largest number of a column or a layer is taken to be at least this, so that no scale overflows.
pub(super) const SMALLEST: f32 = 1.0 / (1_u64 << 40) as f32;

/// The last hidden layer, with ReLU, and the read-out: `logit = readout . max(weights h + bias, 0) + shift`.
#[derive(Debug, Clone, Copy)]
pub(in crate::function) struct LastLayers<'a> {
    pub fan_in: usize,
    /// `units x fan_in`.
    pub weights: &'a [f32],
    pub bias: &'a [f32],
    pub readout: &'a [f32],
    pub shift: f32,
}

/// `Q`: the largest number for which sums of `fan_in` products stay below `2^31`, where `row` bounds `||W_v||_1 / w`.
///
/// With `P = sqrt(2^31 / fan_in)` they do whatever the weights are. A unit has `sum |p| <= Q row + fan_in / 2`, and so
/// they do up to `Q^2 (row + fan_in / (2 P)) < 2^31` too where that is more. The ten-thousandth is for roundings.
pub(super) fn largest_number(fan_in: usize, row: f32) -> f32 {
    const END: f32 = (1_u64 << 31) as f32;
    let any_weights = (i32::MAX as usize / fan_in).isqrt() as f32;
    let these_weights = 0.9999 * (END / (row + fan_in as f32 / (2.0 * any_weights))).sqrt();
    these_weights.floor().max(any_weights).min(f32::from(i16::MAX))
}
