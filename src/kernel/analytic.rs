//! Kernels of infinitely wide networks in closed form.

use super::memory;
use super::pair::{Pair, Source, Tables};
use super::plan::Plan;
use super::source::{Images, Vectors, interleave, repeat};
use super::{KernelError, KernelMethod, KernelOptions, KernelResult, Kind, Progress};
use crate::model::{Architecture, Mode, Model, Weights, chain};
use crate::numeric::Info;
use crate::numeric::linalg::{mirror_lower, par_gram_lower};
use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, Axis, CowArray, Ix2};
use rayon::iter::ParallelBridge;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Numbers of a field that stay in a fast cache: as many columns go together as fit.
const FIELD_NUMBERS: usize = 4096;
/// Most columns that go together.
const MOST_LANES: usize = 256;
/// Variances a product of two of which neither overflows nor underflows.
const VARIANCES: std::ops::RangeInclusive<f64> = 1e-150..=1e150;

/// The method `analytic`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Analytic;

impl KernelMethod for Analytic {
    fn id(&self) -> &'static str {
        "analytic"
    }

    fn summary(&self) -> &'static str {
        "closed-form kernel of the infinitely wide network"
    }

    fn source(&self) -> &'static str {
        "Cho and Saul 2009; Williams 1997; Lee et al. 2018; Jacot et al. 2018; Novak et al. 2019; Arora et al. 2019"
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::Nngp, Kind::Ntk]
    }

    fn gram(
        &self,
        architecture: &Architecture,
        inputs: ArrayView2<f64>,
        options: &KernelOptions,
    ) -> Result<KernelResult, KernelError> {
        let model = Model::new(architecture.clone())?;
        super::check_inputs(&model, inputs)?;
        let plan = Plan::new(architecture, options.kind)?;
        if options.kind == Kind::Nngp && plan.amplifies_angles() {
            let by_angles = run(architecture, &Plan::new(architecture, Kind::Ntk)?, inputs, options);
            // Angles need products of variances that covariances do without.
            if !matches!(by_angles, Err(KernelError::Variance { .. })) {
                return by_angles;
            }
        }
        run(architecture, &plan, inputs, options)
    }
}

fn run(
    architecture: &Architecture,
    plan: &Plan,
    inputs: ArrayView2<f64>,
    options: &KernelOptions,
) -> Result<KernelResult, KernelError> {
    let problem = Problem::new(architecture, plan, options.kind, inputs);
    let needed = problem.bytes();
    let limit = options.max_bytes.or_else(memory::available);
    if let Some(limit) = limit.filter(|limit| needed > *limit) {
        return Err(KernelError::TooLarge { needed, limit });
    }
    let matrix = problem.solve(options.progress)?;
    super::check_entries(matrix.view())?;
    let info = Info::new().with("bytes_needed", needed);
    Ok(KernelResult { matrix, std_error: None, left_out: Vec::new(), info })
}

/// A plan and the data it runs on.
struct Problem<'a> {
    plan: &'a Plan,
    /// The kernel that is asked for; the plan may carry more.
    kind: Kind,
    /// The data after the layers before the first parameters, `n x features`.
    features: CowArray<'a, f64, Ix2>,
    /// Columns that go together.
    lanes: usize,
}

/// Columns that go together.
struct Group {
    first: usize,
    lanes: usize,
    table: Vec<f64>,
    images: Vec<f64>,
    norms: Vec<f64>,
}

/// What a thread keeps from row to row.
struct Work<'a> {
    pair: Pair<'a>,
    /// The row's image and its norms, repeated on every lane.
    image: Vec<f64>,
    norms: Vec<f64>,
}

impl<'a> Problem<'a> {
    fn new(architecture: &Architecture, plan: &'a Plan, kind: Kind, inputs: ArrayView2<'a, f64>) -> Self {
        let features: CowArray<f64, Ix2> = if plan.prefix == 0 && inputs.is_standard_layout() {
            inputs.into()
        } else if plan.prefix == 0 {
            inputs.as_standard_layout().into_owned().into()
        } else {
            let prefix =
                chain(&architecture.layers[..plan.prefix], &architecture.input, "").expect("the model was compiled");
            let inputs = inputs.as_standard_layout();
            let none = Weights { theta: &[], buffers: &[] };
            prefix.infer(none, inputs.view(), Mode::Eval).into()
        };
        let [height, width] = plan.plane();
        let lanes = (FIELD_NUMBERS / (height * width)).clamp(1, MOST_LANES);
        Self { plan, kind, features, lanes }
    }

