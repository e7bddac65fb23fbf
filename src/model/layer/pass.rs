//! The [`Layer`] trait, and what its passes take and keep.

use ndarray::{Array2, ArrayView2, ArrayViewMut2};

/// Whether batch normalisation uses the batch's own statistics or the stored ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The batch's statistics.
    Train,
    /// The stored statistics.
    Eval,
}

/// What a tensor does in its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Weights of an affine map, `N(0, weight_std^2 / fan_in)` under the prior.
    Weight,
    /// Biases of an affine map, `N(0, bias_std^2)` under the prior.
    Bias,
    /// Scale of a batch norm; 1 at initialisation.
    Scale,
    /// Shift of a batch norm; 0 at initialisation.
    Shift,
}

/// A parameter tensor or buffer of one layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TensorSpec {
    /// Its name within the layer: `weight`, `bias`, `running_mean`, ...
    pub name: &'static str,
    /// Its shape, as in PyTorch.
    pub shape: Vec<usize>,
    /// What it does.
    pub role: Role,
    /// Inputs that one output sums over.
    pub fan_in: usize,
    /// Which parametrised layer it belongs to, counted from the first one of its owner.
    pub layer: usize,
}

impl TensorSpec {
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// One layer's parameters and buffers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weights<'a> {
    /// Trainable parameters, flattened in tensor order.
    pub theta: &'a [f64],
    /// Stored statistics, flattened in tensor order.
    pub buffers: &'a [f64],
}

/// What a layer keeps of its forward pass besides input and output.
#[derive(Debug, Clone)]
pub(crate) enum Saved {
    /// Nothing.
    None,
    /// Per output of each sample, which input it is.
    Chosen(Vec<usize>),
    /// What normalised a batch.
    Moments(Moments),
    /// The passes of a branch and of a shortcut that has layers.
    Residual(Box<(Tape, Option<Tape>)>),
}

/// The statistics that normalised a batch, one a channel.
#[derive(Debug, Clone)]
pub(crate) struct Moments {
    /// Where they come from.
    pub mode: Mode,
    /// Entries of a channel in the batch.
    pub count: usize,
    /// Means.
    pub mean: Vec<f64>,
    /// Variances (of a batch: with divisor `count`).
    pub variance: Vec<f64>,
    /// `1 / sqrt(variance + epsilon)`.
    pub inverse_std: Vec<f64>,
}

/// What a layer keeps of its backward pass.
#[derive(Debug, Clone)]
pub(crate) enum SavedAdjoint {
    /// Nothing.
    None,
    /// Those of a branch and of a shortcut that has layers.
    Residual(Box<(Adjoints, Option<Adjoints>)>),
}

/// One layer's forward pass as later passes see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass<'a> {
    /// Parameters it ran with.
    pub weights: Weights<'a>,
    /// Its input, `n x inputs`.
    pub input: ArrayView2<'a, f64>,
    /// Its output, `n x outputs`.
    pub output: ArrayView2<'a, f64>,
    /// What else it kept.
    #[allow(dead_code)] // for layers that keep more than input and output
    pub saved: &'a Saved,
}

/// A layer with fixed input shape.
pub(crate) trait Layer: Send + Sync + std::fmt::Debug {
    /// Shape of one output.
    fn output_shape(&self) -> Vec<usize>;

    /// Parameter tensors in the order they are flattened.
    fn tensors(&self) -> Vec<TensorSpec> {
        Vec::new()
    }

    /// Stored statistics in the order they are flattened.
    fn buffers(&self) -> Vec<TensorSpec> {
        Vec::new()
    }

    /// Number of parametrised layers in it: 0, 1, or the total of nested ones.
    fn parametrised_layers(&self) -> usize {
        usize::from(!self.tensors().is_empty())
    }

    /// Whether the output is piecewise linear in the input and in each parametrised layer's own
    /// parameters. Then within-layer blocks of the Hessian equal those of the Gauss-Newton matrix.
    fn is_piecewise_linear(&self) -> bool {
        true
    }

