//! A method for Gram matrices from a closure: what an estimator needs to be held to the laws, in one call.

use crate::kernel::{KernelError, KernelMethod, KernelOptions, KernelResult, Kind};
use crate::model::Architecture;
use crate::numeric::Dtype;
use ndarray::ArrayView2;

/// A closure as a method for Gram matrices; see [`kernel_fn`].
#[derive(Debug, Clone, Copy)]
pub struct KernelFn<F> {
    id: &'static str,
    kinds: &'static [Kind],
    gram: F,
    dtype: Dtype,
}

impl<F> KernelFn<F> {
    /// The same, held to the laws as a method that computes in this format.
    pub fn in_dtype(self, dtype: Dtype) -> Self {
        Self { dtype, ..self }
    }
}

/// The closure `gram` as a method called `id` that offers `kinds`. Where its results carry standard errors they are held to
/// the laws as averages over sampled networks, else to the kernel of infinitely wide networks, to rounding.
///
/// ```
/// use flatgauge::gate::Gate;
/// use flatgauge::kernel::{self, Kind, kernel_fn};
///
/// // A method that hands over to the built-in one.
/// let mine = kernel_fn("mine", &[Kind::Nngp], |architecture, inputs, options| {
///     kernel::find("analytic").unwrap().gram(architecture, inputs, options)
/// });
/// Gate::quick().kernel(&mine).assert();
/// ```
pub fn kernel_fn<F>(id: &'static str, kinds: &'static [Kind], gram: F) -> KernelFn<F>
where
    F: Fn(&Architecture, ArrayView2<f64>, &KernelOptions) -> Result<KernelResult, KernelError> + Send + Sync,
{
    KernelFn { id, kinds, gram, dtype: Dtype::Float64 }
}

impl<F> KernelMethod for KernelFn<F>
where
    F: Fn(&Architecture, ArrayView2<f64>, &KernelOptions) -> Result<KernelResult, KernelError> + Send + Sync,
{
    fn id(&self) -> &'static str {
        self.id
    }

    fn summary(&self) -> &'static str {
        "a method given as a closure"
    }

    fn source(&self) -> &'static str {
        "the crate that calls the gate"
    }

    fn kinds(&self) -> &'static [Kind] {
        self.kinds
    }

    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn gram(
        &self,
        architecture: &Architecture,
        inputs: ArrayView2<f64>,
        options: &KernelOptions,
    ) -> Result<KernelResult, KernelError> {
        (self.gram)(architecture, inputs, options)
    }
}
