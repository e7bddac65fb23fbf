//! Relative flatness of one layer (Petzka et al. 2021).

use crate::description::{Description, references};
use crate::flatness::noise::mean_and_error;
use crate::flatness::place::Place;
use crate::flatness::{DensePoint, FlatnessError, Measure, Options, Point, Response, Responses};
use crate::model::{Model, Role, Tensor};
use crate::numeric::linalg::{dot, symmetric_eigen, unit_of};
use crate::numeric::{Estimate, Streams};
use crate::rescale::Action;
use ndarray::{Array2, ArrayView2};
use rand::RngExt;

/// Directions multiplied at a time.
const BLOCK: usize = 32;

/// `sum_{s,s'} <w_s, w_s'> tr H_ss'` over the rows `s, s'` (outputs, or output channels) of one weight `W` of shape
/// `S x J`, `H_ss'` the `J x J` block of the Hessian for rows `s` and `s'`.
///
/// With `A A^T = W W^T` it is `sum_{c,j} (a_c x e_j)^T H (a_c x e_j)`: `min(S, J) J` products. Where they are more
/// than [`Options::dense_limit`], the sum over `j` is estimated with random signs.
/// The layer is the last dense one unless [`Options::layer`] names another.
pub(super) struct RelativeFlatness;

const ID: &str = "relative_flatness";

fn weight_of<'m>(model: &'m Model, options: &Options) -> Result<&'m Tensor, FlatnessError> {
    let weights = || model.tensors().iter().filter(|tensor| tensor.role == Role::Weight);
    match options.layer {
        None => weights()
            .rfind(|tensor| tensor.shape.len() == 2)
            .ok_or_else(|| FlatnessError::NotApplicable { measure: ID, reason: "it has no dense layer".to_owned() }),
        Some(layer) => weights().find(|tensor| tensor.layer == layer).ok_or_else(|| FlatnessError::Option {
            measure: ID,
            option: "layer",
            value: layer.to_string(),
            expected: "the number of a dense or convolutional layer, counted from 0 in forward order",
        }),
    }
}

/// `A`, `S x r` with `A A^T = W W^T` and `r = min(S, J)`.
fn factor(weight: ArrayView2<f64>) -> Array2<f64> {
    let (rows, columns) = weight.dim();
    if columns <= rows {
        return weight.to_owned();
    }
    // Products of weights may leave the range of f64 where weights do not.
    let unit = unit_of(weight.iter().fold(0.0, |top: f64, w| top.max(w.abs())));
    let scaled = weight.mapv(|w| w / unit);
    let (values, mut vectors) = symmetric_eigen(scaled.dot(&scaled.t()).view());
    for (mut column, value) in vectors.columns_mut().into_iter().zip(values) {
        column *= value.max(0.0).sqrt() * unit;
    }
    vectors
}

fn flatness(place: &Place, options: &Options) -> Result<Estimate, FlatnessError> {
    let tensor = weight_of(place.model(), options)?;
    let (rows, columns) = (tensor.shape[0], tensor.shape[1..].iter().product::<usize>());
    let weight =
        ArrayView2::from_shape((rows, columns), &place.theta()[tensor.range.clone()]).expect("a tensor's size");
    let factor = factor(weight);
    let rank = factor.ncols();
    let exact = rank * columns <= options.dense_limit;
    let count = if exact { columns } else { (options.product_budget / rank).max(2) };
    let mut generator = Streams::new(options.seed).stream(ID, 0);
    let signs = Array2::from_shape_simple_fn((if exact { 0 } else { count }, columns), || {
        if generator.random::<bool>() { 1.0 } else { -1.0 }
    });
    let hessian = place.hessian();
    // One value for each basis vector or probe of the inputs' space.
    let mut values = vec![0.0; count];
    let pairs: Vec<(usize, usize)> = (0..count).flat_map(|probe| (0..rank).map(move |c| (probe, c))).collect();
    for pairs in pairs.chunks(BLOCK) {
        let mut directions = Array2::zeros((pairs.len(), place.theta().len()));
        for (mut direction, &(probe, c)) in directions.outer_iter_mut().zip(pairs) {
            for s in 0..rows {
                let start = tensor.range.start + s * columns;
                if exact {
                    direction[start + probe] = factor[[s, c]];
                } else {
                    for j in 0..columns {
                        direction[start + j] = factor[[s, c]] * signs[[probe, j]];
                    }
                }
            }
        }
        let images = hessian.products(directions.view());
        for ((direction, image), &(probe, _)) in directions.outer_iter().zip(images.outer_iter()).zip(pairs) {
            values[probe] += dot(direction.as_slice().expect("rows"), image.as_slice().expect("rows"));
        }
    }
    let total: f64 = values.iter().sum();
    if !total.is_finite() {
        return Err(FlatnessError::NotFinite { measure: ID, what: "the sum", value: total });
    }
    let info = place.info().with("layer", tensor.layer).with("tensor", tensor.name.as_str());
    let info = info.with("products", count * rank);
    if exact {
        return Ok(Estimate::deterministic(total, info.with("method", "basis")));
    }
    let (mean, error) = mean_and_error(&values);
    Ok(Estimate::stochastic(mean, error, info.with("method", "hutchinson")))
}

