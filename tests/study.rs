//! Studies on tiny sweeps: what they report is what their networks give, and holds the laws it must.

use flatgauge::io::Checksum;
use flatgauge::report::figure::{png, svg};
use flatgauge::study::{self, Cache, Findings, Request, Style, Workspace};
use serde_json::Value;
use std::path::Path;
use std::sync::OnceLock;

/// Agreement of a coefficient with its definition on the numbers in the document: a few hundred roundings.
const COEFFICIENT: f64 = 1e-12;
/// Relative agreement of what is invariant, before and after a rescaling; see `CURVATURE_AGREEMENT` of the crate.
const INVARIANCE: f64 = flatgauge::numeric::tolerance::CURVATURE_AGREEMENT;

fn run(id: &str, request: &Request, folder: &Path, resume: bool) -> Findings {
    let cache = Cache::new(folder.join(id), resume);
    let workspace = Workspace { networks: folder.join("networks"), cache, progress: &|_| {} };
    study::find(id).expect("a registered study").run(request, &workspace).expect("the study runs")
}

fn words(text: &str) -> Option<Vec<String>> {
    Some(text.split(',').map(str::to_owned).collect())
}

/// Few small networks and cheap measures.
fn tiny() -> Request {
    Request {
        quick: true,
        seeds: Some(2),
        train: Some(40),
        test: Some(30),
        attacks: Some(vec![0, 15, 30]),
        optimizers: words("momentum"),
        measures: words("hessian_trace,filter_weighted_trace"),
        ..Request::default()
    }
}

/// The study of links on one network each, run once for all tests: it judges a thousand labellings by every method.
fn links() -> &'static Findings {
    static FOUND: OnceLock<Findings> = OnceLock::new();
    FOUND.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        run("links", &Request { seeds: Some(1), ..tiny() }, folder.path(), false)
    })
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// A column of a table by name.
fn column(findings: &Findings, table: &str, name: &str) -> Vec<f64> {
    use flatgauge::study::Cell;
    let table = findings.tables.iter().find(|known| known.name == table).expect("the table is there");
    let index = table.columns.iter().position(|column| column == name).expect("the column is there");
    let value = |cell: &Cell| match cell {
        Cell::Real(value) => value.expect("a number"),
        Cell::Count(count) => *count as f64,
        other => panic!("{other:?} is no number"),
    };
    table.rows.iter().map(|row| value(&row[index])).collect()
}

/// Pearson's coefficient as the mean product of all differences.
fn pearson_by_pairs(x: &[f64], y: &[f64]) -> f64 {
    let sum = |a: &[f64], b: &[f64]| -> f64 {
        (0..a.len()).flat_map(|i| (0..i).map(move |j| (a[i] - a[j]) * (b[i] - b[j]))).sum()
    };
    sum(x, y) / (sum(x, x) * sum(y, y)).sqrt()
}

