//! The recursion for one row's image and a few columns' images at a time, offset by offset.

use super::Kind;
use super::dual::{Dual, GROUP, erf_tangents, relu_tangents};
use super::image::{EXCESS, FIRST, Image, TANGENT, gather};
use super::plan::{Linear, Op, Plan, Slot, needs, total_stride};
use super::plane::{BoxSum, HERE, Offset, Region, pairing_taps, pooled_offsets};
use crate::model::Window;
use crate::numeric::instructions::vectorised;
use std::collections::BTreeMap;

/// Where the data's own kernel comes from.
pub(super) trait Source {
    /// Fills `image`, which is zero, with the kernel of the data at `offset`.
    fn fill(&self, offset: Offset, image: &mut Image);
}

/// Tables of variances (NNGP) or standard deviations (NTK): of the row's image, repeated on every lane, and of
/// the columns' images. Laid out position by position, `lanes` numbers at each.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub row: Vec<f64>,
    pub columns: Vec<f64>,
}

/// Runs a plan on one row and `lanes` columns.
pub(super) struct Pair<'a> {
    pub plan: &'a Plan,
    pub lanes: usize,
    pub tables: Tables,
    /// Whether row and column are the same image, whose tables are then written: where both positions are
    /// the same, the kernel is the variance itself.
    pub records: bool,
    scratch: Scratch,
}

/// Memory that operations reuse.
#[derive(Debug, Default)]
struct Scratch {
    line: Vec<f64>,
    p: Vec<f64>,
    q: Vec<f64>,
    ratio: Vec<f64>,
    spare: Vec<Image>,
}

impl<'a> Pair<'a> {
    pub fn new(plan: &'a Plan, lanes: usize, tables: Tables, records: bool) -> Self {
        Self { plan, lanes, tables, records, scratch: Scratch::default() }
    }

    /// The kernel of the plan's output: one field value a lane.
    pub fn run(&mut self, source: &dyn Source) -> Image {
        let plan = self.plan;
        let mut result = Image::default();
        let mut fill = |offset, image: &mut Image| source.fill(offset, image);
        self.chain(&plan.ops, plan.plane(), &mut fill, &[HERE], &mut |_, _, image| result.copy_from(image));
        result
    }

    /// Runs a chain: `input` makes the image at an offset, `output` takes the result at each of `offsets`.
    fn chain(
        &mut self,
        ops: &[Op],
        plane: [usize; 2],
        input: &mut dyn FnMut(Offset, &mut Image),
        offsets: &[Offset],
        output: &mut dyn FnMut(&mut Self, Offset, &mut Image),
    ) {
        let local = ops.iter().position(|op| !op.is_local()).unwrap_or(ops.len());
        let (run, rest) = ops.split_at(local);
        let fields = self.plan.kind.fields();
        let Some((op, rest)) = rest.split_first() else {
            let stride = total_stride(run).map(|stride| stride as isize);
            let mut image = self.scratch.spare.pop().unwrap_or_default();
            for &offset in offsets {
                let from = [offset[0] * stride[0], offset[1] * stride[1]];
                image.reset(plane, from, self.lanes, fields);
                // Padding lets windows reach offsets no two positions of the plane have: nothing to fill there.
                if image.len() > 0 {
                    input(from, &mut image);
                }
                let mut at = from;
                for op in run {
                    at = self.local(op, at, &mut image);
                }
                output(self, offset, &mut image);
            }
            self.scratch.spare.push(image);
            return;
        };
        // What the operation must deliver, and what it needs for that.
        let wanted = needs(rest, offsets);
        let delivered = match op {
            Op::Pool { window, output: slot } => {
                let mut sums: BTreeMap<Offset, Image> = self.blank(&wanted, window.output);
                let needed = op.needs(&wanted);
                self.chain(run, plane, input, &needed, &mut |this, offset, image| {
                    this.scatter(window, offset, image, &mut sums);
                });
                let share = 1.0 / (window.size[0] * window.size[1]) as f64;
                for &offset in &wanted {
                    let image = sums.get_mut(&offset).expect("every wanted offset has an image");
                    self.finish_pool(*slot, window.output, share * share, offset, image);
                }
                sums
            }
            Op::Residual { branch, shortcut, slots, plane: after } => {
                let mut stored = BTreeMap::new();
                let mut inner = plane;
                self.chain(run, plane, input, &op.needs(&wanted), &mut |_, offset, image| {
                    stored.insert(offset, image.clone());
                });
                for op in run {
                    inner = op.output_plane(inner);
                }
                let mut copy = |offset: Offset, image: &mut Image| image.copy_from(&stored[&offset]);
                let [mut through, mut around] = [BTreeMap::new(), BTreeMap::new()];
                self.chain(branch, inner, &mut copy, &wanted, &mut |_, offset, image| {
                    through.insert(offset, image.clone());
                });
                self.chain(shortcut, inner, &mut copy, &wanted, &mut |_, offset, image| {
                    around.insert(offset, image.clone());
                });
                for &offset in &wanted {
                    let image = through.get_mut(&offset).expect("every wanted offset has an image");
                    self.add_images(slots, *after, offset, image, &around[&offset]);
                }
                through
            }
            Op::Linear(_) | Op::Activation { .. } => unreachable!("local operations were taken above"),
        };
        let plane = op.output_plane(run.iter().fold(plane, |plane, op| op.output_plane(plane)));
        let mut copy = |offset: Offset, image: &mut Image| image.copy_from(&delivered[&offset]);
        self.chain(rest, plane, &mut copy, offsets, output);
    }