    fn is_vector(&self) -> bool {
        self.plan.plane() == [1, 1]
    }

    /// An upper bound on the memory the computation takes beside its inputs.
    fn bytes(&self) -> u64 {
        let [n, features] = [self.features.nrows(), self.features.ncols()].map(|size| size as u128);
        let (table, lanes) = (self.plan.table as u128, self.lanes as u128);
        let positions = self.plan.plane().iter().product::<usize>() as u128;
        let result = n * n;
        let own = 2 * n * (table + features + positions);
        // Working images: the current one, its successor and a shortcut's at every depth of nesting.
        let working = 16 * self.plan.kind.fields() as u128 * positions.next_multiple_of(8);
        let thread = lanes * (3 * (table + features + positions) + self.plan.stored() as u128 + working);
        // Sizes are bounded, but the bytes of all together may be more than 64 bits count.
        (8 * (result + own + thread * rayon::current_num_threads() as u128)).try_into().unwrap_or(u64::MAX)
    }

    fn solve(&self, progress: Option<Progress>) -> Result<Array2<f64>, KernelError> {
        let n = self.features.nrows();
        let mut gram = if self.is_vector() { par_gram_lower(self.features.view()) } else { Array2::zeros((n, n)) };
        let squares = gram.diag().to_vec();
        let (tables, diagonal): (Vec<Vec<f64>>, Vec<f64>) =
            (0..n).into_par_iter().map(|i| self.with_itself(i, squares[i])).unzip();
        self.check(&tables)?;
        self.check_inputs(&diagonal)?;
        let groups: Vec<Group> = (0..n)
            .into_par_iter()
            .step_by(self.lanes)
            .map(|first| self.group(first, &tables[first..(first + self.lanes).min(n)]))
            .collect();
        let done = AtomicUsize::new(0);
        let pairs = n * (n + 1) / 2;
        // The long rows first, and whoever is free takes the next: the threads finish together, each with memory of its own.
        let rows: Vec<_> = gram.axis_iter_mut(Axis(0)).enumerate().collect();
        rows.into_iter().rev().par_bridge().for_each_init(
            || Work { pair: Pair::new(self.plan, 0, Tables::default(), false), image: Vec::new(), norms: Vec::new() },
            |work, (i, mut row)| {
                let row = row.as_slice_mut().expect("the matrix is row-major");
                self.row(i, row, &squares, &tables, &groups, work);
                row[i] = diagonal[i];
                if let Some(progress) = progress {
                    progress(done.fetch_add(i + 1, Ordering::Relaxed) + i + 1, pairs);
                }
            },
        );
        mirror_lower(&mut gram);
        Ok(gram)
    }

    fn sample(&self, i: usize) -> &[f64] {
        self.samples(i..i + 1)
    }

    /// Samples one after the other.
    fn samples(&self, range: std::ops::Range<usize>) -> &[f64] {
        let columns = self.features.ncols();
        &self.features.as_slice().expect("features are row-major")[range.start * columns..range.end * columns]
    }

    /// Norms over channels at every position, if the kernel asks for them.
    fn norms(&self, i: usize) -> Vec<f64> {
        if self.is_vector() || self.plan.kind == Kind::Nngp {
            return Vec::new();
        }
        let positions = self.plan.plane().iter().product();
        let mut squares = vec![0.0; positions];
        for plane in self.sample(i).chunks_exact(positions) {
            squares.iter_mut().zip(plane).for_each(|(square, x)| *square += x * x);
        }
        squares.iter_mut().for_each(|square| *square = square.sqrt());
        squares
    }

    fn group(&self, first: usize, tables: &[Vec<f64>]) -> Group {
        let lanes = tables.len();
        let samples = first..first + lanes;
        let images = match self.is_vector() {
            true => Vec::new(),
            false => interleave(&samples.clone().map(|j| self.sample(j)).collect::<Vec<_>>()),
        };
        let norms: Vec<Vec<f64>> = samples.map(|j| self.norms(j)).collect();
        Group {
            first,
            lanes,
            table: interleave(&tables.iter().map(Vec::as_slice).collect::<Vec<_>>()),
            images,
            norms: interleave(&norms.iter().map(Vec::as_slice).collect::<Vec<_>>()),
        }
    }

