//! The laws of rescaling on networks trained by every optimiser: f stays, curvature follows the prediction, log P(f)
//! does not move.

use flatgauge::data::{Dataset, load_source};
use flatgauge::flatness::{self, Options, Point};
use flatgauge::kernel;
use flatgauge::model::{Activation, Architecture, Loss, Network, Objective};
use flatgauge::numeric::tolerance::{CURVATURE_AGREEMENT, PRIOR_SYMMETRY};
use flatgauge::prior::{self, Gram, Labels, Link, PriorOptions};
use flatgauge::rescale::{LayerAlpha, Rescaling, logit_rounding_bound};
use flatgauge::train::{OptimizerSettings, Settings, registry};
use ndarray::Array2;
use rayon::prelude::*;

const ALPHAS: [f64; 3] = [2.0, 5.9, 1.0 / 5.9];
/// The measures of the paper's figures.
const MEASURES: [&str; 4] = ["hessian_trace", "hessian_max_eigenvalue", "keskar_sharpness", "keskar_sharpness_sgd"];

fn objective<'a>(network: &'a Network, data: &'a Dataset) -> Objective<'a> {
    Objective::new(network, Loss::Bce, data.inputs().view(), data.targets().view()).unwrap()
}

#[test]
fn networks_of_every_optimiser_keep_the_laws_of_rescaling() {
    let source = load_source("digits").unwrap();
    let trained: Vec<(&str, usize)> = registry()
        .par_iter()
        .map(|optimizer| {
            let architecture =
                Architecture::fully_connected(&[64, 20, 20, 1], Activation::Relu, std::f64::consts::SQRT_2, 1.0);
            let mut settings = Settings::new(architecture, 1);
            (settings.data.train, settings.data.test, settings.data.attack) = (200, 50, 30);
            settings.trainer.optimizer = OptimizerSettings::named(optimizer.id());
            let name = optimizer.id();
            let (trained, summary, splits) =
                settings.run(&source, &mut |_| {}).unwrap_or_else(|error| panic!("{name}: {error}"));
            let epochs = summary.zero_error_epoch.unwrap_or_else(|| panic!("{name}: {summary}"));

            let clean = splits.clean_set();
            let network = &trained.network;
            let before = Point::new(objective(network, &clean), network.theta());
            let inputs = Dataset::stacked_inputs(&[&clean, &splits.test]);
            let logits = network.logits(inputs.view());
            let bound = logit_rounding_bound(network, inputs.view()).unwrap();
            let gram = Gram::new(kernel::nngp(&settings.architecture, inputs.view()).unwrap()).unwrap();
            let log_prob = |logits: &Array2<f64>| {
                let options = PriorOptions { link: Link::Step, ..PriorOptions::default() };
                let labels = Labels::from_logits(logits);
                prior::find("ep").unwrap().log_prob(&gram, &labels, &options).unwrap().estimate.value
            };
            let original = log_prob(&logits);
            let options = Options::default();
            let unscaled: Vec<f64> = MEASURES
                .iter()
                .map(|id| flatness::find(id).unwrap().evaluate(&before, &options).unwrap().value)
                .collect();
            for alpha in ALPHAS {
                let action = LayerAlpha { layer: 0, alpha }.action(network.model()).unwrap();
                let rescaled = network.with_theta(action.apply(network.theta()));
                let moved = rescaled.logits(inputs.view());
                for ((after, before), bound) in moved.iter().zip(&logits).zip(&bound) {
                    assert!((after - before).abs() <= *bound, "{name}, alpha {alpha}: {before} to {after}");
                    assert_eq!(*after > 0.0, *before > 0.0, "{name}, alpha {alpha}");
                }
                let after = Point::new(objective(&rescaled, &clean), rescaled.theta());
                for (id, unscaled) in MEASURES.into_iter().zip(&unscaled) {
                    let measure = flatness::find(id).unwrap();
                    let measured = measure.evaluate(&after, &options).unwrap().value;
                    let predicted = measure.predict(&before, &action, &options).unwrap().unwrap().value;
                    let difference = (measured - predicted).abs();
                    assert!(
                        difference <= CURVATURE_AGREEMENT * predicted.abs() && predicted != 0.0,
                        "{name}, alpha {alpha}, {id}: measured {measured}, predicted {predicted}"
                    );
                    assert!((measured / unscaled - 1.0).abs() > 1e-3, "{name}, alpha {alpha}: {id} did not move");
                }
                let difference = (log_prob(&moved) - original).abs();
                assert!(difference <= PRIOR_SYMMETRY * (1.0 + original.abs()), "{name}, alpha {alpha}: {difference}");
            }
            (name, epochs)
        })
        .collect();
    for (name, epochs) in &trained {
        eprintln!("{name}: zero error after {epochs} epochs");
    }
    assert_eq!(trained.len(), registry().len());
}