    fn blank(&self, offsets: &[Offset], plane: [usize; 2]) -> BTreeMap<Offset, Image> {
        let blank = |&offset| {
            let mut image = Image::default();
            image.reset(plane, offset, self.lanes, self.plan.kind.fields());
            (offset, image)
        };
        offsets.iter().map(blank).collect()
    }

    /// Applies a local operation in place; returns the offset of its output.
    fn local(&mut self, op: &Op, offset: Offset, image: &mut Image) -> Offset {
        match op {
            Op::Linear(linear) => self.linear(linear, offset, image),
            Op::Activation { dual, input } => {
                self.activation(*dual, *input, op_plane(image, offset), offset, image);
                offset
            }
            Op::Residual { branch, shortcut, slots, plane } => {
                let mut around = self.scratch.spare.pop().unwrap_or_default();
                around.copy_from(image);
                let (mut at, mut at_shortcut) = (offset, offset);
                for op in branch {
                    at = self.local(op, at, image);
                }
                for op in shortcut {
                    at_shortcut = self.local(op, at_shortcut, &mut around);
                }
                assert_eq!(at, at_shortcut, "branch and shortcut have the same stride");
                self.add_images(slots, *plane, at, image, &around);
                self.scratch.spare.push(around);
                at
            }
            Op::Pool { .. } => unreachable!("a pool is not local"),
        }
    }

    /// Whether the image at `offset` holds variances.
    fn is_variance(&self, offset: Offset) -> bool {
        self.records && offset == HERE
    }

    /// Writes what an image of variances says into the plane of `size` at `slot`, the image's first entry at `at`;
    /// entries beyond the plane (which no window reaches) are left out.
    fn record(&mut self, slot: Slot, size: [usize; 2], at: [usize; 2], image: &Image) {
        let [rows, columns] = [0, 1].map(|axis| image.region.extent[axis].min(size[axis].saturating_sub(at[axis])));
        for y in 0..rows {
            for x in 0..columns {
                let index = y * image.region.extent[1] + x;
                let value = match self.plan.kind {
                    Kind::Nngp => image.fields[FIRST][index],
                    // Of a point with itself the deficit is 0, so the excess is twice the variance.
                    Kind::Ntk => (0.5 * image.fields[EXCESS][index]).sqrt(),
                };
                let place = slot + (at[0] + y) * size[1] + at[1] + x;
                self.tables.row[place] = value;
                self.tables.columns[place] = value;
            }
        }
    }

