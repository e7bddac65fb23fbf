//! Residual blocks: `shortcut(x) + branch(x)` (He et al. 2015).

use super::{AdjointPass, Layer, Mode, Pass, Saved, SavedAdjoint, Sequence, TensorSpec, Weights};
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};

/// A residual block; the shortcut is the identity where it has no layers.
#[derive(Debug)]
pub(crate) struct Residual {
    branch: Sequence,
    shortcut: Option<Sequence>,
}

fn sum(a: Option<Array2<f64>>, b: Option<Array2<f64>>) -> Option<Array2<f64>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}

impl Residual {
    pub fn new(branch: Sequence, shortcut: Option<Sequence>) -> Self {
        Self { branch, shortcut }
    }

    /// Branch and shortcut weights out of the block's.
    fn split<'a>(&self, weights: Weights<'a>) -> (Weights<'a>, Weights<'a>) {
        let (branch, shortcut) = weights.theta.split_at(self.branch.parameter_count());
        let (branch_buffers, shortcut_buffers) = weights.buffers.split_at(self.branch.buffer_count());
        (Weights { theta: branch, buffers: branch_buffers }, Weights { theta: shortcut, buffers: shortcut_buffers })
    }

    /// Collects something of the branch and of the shortcut, whose layers count on from the branch's.
    fn collect(&self, of: impl Fn(&Sequence) -> Vec<TensorSpec>) -> Vec<TensorSpec> {
        let mut all = of(&self.branch);
        let first = self.branch.parametrised_layer_count();
        all.extend(
            self.shortcut.iter().flat_map(of).map(|tensor| TensorSpec { layer: tensor.layer + first, ..tensor }),
        );
        all
    }

    /// Runs one of the passes that carry squared gradients, given how a chain does it and where its part of the
    /// result begins.
    fn squared(
        &self,
        pass: Pass,
        gradient: ArrayView2<f64>,
        squares: &mut [f64],
        shortcut_start: usize,
        want_input: bool,
        run: impl Fn(&Sequence, Weights, &super::Tape, &mut [f64]) -> Option<Array2<f64>>,
    ) -> Option<Array2<f64>> {
        let Saved::Residual(tapes) = pass.saved else { panic!("a residual block reads what it kept") };
        let (branch_weights, shortcut_weights) = self.split(pass.weights);
        let (branch_squares, shortcut_squares) = squares.split_at_mut(shortcut_start);
        let branch = run(&self.branch, branch_weights, &tapes.0, branch_squares);
        let shortcut = match (&self.shortcut, &tapes.1) {
            (Some(shortcut), Some(tape)) => run(shortcut, shortcut_weights, tape, shortcut_squares),
            _ => want_input.then(|| gradient.to_owned()),
        };
        sum(branch, shortcut)
    }
}

impl Layer for Residual {
    fn output_shape(&self) -> Vec<usize> {
        self.branch.output_shape().to_vec()
    }

    fn tensors(&self) -> Vec<TensorSpec> {
        self.collect(Sequence::tensors)
    }

    fn buffers(&self) -> Vec<TensorSpec> {
        self.collect(Sequence::buffers)
    }

    fn parametrised_layers(&self) -> usize {
        self.branch.parametrised_layer_count() + self.shortcut.as_ref().map_or(0, Sequence::parametrised_layer_count)
    }

    fn is_piecewise_linear(&self) -> bool {
        self.branch.is_piecewise_linear() && self.shortcut.as_ref().is_none_or(Sequence::is_piecewise_linear)
    }

    fn footprint(&self) -> usize {
        self.branch.footprint() + self.shortcut.as_ref().map_or(0, Sequence::footprint) + self.branch.output_count()
    }

    fn statistics(&self, saved: &Saved) -> Vec<f64> {
        let Saved::Residual(tapes) = saved else { panic!("a residual block reads what it kept") };
        let mut all = self.branch.statistics(&tapes.0);
        if let (Some(shortcut), Some(tape)) = (&self.shortcut, &tapes.1) {
            all.extend(shortcut.statistics(tape));
        }
        all
    }

    fn forward(&self, weights: Weights, input: ArrayView2<f64>, mode: Mode) -> (Array2<f64>, Saved) {
        let (branch_weights, shortcut_weights) = self.split(weights);
        let branch = self.branch.forward(branch_weights, input, mode);
        let shortcut = self.shortcut.as_ref().map(|shortcut| shortcut.forward(shortcut_weights, input, mode));
        let output = &branch.output() + &shortcut.as_ref().map_or(input, |tape| tape.output());
        (output, Saved::Residual(Box::new((branch, shortcut))))
    }

    fn infer(&self, weights: Weights, input: ArrayView2<f64>, mode: Mode) -> Array2<f64> {
        let (branch_weights, shortcut_weights) = self.split(weights);
        let branch = self.branch.infer(branch_weights, input, mode);
        match &self.shortcut {
            Some(shortcut) => branch + shortcut.infer(shortcut_weights, input, mode),
            None => branch + input,
        }
    }

