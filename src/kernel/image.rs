//! A kernel between two images at one offset of their positions.

use super::Kind;
use super::dual::GROUP;
use super::plane::{Offset, Region};

/// Values on a [`Region`], `lanes` numbers at each position (one a column's image), for one offset.
///
/// One field for the NNGP kernel, the covariance; three for the NTK: deficit, excess (see [`super::dual`]) and
/// the tangent kernel. Fields are padded to whole groups of [`GROUP`].
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    pub region: Region,
    pub lanes: usize,
    pub fields: Vec<Vec<f64>>,
}

/// The field of covariances or deficits.
pub(super) const FIRST: usize = 0;
/// The field of excesses.
pub(super) const EXCESS: usize = 1;
/// The field of the tangent kernel.
pub(super) const TANGENT: usize = 2;

impl Image {
    /// Makes it zeros at `offset` on a plane of `size`, keeping its memory.
    pub fn reset(&mut self, size: [usize; 2], offset: Offset, lanes: usize, fields: usize) {
        self.region = Region::new(size, offset);
        self.lanes = lanes;
        self.fields.resize_with(fields, Vec::new);
        let len = self.len().next_multiple_of(GROUP);
        for field in &mut self.fields {
            field.clear();
            field.resize(len, 0.0);
        }
    }

    /// Makes it a copy of another image, keeping its memory.
    pub fn copy_from(&mut self, other: &Self) {
        (self.region, self.lanes) = (other.region, other.lanes);
        self.fields.resize_with(other.fields.len(), Vec::new);
        for (field, other) in self.fields.iter_mut().zip(&other.fields) {
            field.clone_from(other);
        }
    }

    /// Numbers in a field, padding not counted.
    pub fn len(&self) -> usize {
        self.region.len() * self.lanes
    }

    /// The kernel on a lane of an image of one position.
    pub fn value(&self, kind: Kind, lane: usize) -> f64 {
        match (kind, &self.fields[..]) {
            (Kind::Nngp, [covariance]) => covariance[lane],
            (Kind::Nngp, [deficit, excess, _]) => 0.5 * (excess[lane] - deficit[lane]),
            (Kind::Ntk, [.., tangent]) => tangent[lane],
            (_, _) => panic!("an image has the fields of its kernel"),
        }
    }

    /// Adds another image of the same region.
    pub fn add(&mut self, other: &Self) {
        for (field, other) in self.fields.iter_mut().zip(&other.fields) {
            for (value, other) in field.iter_mut().zip(other) {
                *value += other;
            }
        }
    }
}

/// A table of numbers by position, `lanes` at each, as seen from a region.
///
/// Copies rows `origin..origin + extent` of the plane at `slot` to `out`, in the order of an image's fields.
pub(super) fn gather(
    table: &[f64],
    columns: usize,
    origin: [usize; 2],
    extent: [usize; 2],
    lanes: usize,
    out: &mut Vec<f64>,
) {
    out.clear();
    for y in origin[0]..origin[0] + extent[0] {
        let first = (y * columns + origin[1]) * lanes;
        out.extend_from_slice(&table[first..first + extent[1] * lanes]);
    }
}
