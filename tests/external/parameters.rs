//! Commands that answer with parameters: maps that leave functions as they are, and optimisers.

use crate::roles::{RECORD, text};
use crate::{Judged, checking, judged};
use flatgauge::data::{Dataset, read_npy, read_npz};
use flatgauge::gate::external::line_violations;
use flatgauge::model::{Architecture, Loss, Model, Network, Objective, load_network};
use flatgauge::numeric::Streams;
use flatgauge::rescale;
use flatgauge::train::{self, Batches, OptimizerSettings, Step};
use ndarray::Array2;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

fn network(request: &Value) -> Network {
    let architecture: Architecture = serde_json::from_value(request["architecture"].clone()).unwrap();
    let model = Arc::new(Model::new(architecture).unwrap());
    load_network(Path::new(text(request, "net")), &model).unwrap().network
}

/// What the roles of maps answer.
pub fn mapped(role: &str, request: &Value) -> Value {
    let (id, network) = (text(request, "id"), network(request));
    let kind = match role {
        "permutes" | "declares-the-inverse-order" => "permutation",
        "flips-signs" => "sign_flip",
        _ => "neuron_scaling",
    };
    let seed = request["seed"].as_u64().unwrap();
    let Ok(map) = rescale::find(kind).unwrap().draw(network.model(), 30.0, Streams::new(seed)) else {
        return json!({"id": id, "skip": "nothing to rescale here"});
    };
    let (action, twin) = (map.action(network.model()).unwrap(), map.apply(&network).unwrap());
    let (mut theta, mut scale, mut source) = (twin.theta().to_vec(), action.scale().to_vec(), action.source().to_vec());
    match role {
        "forgets-biases" => {
            for tensor in network.model().tensors().iter().filter(|tensor| tensor.name.ends_with("bias")) {
                for index in tensor.range.clone() {
                    (theta[index], scale[index]) = (network.theta()[index], 1.0);
                }
            }
        }
        "does-nothing" => (theta, scale) = (network.theta().to_vec(), vec![1.0; theta.len()]),
        "declares-the-inverse" => scale.iter_mut().for_each(|factor| *factor = 1.0 / *factor),
        "declares-the-inverse-order" => {
            for (index, from) in action.source().iter().enumerate() {
                source[*from] = index;
            }
        }
        "is-nearly-right" => theta[0] *= 1.0 + 1e-7,
        "ignores-the-seed" => theta.iter_mut().zip(&mut scale).for_each(|(theta, scale)| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            let factor = f64::from(now.subsec_nanos() % 1000) + 1.0;
            (*theta, *scale) = (*theta * factor, *scale * factor);
        }),
        "is-short" => drop(theta.pop()),
        _ => {}
    }
    let name = if role == "misspells-scale" { "scales" } else { "scale" };
    json!({"id": id, "theta": theta, name: scale, "source": source})
}

/// Mini-batches as a request lists them.
struct Listed<'a> {
    request: &'a Value,
    network: &'a Network,
    data: Dataset,
    next: usize,
}

impl Batches for Listed<'_> {
    fn advance(&mut self) {
        self.next += 1;
    }

    fn gradient(&mut self, theta: &[f64], gradient: &mut [f64]) -> f64 {
        let rows: Vec<usize> = serde_json::from_value(self.request["batches"][self.next - 1].clone()).unwrap();
        let (data, loss): (_, Loss) =
            (self.data.rows(&rows), serde_json::from_value(self.request["loss"].clone()).unwrap());
        let labels = train::targets(loss, self.network.model().output_count(), &data).unwrap();
        let objective = Objective::new(self.network, loss, data.inputs().view(), labels.view()).unwrap();
        let (value, slopes) = objective.gradient(theta);
        gradient.copy_from_slice(&slopes);
        value
    }
}

/// What the roles of optimisers answer.
pub fn stepped(role: &str, request: &Value) -> Value {
    let (id, network) = (text(request, "id"), network(request));
    let path = Path::new(text(request, "data"));
    let matrix = |name: &str| {
        let array = read_npz(path, name).unwrap();
        let (rows, columns) = (array.shape()[0], array.len() / array.shape()[0]);
        array.into_shape_with_order((rows, columns)).unwrap()
    };
    let (inputs, targets): (Array2<f64>, Array2<f64>) = (matrix("x"), matrix("y"));
    let shape = vec![inputs.ncols()];
    let data = Dataset::new("listed", inputs, shape, targets).unwrap();
    let mut batches = Listed { request, network: &network, data, next: 0 };
    let mut theta = network.theta().to_vec();
    let rate = request["learning_rate"].as_f64().unwrap();
    let steps = request["steps"].as_u64().unwrap();
    if request["optimizer"] == "entropy_sgd" {
        entropy_sgd(request, &mut batches, &mut theta, rate, steps);
    } else {
        let mut hyperparameters = request["hyperparameters"].as_object().unwrap().clone();
        if role == "drops-decay" {
            hyperparameters.insert("weight_decay".to_owned(), json!(0.0));
        }
        if role == "another-epsilon" {
            hyperparameters.insert("epsilon".to_owned(), json!(1e-6));
        }
        let settings = OptimizerSettings { hyperparameters, ..OptimizerSettings::named(text(request, "optimizer")) };
        let optimizer = settings.build().unwrap().optimizer;
        let mut state = optimizer.start(theta.len());
        for number in 0..steps {
            let step = Step { number, learning_rate: rate, streams: Streams::new(0) };
            optimizer.step(&step, &mut state, &mut theta, &mut batches);
        }
    }
    json!({"id": id, "theta": theta})
}