    fn backward(
        &self,
        pass: Pass,
        gradient: ArrayView2<f64>,
        theta_gradient: &mut [f64],
        want_input: bool,
    ) -> (Option<Array2<f64>>, SavedAdjoint) {
        let Saved::Residual(tapes) = pass.saved else { panic!("a residual block reads what it kept") };
        let (branch_weights, shortcut_weights) = self.split(pass.weights);
        let (branch_gradient, shortcut_gradient) = theta_gradient.split_at_mut(self.branch.parameter_count());
        let (through_branch, branch) = self.branch.backward(
            branch_weights,
            pass.input,
            &tapes.0,
            gradient.to_owned(),
            branch_gradient,
            want_input,
        );
        let (through_shortcut, shortcut) = match (&self.shortcut, &tapes.1) {
            (Some(chain), Some(tape)) => {
                let (through, adjoints) = chain.backward(
                    shortcut_weights,
                    pass.input,
                    tape,
                    gradient.to_owned(),
                    shortcut_gradient,
                    want_input,
                );
                (through, Some(adjoints))
            }
            _ => (want_input.then(|| gradient.to_owned()), None),
        };
        (sum(through_branch, through_shortcut), SavedAdjoint::Residual(Box::new((branch, shortcut))))
    }

    fn tangent(&self, pass: Pass, input_dot: Option<ArrayView2<f64>>, directions: ArrayView2<f64>) -> Array2<f64> {
        let Saved::Residual(tapes) = pass.saved else { panic!("a residual block reads what it kept") };
        let (branch_weights, shortcut_weights) = self.split(pass.weights);
        let (branch_directions, shortcut_directions) = directions.split_at(Axis(1), self.branch.parameter_count());
        let last = |dots: Vec<Array2<f64>>| dots.into_iter().next_back().expect("a chain has at least one layer");
        let mut out = last(self.branch.tangent(branch_weights, pass.input, &tapes.0, input_dot, branch_directions));
        match (&self.shortcut, &tapes.1) {
            (Some(chain), Some(tape)) => {
                out += &last(chain.tangent(shortcut_weights, pass.input, tape, input_dot, shortcut_directions));
            }
            _ => {
                if let Some(input_dot) = input_dot {
                    out += &input_dot;
                }
            }
        }
        out
    }

    fn backward_tangent(
        &self,
        pass: Pass,
        adjoint: AdjointPass,
        theta_gradient_dot: ArrayViewMut2<f64>,
    ) -> Option<Array2<f64>> {
        let Saved::Residual(tapes) = pass.saved else { panic!("a residual block reads what it kept") };
        let SavedAdjoint::Residual(adjoints) = adjoint.saved else { panic!("a residual block reads what it kept") };
        let (branch_weights, shortcut_weights) = self.split(pass.weights);
        let parameters = self.branch.parameter_count();
        let (branch_directions, shortcut_directions) = adjoint.directions.split_at(Axis(1), parameters);
        // The inner tangents are computed again here; keeping them would cost memory for all blocks at once.
        let run = |chain: &Sequence, weights, tape, adjoints, directions, out| {
            let dots = chain.tangent(weights, pass.input, tape, adjoint.input_dot, directions);
            let gradient_dot = adjoint.gradient_dot.to_owned();
            chain.backward_tangent(
                weights,
                pass.input,
                tape,
                adjoints,
                adjoint.input_dot,
                &dots,
                directions,
                gradient_dot,
                out,
                adjoint.want_input,
            )
        };
        let (branch_out, shortcut_out) = theta_gradient_dot.split_at(Axis(1), parameters);
        let branch = run(&self.branch, branch_weights, &tapes.0, &adjoints.0, branch_directions, branch_out);
        let shortcut = match (&self.shortcut, &tapes.1, &adjoints.1) {
            (Some(chain), Some(tape), Some(adjoints)) => {
                run(chain, shortcut_weights, tape, adjoints, shortcut_directions, shortcut_out)
            }
            _ => adjoint.want_input.then(|| adjoint.gradient_dot.to_owned()),
        };
        sum(branch, shortcut)
    }

    fn squared_gradient(
        &self,
        pass: Pass,
        gradient: ArrayView2<f64>,
        squares: &mut [f64],
        want_input: bool,
    ) -> Option<Array2<f64>> {
        self.squared(
            pass,
            gradient,
            squares,
            self.branch.parameter_count(),
            want_input,
            |chain, weights, tape, squares| {
                chain.squared_gradient(weights, pass.input, tape, gradient.to_owned(), squares, want_input)
            },
        )
    }

    fn squared_gradient_norms(
        &self,
        pass: Pass,
        gradient: ArrayView2<f64>,
        squares: &mut [f64],
        want_input: bool,
    ) -> Option<Array2<f64>> {
        let tensors = self.branch.tensors().len();
        self.squared(pass, gradient, squares, tensors, want_input, |chain, weights, tape, squares| {
            chain.squared_gradient_norms(weights, pass.input, tape, gradient.to_owned(), squares, want_input)
        })
    }
}