    /// Table entries of the row and of the columns at the positions of an image, into scratch.
    fn gather_tables(&mut self, slot: Slot, plane: [usize; 2], offset: Offset, region: Region) {
        let start = slot * self.lanes;
        let there = [0, 1].map(|axis| region.origin[axis].wrapping_add_signed(offset[axis]));
        let Scratch { p, q, .. } = &mut self.scratch;
        gather(&self.tables.row[start..], plane[1], region.origin, region.extent, self.lanes, p);
        gather(&self.tables.columns[start..], plane[1], there, region.extent, self.lanes, q);
        // Padding that no formula trips over.
        for values in [p, q] {
            values.resize(values.len().next_multiple_of(GROUP), 1.0);
        }
    }

    fn activation(&mut self, dual: Dual, slot: Slot, plane: [usize; 2], offset: Offset, image: &mut Image) {
        if self.is_variance(offset) && (self.plan.kind == Kind::Nngp || dual == Dual::Erf) {
            self.record(slot, plane, [0, 0], image);
        }
        match (self.plan.kind, dual) {
            (Kind::Nngp, dual) => {
                self.gather_tables(slot, plane, offset, image.region);
                dual.covariances(&mut image.fields[FIRST], &self.scratch.p, &self.scratch.q);
            }
            (Kind::Ntk, Dual::Relu) => {
                let [deficit, excess, tangent] = three(image);
                relu_tangents(deficit, excess, tangent);
            }
            (Kind::Ntk, Dual::Erf) => {
                self.gather_tables(slot, plane, offset, image.region);
                erf_tangents(three(image), &self.scratch.p, &self.scratch.q);
            }
        }
    }

    fn linear(&mut self, linear: &Linear, offset: Offset, image: &mut Image) -> Offset {
        let window = &linear.window;
        let ntk = self.plan.kind == Kind::Ntk;
        if ntk && self.is_variance(offset) {
            self.record(linear.input, linear.padded(), window.before, image);
        }
        let after = [0, 1].map(|axis| offset[axis] / window.stride[axis] as isize);
        if !linear.is_pointwise() {
            let mut sums = self.scratch.spare.pop().unwrap_or_default();
            sums.reset(window.output, after, self.lanes, image.fields.len());
            let [input, output] = [image.region, sums.region];
            let taps = window.size.map(|size| 0..size);
            let sum = BoxSum { window, taps, input, output, lanes: self.lanes };
            for (field, sums) in image.fields.iter().zip(&mut sums.fields) {
                sum.run(false, field, sums, &mut self.scratch.line);
            }
            std::mem::swap(image, &mut sums);
            self.scratch.spare.push(sums);
        }
        let (share, bias) = (linear.share(), linear.bias);
        if !ntk {
            image.fields[FIRST].iter_mut().for_each(|c| *c = share * *c + bias);
            return after;
        }
        if self.is_variance(after) {
            image.fields[EXCESS].iter_mut().for_each(|excess| *excess = share * *excess + 2.0 * bias);
            self.record(linear.output, window.output, [0, 0], image);
        } else {
            self.spread(linear, after, image.region);
            let [deficit, excess, _] = three(image);
            for ((deficit, excess), spread) in deficit.iter_mut().zip(excess).zip(&self.scratch.p) {
                *deficit = share * *deficit + spread;
                *excess = share * *excess + spread + 2.0 * bias;
            }
        }
        let [deficit, excess, tangent] = three(image);
        let trainable = f64::from(u8::from(linear.trainable));
        for ((tangent, deficit), excess) in tangent.iter_mut().zip(deficit).zip(excess) {
            *tangent = share * *tangent + trainable * 0.5 * (*excess - *deficit);
        }
        after
    }

