//! A network trained on digits, its rescaled twin, and what each measure says of the two.
//!
//!     cargo run --example rescaled_twin
//!
//! Both express the same function. The trace of the Hessian and the sharpness move by a factor that is predicted from the
//! unscaled network alone; the Fisher-Rao norm stays.

use flatgauge::flatness::{self, Options, Point};
use flatgauge::model::{Activation, Architecture, Loss, Model, Network, Objective};
use flatgauge::numeric::Streams;
use flatgauge::rescale::{LayerAlpha, Rescaling};
use flatgauge::train::Trainer;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = flatgauge::data::load("digits")?.split(100, 0, Streams::new(1))?.train;
    let architecture = Architecture::fully_connected(&[64, 20, 1], Activation::Relu, 2.0_f64.sqrt(), 1.0);
    let network = Network::sample(Arc::new(Model::new(architecture)?), Streams::new(2));
    let trainer = Trainer { learning_rate: Some(0.1), ..Trainer::default() };
    let trained = trainer.run(network, &data, &mut |_| {})?.network;

    // The first layer divided by 5.9, the next one multiplied.
    let map = LayerAlpha { layer: 0, alpha: 5.9 };
    let twin = map.apply(&trained)?;
    let action = map.action(trained.model())?;

    let targets = data.binary_targets()?;
    let (inputs, targets) = (data.inputs(), targets.view());
    let here = Point::new(Objective::new(&trained, Loss::Bce, inputs.view(), targets)?, trained.theta());
    let there = Point::new(Objective::new(&twin, Loss::Bce, inputs.view(), targets)?, twin.theta());
    println!("{:<22}{:>14}{:>14}{:>14}", "measure", "as trained", "rescaled", "predicted");
    for id in ["hessian_trace", "keskar_sharpness", "fisher_rao"] {
        let measure = flatness::find(id).expect("a registered measure");
        let options = Options::default();
        let before = measure.evaluate(&here, &options)?.value;
        let after = measure.evaluate(&there, &options)?.value;
        let predicted = measure.predict(&here, &action, &options).expect("these have predictions")?.value;
        println!("{id:<22}{before:>14.6}{after:>14.6}{predicted:>14.6}");
        assert!((after - predicted).abs() <= 1e-6 * after.abs());
    }
    Ok(())
}
