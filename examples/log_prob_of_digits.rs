//! log P(f) of "is the digit at least five" on the first 50 embedded digits, under infinitely wide ReLU networks.
//!
//!     cargo run --example log_prob_of_digits
//!
//! The method `auto` gives the true value with a standard error, expectation propagation the number that the field reports.

use flatgauge::model::{Activation, Architecture};
use flatgauge::prior::{self, Gram, Labels, PriorOptions};
use flatgauge::{data, kernel};
use ndarray::s;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let digits = data::digits();
    let inputs = digits.inputs().slice(s![..50, ..]);
    let labels = Labels::from_signs((0..50).map(|row| digits.targets()[[row, 0]] >= 5.0));

    // The paper's prior: weights N(0, 2 / fan-in), biases N(0, 1), two hidden layers.
    let architecture = Architecture::fully_connected(&[64, 40, 40, 1], Activation::Relu, 2.0_f64.sqrt(), 1.0);
    let gram = Gram::new(kernel::nngp(&architecture, inputs)?)?;

    for id in ["auto", "ep"] {
        let method = prior::find(id).expect("a registered method");
        let answer = method.log_prob(&gram, &labels, &PriorOptions::default())?;
        let error = answer.estimate.std_error.map_or("none of its own".to_owned(), |error| format!("{error:.4}"));
        println!("{id:<5} log P(f) = {:.4} nats, standard error {error}", answer.estimate.value);
        assert!(answer.estimate.value < 0.0);
    }
    Ok(())
}
