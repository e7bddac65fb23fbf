//! Poolings: mean and maximum over windows, mean over all positions.

use super::fixed_linear::LinearMap;
use super::{Saved, Window};
use ndarray::ArrayView2;

/// Mean over each window.
#[derive(Debug, Clone)]
pub(crate) struct AveragePool {
    pub window: Window,
}

/// Maximum over each window; of equal entries the first one counts, as in PyTorch.
#[derive(Debug, Clone)]
pub(crate) struct MaxPool {
    pub window: Window,
}

/// Mean over all positions of each channel.
#[derive(Debug, Clone)]
pub(crate) struct GlobalAveragePool {
    pub channels: usize,
    pub positions: usize,
}

/// Calls `each(output, input)` for every output position and every input position in its window.
fn each_entry(window: &Window, mut each: impl FnMut(usize, usize)) {
    for channel in 0..window.channels {
        for y in 0..window.output[0] {
            for x in 0..window.output[1] {
                let output = (channel * window.output[0] + y) * window.output[1] + x;
                for i in (0..window.size[0]).filter(|&i| window.inside(0, i).contains(&y)) {
                    let row = channel * window.input[0] + window.source(0, y, i);
                    for j in (0..window.size[1]).filter(|&j| window.inside(1, j).contains(&x)) {
                        each(output, row * window.input[1] + window.source(1, x, j));
                    }
                }
            }
        }
    }
}

impl AveragePool {
    fn share(&self) -> f64 {
        1.0 / (self.window.size[0] * self.window.size[1]) as f64
    }
}

impl LinearMap for AveragePool {
    fn output_shape(&self) -> Vec<usize> {
        vec![self.window.channels, self.window.output[0], self.window.output[1]]
    }

    fn inputs(&self) -> usize {
        self.window.channels * self.window.input_positions()
    }

    fn apply(&self, _saved: &Saved, _sample: usize, input: &[f64], output: &mut [f64]) {
        each_entry(&self.window, |to, from| output[to] += input[from]);
        output.iter_mut().for_each(|value| *value *= self.share());
    }

    fn add_transposed(&self, _saved: &Saved, _sample: usize, output: &[f64], input: &mut [f64]) {
        each_entry(&self.window, |from, to| input[to] += self.share() * output[from]);
    }
}

impl LinearMap for MaxPool {
    fn output_shape(&self) -> Vec<usize> {
        vec![self.window.channels, self.window.output[0], self.window.output[1]]
    }

    fn inputs(&self) -> usize {
        self.window.channels * self.window.input_positions()
    }

    fn fix(&self, input: ArrayView2<f64>) -> Saved {
        let outputs = self.window.channels * self.window.positions();
        let mut chosen = Vec::with_capacity(input.nrows() * outputs);
        for row in input.outer_iter() {
            let first = chosen.len();
            chosen.resize(first + outputs, usize::MAX);
            let chosen = &mut chosen[first..];
            each_entry(&self.window, |to, from| {
                // A NaN wins and stays, so that it is never hidden.
                if chosen[to] == usize::MAX || row[from] > row[chosen[to]] || row[from].is_nan() {
                    chosen[to] = from;
                }
            });
        }
        Saved::Chosen(chosen)
    }

    fn apply(&self, saved: &Saved, sample: usize, input: &[f64], output: &mut [f64]) {
        let Saved::Chosen(chosen) = saved else { panic!("a max pool reads what it kept") };
        let outputs = output.len();
        for (output, &from) in output.iter_mut().zip(&chosen[sample * outputs..]) {
            *output = input[from];
        }
    }

    fn add_transposed(&self, saved: &Saved, sample: usize, output: &[f64], input: &mut [f64]) {
        let Saved::Chosen(chosen) = saved else { panic!("a max pool reads what it kept") };
        for (output, &to) in output.iter().zip(&chosen[sample * output.len()..]) {
            input[to] += output;
        }
    }
}

impl LinearMap for GlobalAveragePool {
    fn output_shape(&self) -> Vec<usize> {
        vec![self.channels]
    }

    fn inputs(&self) -> usize {
        self.channels * self.positions
    }

    fn apply(&self, _saved: &Saved, _sample: usize, input: &[f64], output: &mut [f64]) {
        for (output, plane) in output.iter_mut().zip(input.chunks_exact(self.positions)) {
            *output = plane.iter().sum::<f64>() / self.positions as f64;
        }
    }

    fn add_transposed(&self, _saved: &Saved, _sample: usize, output: &[f64], input: &mut [f64]) {
        for (output, plane) in output.iter().zip(input.chunks_exact_mut(self.positions)) {
            let share = output / self.positions as f64;
            plane.iter_mut().for_each(|value| *value += share);
        }
    }
}