    /// `sqrt(p' q') - (share sum over taps of sqrt(p_i q_i) + bias)` into scratch, where
    /// `p' = share sum p_i + bias` and `q'` likewise: what the sum adds to deficit and excess.
    ///
    /// With `rho = sqrt(q' / p')` it is `(share sum (sqrt q_i - rho sqrt p_i)^2 + bias (1 - rho)^2) / (2 rho)`, a sum
    /// of squares that is small without cancellation.
    fn spread(&mut self, linear: &Linear, offset: Offset, region: Region) {
        let window = &linear.window;
        self.gather_tables(linear.output, window.output, offset, region);
        let Scratch { p: spread, q, ratio, .. } = &mut self.scratch;
        ratio.clear();
        ratio.extend(spread.iter().zip(q.iter()).map(|(p, q)| std_ratio(*p, *q)));
        for (spread, ratio) in spread.iter_mut().zip(ratio.iter()) {
            *spread = linear.bias * (1.0 - ratio) * (1.0 - ratio);
        }
        let tables = [&self.tables.row, &self.tables.columns].map(|table| &table[linear.input * self.lanes..]);
        add_all_squares(linear, offset, region, self.lanes, tables, ratio, spread);
        for (spread, ratio) in spread.iter_mut().zip(ratio.iter()) {
            *spread *= half_inverse(*ratio);
        }
    }

    /// Adds one input offset of a pool to all outputs it belongs to.
    fn scatter(&mut self, window: &Window, offset: Offset, image: &Image, sums: &mut BTreeMap<Offset, Image>) {
        for after in pooled_offsets(window, offset) {
            let Some(sum) = sums.get_mut(&after) else { continue };
            let difference = [0, 1].map(|axis| offset[axis] - after[axis] * window.stride[axis] as isize);
            let taps = pairing_taps(window, difference);
            let [input, output] = [image.region, sum.region];
            let sum_over = BoxSum { window, taps, input, output, lanes: self.lanes };
            match self.plan.kind {
                Kind::Nngp => {
                    sum_over.run(true, &image.fields[FIRST], &mut sum.fields[FIRST], &mut self.scratch.line);
                }
                Kind::Ntk => {
                    // Summed as covariances, in the first field, and as the tangent kernel.
                    let covariances = &mut self.scratch.p;
                    covariances.clear();
                    let both = image.fields[FIRST].iter().zip(&image.fields[EXCESS]);
                    covariances.extend(both.map(|(deficit, excess)| 0.5 * (excess - deficit)));
                    sum_over.run(true, covariances, &mut sum.fields[FIRST], &mut self.scratch.line);
                    sum_over.run(true, &image.fields[TANGENT], &mut sum.fields[TANGENT], &mut self.scratch.line);
                }
            }
        }
    }

    fn finish_pool(&mut self, slot: Slot, plane: [usize; 2], share: f64, offset: Offset, image: &mut Image) {
        for field in &mut image.fields {
            field.iter_mut().for_each(|value| *value *= share);
        }
        if self.plan.kind == Kind::Nngp {
            return;
        }
        if self.is_variance(offset) {
            let [first, excess, _] = three(image);
            for (deficit, excess) in first.iter_mut().zip(excess) {
                (*deficit, *excess) = (0.0, 2.0 * *deficit);
            }
            self.record(slot, plane, [0, 0], image);
            return;
        }
        self.gather_tables(slot, plane, offset, image.region);
        let [first, excess, _] = three(image);
        let tops = self.scratch.p.iter().zip(&self.scratch.q).map(|(p, q)| p * q);
        for ((deficit, excess), top) in first.iter_mut().zip(excess).zip(tops) {
            let c = *deficit;
            (*deficit, *excess) = (not_negative(top - c), not_negative(top + c));
        }
    }