impl Measure for RelativeFlatness {
    fn id(&self) -> &'static str {
        ID
    }

    fn summary(&self) -> &'static str {
        "Hessian traces between the rows of a layer, weighted by the rows' scalar products"
    }

    fn source(&self) -> &'static str {
        "Petzka et al. 2021"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "sum_(s,s') <w_s, w_s'> tr H_ss', w_s row s of the weight of the layer, H_ss' the block of rows s and s'",
            notes: "The last dense layer unless `layer` names another; rows are outputs or output channels.",
            unit: "units of the loss",
            use_for: "one layer, relative to its weights",
            not_for: "networks without a dense layer, unless `layer` is given",
            cost: "min(rows, columns) x columns products where these are at most `dense_limit`, beyond that `product_budget`",
            options: &["layer", "dense_limit", "product_budget", "seed"],
            refuses: "no dense layer; a `layer` that has no weights",
            sources: &[references::PETZKA_2021],
        })
    }

    /// Scaling the units that a layer reads from changes it, scaling its own outputs does not.
    fn responses(&self) -> Responses {
        Responses { layer_scaling: Response::Invariant, ..Responses::OF_CURVATURE }
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        flatness(&Place::at(point), options)
    }

    fn predict(&self, point: &Point, action: &Action, options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        Some(flatness(&Place::transported(point, action), options))
    }

    fn on_dense(&self, dense: &DensePoint, options: &Options) -> Option<f64> {
        let tensor = weight_of(dense.objective.model, options).ok()?;
        let columns: usize = tensor.shape[1..].iter().product();
        let index = |s: usize, j: usize| tensor.range.start + s * columns + j;
        let mut total = 0.0;
        for s in 0..tensor.shape[0] {
            for r in 0..tensor.shape[0] {
                let trace: f64 = (0..columns).map(|j| dense.hessian[[index(s, j), index(r, j)]]).sum();
                total += (0..columns).map(|j| dense.theta[index(s, j)] * trace * dense.theta[index(r, j)]).sum::<f64>();
            }
        }
        Some(total)
    }

    fn summands(&self, dense: &DensePoint, options: &Options) -> f64 {
        let Ok(tensor) = weight_of(dense.objective.model, options) else { return 0.0 };
        let columns: usize = tensor.shape[1..].iter().product();
        let index = |s: usize, j: usize| tensor.range.start + s * columns + j;
        let mut total = 0.0;
        for s in 0..tensor.shape[0] {
            for r in 0..tensor.shape[0] {
                let size: f64 = (0..columns).map(|j| dense.magnitude[[index(s, j), index(r, j)]]).sum();
                let terms =
                    (0..columns).map(|j| dense.theta[index(s, j)].abs() * size * dense.theta[index(r, j)].abs());
                total += terms.sum::<f64>();
            }
        }
        total
    }
}