#[test]
fn coefficients_are_those_of_the_networks_and_twins_keep_the_law() {
    let folder = tempfile::tempdir().unwrap();
    let found = run("correlation", &tiny(), folder.path(), false);
    let document = serde_json::to_value(&found).unwrap();
    let alpha = column(&found, "networks", "alpha");
    let accuracy = column(&found, "networks", "accuracy");
    let originals: Vec<usize> = (0..alpha.len()).filter(|&row| alpha[row] == 1.0).collect();
    assert_eq!((originals.len(), alpha.len()), (6, 12));
    let pick = |values: &[f64], rows: &[usize]| rows.iter().map(|&row| values[row]).collect::<Vec<_>>();
    let all: Vec<usize> = (0..alpha.len()).collect();
    for (name, rows) in [("correlations", &originals), ("correlations_with_twins", &all)] {
        let entries = document[name].as_array().unwrap();
        // Three readings, two measures and their logarithms.
        assert_eq!(entries.len(), 7);
        for entry in entries {
            assert_eq!((&entry["optimizer"], &entry["n"]), (&Value::from("momentum"), &Value::from(rows.len())));
            let predictor = entry["predictor"].as_str().unwrap();
            let raw = predictor.trim_start_matches("log10_");
            let mut values = pick(&column(&found, "networks", raw), rows);
            if raw != predictor {
                values.iter_mut().for_each(|value| *value = value.log10());
            }
            let expected = pearson_by_pairs(&values, &pick(&accuracy, rows));
            assert!((number(&entry["pearson"]) - expected).abs() < COEFFICIENT, "{entry}");
            let ends = entry["pearson_interval"].as_array().unwrap();
            assert!(number(&ends[0]) <= number(&ends[1]));
            for name in ["spearman", "kendall"] {
                assert!(number(&entry[name]).abs() <= 1.0);
            }
        }
    }
    // A twin follows its network. It has the same function, and invariant measures; its trace is another one.
    for pair in all.chunks(2) {
        let [network, twin] = [pair[0], pair[1]];
        assert!(alpha[network] == 1.0 && alpha[twin] != 1.0);
        let of = |name: &str| [column(&found, "networks", name)[network], column(&found, "networks", name)[twin]];
        for name in ["log_prob_ep_step", "log_prob_ep_probit", "log_prob_smc", "accuracy"] {
            let [before, after] = of(name);
            assert_eq!(before, after, "{name}");
        }
        assert_eq!(of("labels_flipped"), [0.0, 0.0]);
        let [before, after] = of("filter_weighted_trace");
        assert!((before - after).abs() <= INVARIANCE * before);
        let [before, after] = of("hessian_trace");
        assert!((before - after).abs() > 1e3 * INVARIANCE * before);
    }
    // Attack sets cost accuracy and probability.
    let attack = column(&found, "networks", "attack");
    assert!(pearson_by_pairs(&attack, &column(&found, "networks", "log_prob_smc")) < -0.9);
}

