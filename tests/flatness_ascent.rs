//! Stochastic gradient ascent within a box, step for step against PyTorch (`golden/flatness/ascent.json`), and the
//! sharpness that comes of it, before and after layer scaling by 5.9.

mod common;

use approx::assert_relative_eq;
use common::golden::{Trained, record};
use flatgauge::flatness::ascent::{Domain, SgdAscent};
use flatgauge::flatness::{self, Options, Point};
use flatgauge::numeric::tolerance::CERTIFIED_CURVATURE;
use flatgauge::rescale::{LayerAlpha, Rescaling};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Ascent {
    name: String,
    eps: f64,
    rate: f64,
    batch: usize,
    epochs: usize,
    before: f64,
    sharpness: f64,
    losses: Vec<f64>,
    end: Vec<f64>,
}

#[test]
fn every_step_is_that_of_pytorch() {
    let networks = Trained::fully_connected();
    let record: Value = record("flatness/ascent.json");
    let ascents: Vec<Ascent> = serde_json::from_value(record["cases"].clone()).unwrap();
    assert_eq!(ascents.len(), 6, "three networks under two settings");
    for ascent in &ascents {
        let case = networks.iter().find(|case| case.record["name"] == ascent.name.as_str()).unwrap();
        let (objective, theta) = (case.objective(&case.network), case.network.theta());
        // Every epoch ends with what is left of the rows.
        assert!(objective.sample_count() % ascent.batch != 0);
        assert_eq!(ascent.losses.len(), ascent.epochs * objective.sample_count().div_ceil(ascent.batch));
        let radii: Vec<f64> = theta.iter().map(|theta| ascent.eps * (theta.abs() + 1.0)).collect();
        let domain = Domain { objective: &objective, theta, radii: &radii, metric: &vec![1.0; theta.len()] };
        let climb = SgdAscent { epochs: ascent.epochs, batch: ascent.batch, rate: ascent.rate };
        let (mut step, mut end, mut worst) = (0, Vec::new(), 0.0_f64);
        assert_relative_eq!(objective.value(theta), ascent.before, max_relative = CERTIFIED_CURVATURE);
        climb.climb_watched(&domain, &mut |loss, u| {
            let (rise, expected) = (loss - ascent.before, ascent.losses[step] - ascent.before);
            worst = worst.max((rise / expected - 1.0).abs());
            assert!((rise - expected).abs() <= CERTIFIED_CURVATURE * expected.abs(), "{} step {step}", ascent.name);
            step += 1;
            end = u.to_vec();
        });
        println!("{} at rate {}: rises differ by {worst:.1e} at most", ascent.name, ascent.rate);
        assert_eq!(step, ascent.losses.len());
        for (index, u) in end.iter().enumerate() {
            // Within 1e-8 of the box's half-width.
            let expected = (ascent.end[index] - theta[index]) / radii[index];
            assert!((u - expected).abs() <= CERTIFIED_CURVATURE, "{}, parameter {index}: {u}, {expected}", ascent.name);
        }
        let options = Options {
            box_radius: ascent.eps,
            learning_rate: ascent.rate,
            batch_size: ascent.batch,
            epochs: ascent.epochs,
            ..Options::default()
        };
        let measure = flatness::find("keskar_sharpness_sgd").unwrap();
        let sharpness = measure.evaluate(&Point::new(objective, theta), &options).unwrap().value;
        assert_relative_eq!(sharpness, ascent.sharpness, max_relative = CERTIFIED_CURVATURE);
    }
}

/// The defaults are those of the paper's program: the golden values were made with its settings.
#[test]
fn the_paper_s_sharpness_is_that_of_pytorch_here_and_rescaled_and_as_predicted() {
    let measure = flatness::find("keskar_sharpness_sgd").unwrap();
    let options = Options::default();
    let mut rescaled = 0;
    for case in &Trained::fully_connected() {
        let number = |key: &str| case.record[key].as_f64().unwrap();
        let here = Point::new(case.objective(&case.network), case.network.theta());
        let value = measure.evaluate(&here, &options).unwrap().value;
        assert_relative_eq!(value, number("keskar_sharpness_sgd"), max_relative = CERTIFIED_CURVATURE);
        // It is far from the largest rise: the best ascent finds more.
        let best = flatness::find("keskar_sharpness").unwrap().evaluate(&here, &options).unwrap().value;
        assert!(best > value, "{}: {best} and {value}", case.record["name"]);
        if let Some(alpha) = case.record["rescaled_alpha"].as_f64() {
            rescaled += 1;
            let action = LayerAlpha { layer: 0, alpha }.action(case.network.model()).unwrap();
            let network = case.network.with_theta(action.apply(case.network.theta()));
            let there = Point::new(case.objective(&network), network.theta());
            let expected = number("rescaled_keskar_sharpness_sgd");
            let found = measure.evaluate(&there, &options).unwrap().value;
            assert_relative_eq!(found, expected, max_relative = CERTIFIED_CURVATURE);
            let predicted = measure.predict(&here, &action, &options).unwrap().unwrap().value;
            assert_relative_eq!(predicted, expected, max_relative = CERTIFIED_CURVATURE);
        }
    }
    assert_eq!(rescaled, 3, "the ReLU networks");
}