    /// `image += other`, for independent processes.
    fn add_images(&mut self, slots: &[Slot; 3], plane: [usize; 2], offset: Offset, image: &mut Image, other: &Image) {
        if self.plan.kind == Kind::Nngp {
            image.add(other);
            return;
        }
        if self.is_variance(offset) {
            self.record(slots[0], plane, [0, 0], image);
            self.record(slots[1], plane, [0, 0], other);
            image.add(other);
            self.record(slots[2], plane, [0, 0], image);
            return;
        }
        image.add(other);
        // As in `spread`, with two taps.
        self.gather_tables(slots[2], plane, offset, image.region);
        let ratio: Vec<f64> = self.scratch.p.iter().zip(&self.scratch.q).map(|(p, q)| std_ratio(*p, *q)).collect();
        for slot in &slots[..2] {
            self.gather_tables(*slot, plane, offset, image.region);
            let [deficit, excess, _] = three(image);
            for (k, ratio) in ratio.iter().enumerate().take(deficit.len()) {
                let difference = self.scratch.q[k] - ratio * self.scratch.p[k];
                let spread = half_inverse(*ratio) * difference * difference;
                deficit[k] += spread;
                excess[k] += spread;
            }
        }
    }
}

/// The plane an image at `offset` lies on.
fn op_plane(image: &Image, offset: Offset) -> [usize; 2] {
    [0, 1].map(|axis| image.region.extent[axis] + offset[axis].unsigned_abs())
}

fn three(image: &mut Image) -> [&mut [f64]; 3] {
    match &mut image.fields[..] {
        [deficit, excess, tangent] => [deficit, excess, tangent],
        _ => panic!("a tangent kernel has three fields"),
    }
}

/// `spread += share sum over taps of (sqrt q_i - ratio sqrt p_i)^2` at every position of a region, with standard
/// deviations from the tables of the row and of the columns.
///
/// Compiled for each width of vector instructions, as the duals are.
fn add_all_squares(
    linear: &Linear,
    offset: Offset,
    region: Region,
    lanes: usize,
    tables: [&[f64]; 2],
    ratio: &[f64],
    spread: &mut [f64],
) {
    vectorised(
        #[inline(always)]
        move || {
            let window = &linear.window;
            let (columns, share) = (linear.padded()[1], linear.share());
            let row_len = region.extent[1] * lanes;
            for y in 0..region.extent[0] {
                let spread = &mut spread[y * row_len..(y + 1) * row_len];
                let ratio = &ratio[y * row_len..(y + 1) * row_len];
                let here = [region.origin[0] + y, region.origin[1]];
                let there = [0, 1].map(|axis| here[axis].wrapping_add_signed(offset[axis]));
                for i in 0..window.size[0] {
                    for j in 0..window.size[1] {
                        let start = |at: [usize; 2]| {
                            ((at[0] * window.stride[0] + i) * columns + at[1] * window.stride[1] + j) * lanes
                        };
                        let (from, to) = (&tables[0][start(here)..], &tables[1][start(there)..]);
                        if window.stride[1] == 1 {
                            add_squares(spread, ratio, from, to, share);
                        } else {
                            let step = window.stride[1] * lanes;
                            let positions = spread.chunks_exact_mut(lanes).zip(ratio.chunks_exact(lanes)).enumerate();
                            for (x, (spread, ratio)) in positions {
                                add_squares(spread, ratio, &from[x * step..], &to[x * step..], share);
                            }
                        }
                    }
                }
            }
        },
    );
}

/// `spread += share (to - ratio from)^2`.
#[inline(always)]
fn add_squares(spread: &mut [f64], ratio: &[f64], from: &[f64], to: &[f64], share: f64) {
    for (((spread, ratio), from), to) in spread.iter_mut().zip(ratio).zip(from).zip(to) {
        let difference = to - ratio * from;
        *spread += share * difference * difference;
    }
}

/// `q / p`; 0 where either is 0, for a point of variance 0 has deficit and excess 0 with all others.
#[inline(always)]
fn std_ratio(p: f64, q: f64) -> f64 {
    if p > 0.0 { q / p } else { 0.0 }
}

/// `1 / (2 ratio)`, or 0 for a ratio of 0.
#[inline(always)]
fn half_inverse(ratio: f64) -> f64 {
    if ratio > 0.0 { 0.5 / ratio } else { 0.0 }
}

/// Rounding can push a difference of equals below 0; NaN stays NaN.
fn not_negative(value: f64) -> f64 {
    if value < 0.0 { 0.0 } else { value }
}