    /// The table of sample `i` and its kernel with itself.
    fn with_itself(&self, i: usize, square: f64) -> (Vec<f64>, f64) {
        let blank = || vec![0.0; self.plan.table];
        let mut pair = Pair::new(self.plan, 1, Tables { row: blank(), columns: blank() }, true);
        let (sample, norms) = (self.sample(i), self.norms(i));
        let source: &dyn Source = if self.is_vector() {
            &Vectors {
                kind: self.plan.kind,
                row: sample,
                columns: sample,
                products: &[square],
                row_square: square,
                column_squares: &[square],
            }
        } else {
            &self.images(1, (sample, sample), (&norms, &norms))
        };
        let value = pair.run(source).value(self.kind, 0);
        (pair.tables.row, value)
    }

    fn images<'b>(&self, lanes: usize, images: (&'b [f64], &'b [f64]), norms: (&'b [f64], &'b [f64])) -> Images<'b> {
        Images {
            kind: self.plan.kind,
            channels: self.plan.channels(),
            plane: self.plan.plane(),
            lanes,
            row: images.0,
            columns: images.1,
            row_norms: norms.0,
            column_norms: norms.1,
        }
    }

    /// Replaces row `i` of the matrix before the diagonal.
    fn row(
        &self,
        i: usize,
        row: &mut [f64],
        squares: &[f64],
        tables: &[Vec<f64>],
        groups: &[Group],
        Work { pair, image, norms }: &mut Work,
    ) {
        let (sample, own_norms) = (self.sample(i), self.norms(i));
        // The row's own part is the same for all groups but the last, which has fewer lanes.
        pair.lanes = 0;
        for group in groups.iter().take_while(|group| group.first < i) {
            let columns = group.first..(group.first + group.lanes).min(i);
            // The group at the diagonal without what stands beyond it.
            let part;
            let group = if columns.len() < group.lanes {
                part = self.group(group.first, &tables[columns.clone()]);
                &part
            } else {
                group
            };
            if pair.lanes != group.lanes {
                pair.lanes = group.lanes;
                repeat(&tables[i], group.lanes, &mut pair.tables.row);
                if !self.is_vector() {
                    repeat(sample, group.lanes, image);
                    repeat(&own_norms, group.lanes, norms);
                }
            }
            pair.tables.columns.clone_from(&group.table);
            let result = if self.is_vector() {
                pair.run(&Vectors {
                    kind: self.plan.kind,
                    row: sample,
                    columns: self.samples(columns.clone()),
                    products: &row[columns.clone()],
                    row_square: squares[i],
                    column_squares: &squares[columns.clone()],
                })
            } else {
                pair.run(&self.images(group.lanes, (image, &group.images), (norms, &group.norms)))
            };
            for (lane, j) in columns.enumerate() {
                row[j] = result.value(self.kind, lane);
            }
        }
    }

    /// Squares of inputs must be numbers too; where they are too small for that, only beside biases that are larger.
    fn check_inputs(&self, diagonal: &[f64]) -> Result<(), KernelError> {
        let [least, most] = [VARIANCES.start(), VARIANCES.end()];
        let rows = self.features.axis_iter(Axis(0)).into_par_iter().zip(diagonal).enumerate();
        let bad = rows.find_map_first(|(row, (values, kernel))| {
            let largest = values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
            if largest == 0.0 {
                return None;
            }
            // Scaled, so that the mean neither overflows nor vanishes before it is looked at.
            let mean = values.iter().map(|value| (value / largest).powi(2)).sum::<f64>() / values.len() as f64;
            let root = largest * mean.sqrt();
            let too_small = root < least.sqrt() && kernel < least;
            (root > most.sqrt() || too_small).then_some(KernelError::Magnitude { row, root })
        });
        bad.map_or(Ok(()), Err)
    }

    /// Variances must leave room for their products.
    fn check(&self, tables: &[Vec<f64>]) -> Result<(), KernelError> {
        for (sample, table) in tables.iter().enumerate() {
            for (place, &entry) in table.iter().enumerate() {
                let variance = if self.plan.kind == Kind::Ntk { entry * entry } else { entry };
                if variance != 0.0 && !VARIANCES.contains(&variance) {
                    let index = self.plan.layer_of(place).to_owned();
                    return Err(KernelError::Variance { index, sample, value: variance });
                }
            }
        }
        Ok(())
    }
}