    /// Numbers kept for each sample between passes.
    fn footprint(&self) -> usize {
        self.output_shape().iter().product()
    }

    /// Means and variances of the batch of a forward pass in train mode, in the order of the buffers.
    fn statistics(&self, _saved: &Saved) -> Vec<f64> {
        Vec::new()
    }

    /// The output of a batch, where no other pass will follow.
    fn infer(&self, weights: Weights, input: ArrayView2<f64>, mode: Mode) -> Array2<f64> {
        self.forward(weights, input, mode).0
    }

    /// The output of a batch.
    fn forward(&self, weights: Weights, input: ArrayView2<f64>, mode: Mode) -> (Array2<f64>, Saved);

    /// Adds the gradient with respect to the parameters to `theta_gradient`; returns the gradient with
    /// respect to the input if it is wanted.
    fn backward(
        &self,
        pass: Pass,
        gradient: ArrayView2<f64>,
        theta_gradient: &mut [f64],
        want_input: bool,
    ) -> (Option<Array2<f64>>, SavedAdjoint);

    /// Directional derivatives of the output along `k` directions: of the input (`None` is zero)
    /// and of the parameters (rows of `directions`).
    fn tangent(&self, pass: Pass, input_dot: Option<ArrayView2<f64>>, directions: ArrayView2<f64>) -> Array2<f64>;

    /// Directional derivatives of [`Layer::backward`]: adds those of the parameter gradient to the rows of
    /// `theta_gradient_dot`; returns those of the input gradient if wanted.
    fn backward_tangent(
        &self,
        pass: Pass,
        adjoint: AdjointPass,
        theta_gradient_dot: ArrayViewMut2<f64>,
    ) -> Option<Array2<f64>>;

    /// Adds, per parameter, the sum over samples of the squared per-sample gradient
    /// `(d sum_o g_o output_o / d theta)^2`; returns the gradients with respect to the input if wanted.
    fn squared_gradient(
        &self,
        pass: Pass,
        gradient: ArrayView2<f64>,
        squares: &mut [f64],
        want_input: bool,
    ) -> Option<Array2<f64>>;

    /// As [`Layer::squared_gradient`], summed over each tensor: `squares` has one entry a tensor.
    fn squared_gradient_norms(
        &self,
        pass: Pass,
        gradient: ArrayView2<f64>,
        squares: &mut [f64],
        want_input: bool,
    ) -> Option<Array2<f64>>;
}

/// What [`Layer::backward_tangent`] needs to know of the backward pass and of the tangents.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdjointPass<'a> {
    /// Gradient at the output, `n x outputs`.
    pub gradient: ArrayView2<'a, f64>,
    /// Its directional derivatives, `k n x outputs`.
    pub gradient_dot: ArrayView2<'a, f64>,
    /// Directional derivatives of the input, `k n x inputs`; `None` is zero.
    pub input_dot: Option<ArrayView2<'a, f64>>,
    /// Directions of the parameters, `k x parameters`.
    pub directions: ArrayView2<'a, f64>,
    /// What the backward pass kept.
    pub saved: &'a SavedAdjoint,
    /// Whether the input's gradient is wanted.
    pub want_input: bool,
}

/// What a chain keeps of its forward pass.
#[derive(Debug, Clone)]
pub(crate) struct Tape {
    pub(super) outputs: Vec<Array2<f64>>,
    pub(super) saved: Vec<Saved>,
}

impl Tape {
    /// The chain's output.
    pub fn output(&self) -> ArrayView2<'_, f64> {
        self.outputs.last().expect("a chain has at least one layer").view()
    }
}

/// What a chain keeps of its backward pass: the gradient at each layer's output, last first removed.
#[derive(Debug, Clone)]
pub(crate) struct Adjoints {
    pub(super) gradients: Vec<Array2<f64>>,
    pub(super) saved: Vec<SavedAdjoint>,
}