/// The algorithm of Chaudhari et al. 2017 with given draws.
fn entropy_sgd(request: &Value, batches: &mut Listed, theta: &mut [f64], rate: f64, steps: u64) {
    let of = |name: &str| request["hyperparameters"][name].as_f64().unwrap();
    let noise = read_npy(Path::new(text(request, "noise"))).unwrap();
    let mut noise = noise.iter();
    let mut gradient = vec![0.0; theta.len()];
    for number in 0..steps {
        let scope = of("scope") * (1.0 + of("scoping")).powf(number as f64);
        let (mut point, mut mean) = (theta.to_vec(), theta.to_vec());
        for _ in 0..of("langevin_steps") as usize {
            batches.advance();
            batches.gradient(&point, &mut gradient);
            for index in 0..theta.len() {
                let drift = gradient[index] - scope * (theta[index] - point[index]);
                point[index] +=
                    of("langevin_rate").sqrt() * of("noise") * noise.next().unwrap() - of("langevin_rate") * drift;
                mean[index] = (1.0 - of("averaging")) * mean[index] + of("averaging") * point[index];
            }
        }
        theta.iter_mut().zip(&mean).for_each(|(theta, mean)| *theta -= rate * (*theta - mean));
    }
    assert!(noise.next().is_none(), "every draw is used");
}

fn laws(judged: &Judged) -> Vec<String> {
    let mut laws: Vec<String> = judged.failures().into_iter().map(|(law, _)| law.to_owned()).collect();
    laws.dedup();
    laws
}

fn check(role: &str, what: &[&str]) -> Judged {
    judged(role, checking(role, &[what, &["--format", "json"]].concat(), "60s"))
}

#[test]
fn maps_that_keep_the_function_pass() {
    for role in ["scales-neurons", "permutes", "flips-signs"] {
        let judged = check(role, &["--rescaling", "mine"]);
        assert_eq!(judged.code, 0, "{role}: {:?}", judged.failures());
        assert!(judged.count("pass", "") >= 12, "{role}");
    }
}

#[test]
fn maps_that_do_not_are_caught_by_the_law_that_they_break() {
    for (role, broken) in [
        ("forgets-biases", "rescaling.function"),
        ("is-nearly-right", "rescaling.parameters"),
        ("declares-the-inverse", "rescaling.parameters"),
        ("declares-the-inverse-order", "rescaling.parameters"),
        ("does-nothing", "rescaling.movement"),
        ("ignores-the-seed", "rescaling.movement"),
        ("is-short", "rescaling.function"),
    ] {
        let judged = check(role, &["--rescaling", "mine"]);
        assert_eq!(judged.code, 1, "{role}");
        assert!(laws(&judged).contains(&broken.to_owned()), "{role}: {:?}", judged.failures());
    }
    // Forgotten biases are declared rightly, so that the curvature tells.
    assert!(laws(&check("forgets-biases", &["--rescaling", "mine"])).contains(&"rescaling.curvature".to_owned()));
}

#[test]
fn optimisers_are_held_to_certified_trajectories() {
    for optimizer in train::registry() {
        let judged = check("right", &["--optimizer", optimizer.id()]);
        assert_eq!(judged.code, 0, "{}: {:?}", optimizer.id(), judged.failures());
    }
    for (role, optimizer) in [("drops-decay", "sgd"), ("another-epsilon", "adam")] {
        let judged = check(role, &["--optimizer", optimizer]);
        judged.failed_with(" steps, in ");
        assert_eq!(laws(&judged), ["certified.trajectory"]);
    }
}

#[test]
fn their_requests_fit_their_schemas() {
    let place = tempfile::tempdir().unwrap();
    for (what, kind) in [
        (["--rescaling", "mine", "--only", "movement"], "rescaling"),
        (["--optimizer", "entropy_sgd", "--only", "tan"], "optimizer"),
    ] {
        let path = place.path().join(kind);
        let mut command = checking("speaks-1.0", &[&what[..], &["--format", "json"]].concat(), "60s");
        command.env(RECORD, &path);
        assert_eq!(judged("speaks-1.0", command).code, 0, "{kind}");
        let lines = std::fs::read_to_string(&path).unwrap();
        let line =
            lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).find(|line| line["kind"] == kind);
        let line = line.expect("a request");
        assert_eq!(line_violations(kind, &line), Some(Vec::new()));
        for key in line.as_object().unwrap().keys() {
            let mut broken = line.clone();
            broken.as_object_mut().unwrap().remove(key);
            assert!(!line_violations(kind, &broken).unwrap().is_empty(), "{kind} without {key}");
            broken[key] = json!([{}]);
            assert!(!line_violations(kind, &broken).unwrap().is_empty(), "{kind} with another {key}");
        }
    }
}