#[test]
fn a_study_that_was_stopped_finds_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let request = Request { attacks: Some(vec![0, 10]), ..tiny() };
    let found = run("correlation", &request, folder.path(), false);
    let measured: Vec<_> =
        std::fs::read_dir(folder.path().join("correlation")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(measured.len(), 4);
    // As after a kill: one measurement is missing, one is half a file, and a network is gone.
    std::fs::remove_file(&measured[0]).unwrap();
    let bytes = std::fs::read(&measured[1]).unwrap();
    std::fs::write(&measured[1], &bytes[..bytes.len() / 3]).unwrap();
    let network = std::fs::read_dir(folder.path().join("networks"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
        .unwrap();
    std::fs::remove_file(network).unwrap();
    assert_eq!(run("correlation", &request, folder.path(), true), found);
    // What is kept is used: a number planted in a measurement that is whole turns up.
    let mut entry: Value = serde_json::from_slice(&std::fs::read(&measured[2]).unwrap()).unwrap();
    entry["result"][0]["accuracy"] = 0.125.into();
    std::fs::write(&measured[2], entry.to_string()).unwrap();
    // (Without the checksum of what it says it is damaged.)
    assert_eq!(run("correlation", &request, folder.path(), true), found);
    let of = |name: &str| entry[name].to_string();
    let checksum = Checksum::default().bytes(of("key").as_bytes()).bytes(of("result").as_bytes()).text();
    entry["checksum"] = checksum.into();
    std::fs::write(&measured[2], entry.to_string()).unwrap();
    let planted = run("correlation", &request, folder.path(), true);
    assert!(column(&planted, "networks", "accuracy").contains(&0.125));
    // ... and is not, where it was measured for another request.
    let other = Request { measures: words("hessian_trace"), ..request.clone() };
    assert!(!column(&run("correlation", &other, folder.path(), true), "networks", "accuracy").contains(&0.125));
}

#[test]
fn over_time_the_jump_is_the_predicted_one_and_log_p_stays() {
    let folder = tempfile::tempdir().unwrap();
    let request =
        Request { quick: true, train: Some(20), test: Some(20), optimizers: words("momentum"), ..Request::default() };
    let found = run("temporal", &request, folder.path(), false);
    let document = serde_json::to_value(&found).unwrap();
    let moments = document["moments"].as_array().unwrap();
    let at = moments.iter().position(|moment| moment["rescaled"] == true).unwrap();
    let zero = document["zero_error_epoch"].as_u64().unwrap();
    // One epoch in ten to zero error, every one from there, the one of the rescaling twice.
    assert_eq!(document["rescaled_at_epoch"].as_u64(), Some(zero + 20));
    assert_eq!(moments.len() as u64, zero.div_ceil(10) + 40 + 2);
    assert_eq!(moments[at]["epoch"], moments[at - 1]["epoch"]);
    for (id, predicted) in
        document["measures"].as_array().unwrap().iter().zip(document["predicted_at_rescaling"].as_array().unwrap())
    {
        // Plain SGD ascent takes other paths after a rescaling: there is no prediction to rounding.
        if predicted.is_null() {
            assert_eq!(id, "keskar_sharpness_sgd");
            continue;
        }
        let (after, predicted) = (number(&moments[at][id.as_str().unwrap()]), number(predicted));
        assert!((after - predicted).abs() <= INVARIANCE * predicted, "{id}: {after} for {predicted}");
        assert!(after > 2.0 * number(&moments[at - 1][id.as_str().unwrap()]), "{id} does not jump");
    }
    for id in ["log_prob_ep_step", "log_prob_ep_probit", "test_accuracy"] {
        assert_eq!(moments[at][id], moments[at - 1][id]);
    }
    assert_eq!(document["log_prob_change_at_rescaling"], serde_json::json!([0.0, 0.0]));
    assert_eq!(moments[at]["hamming_to_before_rescaling"], 0);
    // Five seeds, each with its own way to zero error, and a network with batch norms.
    assert_eq!(document["runs"].as_array().unwrap().len(), 5);
    let normed = &document["batch_norm_runs"][0];
    let moments = normed["moments"].as_array().unwrap();
    let at = moments.iter().position(|moment| moment["rescaled"] == true).unwrap();
    assert_eq!(moments[at]["hamming_to_before_rescaling"], 0);
    assert!(normed["predicted_at_rescaling"].as_array().unwrap().iter().all(Value::is_null));
    assert_eq!(run("temporal", &request, folder.path(), true), found);
}

#[test]
fn every_study_runs_on_the_embedded_digits_and_its_figures_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    for study in study::registry() {
        // Seen above, and studies that make their own data.
        if ["temporal", "boolean", "mingard_2021"].contains(&study.id()) {
            continue;
        }
        let own = || run(study.id(), &Request { seeds: Some(1), ..tiny() }, folder.path(), false);
        let found = if study.id() == "links" { links().clone() } else { own() };
        assert_eq!(found.study, study.id());
        assert!(!found.claims.is_empty() && !found.tables.is_empty() && !found.figures.is_empty(), "{}", study.id());
        let text = serde_json::to_string(&found).unwrap();
        assert!(!text.contains("NaN"), "{text}");
        for figure in &found.figures {
            let drawing = svg(figure).unwrap().replace("&apos;", "'");
            assert!(drawing.starts_with("<svg") && drawing.trim_end().ends_with("</svg>"));
            for panel in &figure.panels {
                assert!(!panel.title.is_empty() && (!panel.y.label.is_empty() || !panel.y.names.is_empty()));
                assert!(drawing.contains(&panel.x.label), "{}: no '{}'", figure.name, panel.x.label);
            }
            let named = figure.panels.iter().flat_map(|panel| &panel.series).filter(|series| !series.name.is_empty());
            assert!(named.clone().all(|series| drawing.contains(&series.name)));
            let bytes = png(figure).unwrap();
            assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
            // Not a white sheet: what is drawn takes more than a row of zeros would.
            assert!(bytes.len() > 5000, "{}: {} bytes", figure.name, bytes.len());
        }
    }
}

#[test]
fn predictions_hold_over_six_decades() {
    let folder = tempfile::tempdir().unwrap();
    let request = Request { measures: words("hessian_trace,path_norm,hessian_max_eigenvalue"), ..tiny() };
    let found = run("rescaling", &request, folder.path(), false);
    let document = serde_json::to_value(&found).unwrap();
    let readings = document["readings"].as_array().unwrap();
    assert_eq!(readings.len(), 7 * 6);
    for reading in readings {
        let (measured, predicted) = (number(&reading["measured"]), number(&reading["predicted"]));
        assert!((measured - predicted).abs() <= INVARIANCE * predicted.abs(), "{reading}");
    }
    let of = |quantity: &str| -> Vec<f64> {
        let own = readings.iter().filter(|reading| reading["quantity"] == quantity);
        own.map(|reading| number(&reading["measured"])).collect()
    };
    assert!(of("hessian_trace").iter().copied().fold(0.0, f64::max) > 1e4 * of("hessian_trace")[3]);
    assert!(of("log_prob_smc").windows(2).all(|pair| pair[0] == pair[1]));
    let lines = &found.figures[0].panels[0].series;
    assert!(
        lines.iter().any(|series| series.style == Style::Line)
            && lines.iter().any(|series| series.style == Style::Marks)
    );
}

#[test]
fn probit_is_not_step_and_few_points_are_counted() {
    let document = serde_json::to_value(links()).unwrap();
    for function in document["functions"].as_array().unwrap() {
        assert!((number(&function["log_prob_ep_probit"]) - number(&function["log_prob_smc"])).abs() > 2.0);
        assert!((number(&function["log_prob_ep_step"]) - number(&function["log_prob_smc"])).abs() < 2.0);
    }
    for few in document["few_points"].as_array().unwrap() {
        let (counted, drawn) = (number(&few["counted"]), number(&few["drawn"]));
        if few["finite_width"].is_null() {
            assert!(counted < 20.0, "{few}");
            continue;
        }
        let finite = (counted / drawn).ln();
        assert_eq!(number(&few["finite_width"]), finite);
        // Two hidden layers of 40 units: the labels of a few points are as probable as in the limit to a tenth or two.
        assert!((finite - number(&few["step"])).abs() < 0.5, "{few}");
    }
}

#[test]
fn all_labellings_of_ten_images_have_probabilities_that_sum_to_one() {
    let document = serde_json::to_value(links()).unwrap();
    let all = document["labellings"].as_array().unwrap();
    assert_eq!(all.len(), 1024);
    let column = |name: &str| all.iter().map(|one| number(&one[name])).collect::<Vec<f64>>();
    let sum = |name: &str| column(name).into_iter().map(f64::exp).sum::<f64>();
    let error: f64 = all.iter().map(|one| number(&one["std_error"]) * number(&one["step"]).exp()).sum();
    // The errors of all terms added up bound that of the sum; EP's sum has an error of its own.
    assert!((sum("step") - 1.0).abs() <= error + 1e-12, "{} with error {error}", sum("step"));
    assert!((sum("ep_step") - 1.0).abs() > 10.0 * error, "{}", sum("ep_step"));
    // Of both labellings with the same labels but for a flip, each has the other's value.
    let (steps, labels) = (column("step"), all.iter().map(|one| one["labels"].as_str().unwrap()));
    for (index, labels) in labels.enumerate() {
        assert_eq!(usize::from_str_radix(labels, 2).unwrap(), index);
        assert_eq!(steps[index], steps[1023 - index]);
    }
    // The most probable labelling is counted at every width, and about as often as it is probable at the paper's.
    let top = (0..1024).max_by(|&a, &b| steps[a].total_cmp(&steps[b])).unwrap();
    assert!((number(&all[top]["width_40"]) - steps[top]).abs() < 0.5, "{}", all[top]);
}

/// A small residual network with batch norms in TOML.
const RESIDUAL: &str = r#"
input = [1, 8, 8]
weight_std = 1.4142135623730951
bias_std = 1.0
[[layers]]
type = "conv"
channels = 4
kernel = [3, 3]
padding = "same"
[[layers]]
type = "batch_norm"
[[layers]]
type = "relu"
[[layers]]
type = "residual"
[[layers.branch]]
type = "conv"
channels = 4
kernel = [3, 3]
padding = "same"
[[layers.branch]]
type = "batch_norm"
[[layers]]
type = "relu"
[[layers]]
type = "flatten"
[[layers]]
type = "dense"
units = 1
"#;

#[test]
fn a_residual_network_with_its_empirical_kernel_is_a_network_like_others() {
    use flatgauge::model::Architecture;
    use flatgauge::study::KernelChoice;
    let folder = tempfile::tempdir().unwrap();
    let request = Request {
        architecture: Some(Architecture::from_toml(RESIDUAL).unwrap()),
        kernel: KernelChoice::Empirical(Some(24)),
        readings: words("log_prob_ep_step"),
        extra_epochs: Some(2),
        ..tiny()
    };
    let found = run("correlation", &request, folder.path(), false);
    assert!(found.setting.contains("residual") && found.setting.contains("24 sampled networks"), "{}", found.setting);
    let names: Vec<&str> = found.tables.iter().map(|table| table.name.as_str()).collect();
    assert!(names.contains(&"networks"), "{names:?}");
    // The sampled kernel gives log P(f) a standard error, and other readings were not asked for.
    assert!(column(&found, "networks", "log_prob_ep_step_std_error").iter().all(|error| *error > 0.0));
    let networks = found.tables.iter().find(|table| table.name == "networks").unwrap();
    assert!(networks.columns.iter().all(|name| !name.starts_with("log_prob_smc")));
    // Twins are rescaled before their batch norms: another trace, the same function.
    let trace = column(&found, "networks", "hessian_trace");
    let flipped = column(&found, "networks", "labels_flipped");
    assert!(trace.chunks(2).all(|pair| pair[0] != pair[1]));
    assert!(flipped.iter().sum::<f64>() <= 2.0, "{flipped:?}");
    // From what is on disk, the sampled kernel among it, the same bits.
    assert_eq!(run("correlation", &request, folder.path(), true), found);
}

#[test]
fn cifar_10_is_read_by_a_fully_connected_network() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("cifar");
    std::fs::create_dir(&source).unwrap();
    // Cars (1) are bright above and cats (3) below, with noise by a fixed rule.
    let images = |count: usize, salt: usize| -> Vec<u8> {
        (0..count)
            .flat_map(|image| {
                let class = if (image * 7 + salt).is_multiple_of(3) { 1_u8 } else { 3 };
                let pixel = move |index: usize| {
                    let above = index % 1024 < 512;
                    let noise = (index * 31 + image * 17 + salt * 13) * 2_654_435_761 % 97;
                    (if above == (class == 1) { 120 } else { 60 } + noise) as u8
                };
                std::iter::once(class).chain((0..3072).map(pixel))
            })
            .collect()
    };
    std::fs::write(source.join("data_batch_1.bin"), images(80, 0)).unwrap();
    std::fs::write(source.join("test_batch.bin"), images(30, 5)).unwrap();
    let request = Request {
        data: format!("cifar10:{}", source.display()),
        attacks: Some(vec![0, 20]),
        measures: words("keskar_sharpness,hessian_trace"),
        readings: words("log_prob_ep_step,log_prob_ep_probit"),
        ..tiny()
    };
    let found = run("correlation", &request, folder.path(), false);
    assert!(found.setting.contains("fcn:3072-40-40-1") && found.setting.contains("on cifar10"), "{}", found.setting);
    assert_eq!(column(&found, "networks", "accuracy").len(), 8);
    let document = serde_json::to_value(&found).unwrap();
    for name in ["correlations_with_log_prob", "partial_correlations"] {
        assert!(!document[name].as_array().unwrap().is_empty(), "{name}");
    }
    // Where nothing is asked, sizes are those of the authors' CIFAR-10 experiment, as far as there are images.
    use flatgauge::study::{Defaults, Setting};
    let defaults = Defaults { seeds: 5, train: None, attacks: 11, optimizers: &["sgd"] };
    let setting = Setting::resolve(&Request { data: request.data, ..Request::default() }, &defaults).unwrap();
    assert_eq!((setting.train, setting.test), (40, 30));
}

#[test]
fn over_training_goes_on_past_zero_error() {
    let folder = tempfile::tempdir().unwrap();
    let request = Request { attacks: Some(vec![0]), ..tiny() };
    let epochs = |extra: Option<usize>| {
        let found = run("correlation", &Request { extra_epochs: extra, ..request.clone() }, folder.path(), false);
        column(&found, "networks", "epochs")
    };
    let (short, long) = (epochs(None), epochs(Some(7)));
    assert!(short.iter().zip(&long).all(|(short, long)| short + 7.0 == *long), "{short:?} {long:?}");
}
