//! Laws of sampled functions: the counts are those of a plain evaluation, of closed forms, and of the published table.

mod common;

use common::need::need;
use flatgauge::data::load;
use flatgauge::function::{CountOptions, Counts, Function, Sampler, count};
use flatgauge::model::{Activation, Architecture, LayerSpec, Network, Padding};
use flatgauge::numeric::Streams;
use flatgauge::prior::{self, Gram, Labels, PriorOptions};
use flatgauge::rescale::{LayerAlpha, Rescaling};
use ndarray::{Array2, array};
use rand_distr::{Distribution, StandardNormal};
use statrs::distribution::{ChiSquared, ContinuousCDF};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// False-alarm rate of each statistical test here; with fixed seeds a failure is one for good.
const FALSE_ALARM: f64 = 1e-6;

fn relu(widths: &[usize], weight_std: f64, bias_std: f64) -> Architecture {
    Architecture::fully_connected(widths, Activation::Relu, weight_std, bias_std)
}

fn boolean(inputs: usize) -> Array2<f64> {
    load(&format!("boolean:{inputs}")).unwrap().inputs().clone()
}

fn random_inputs(rows: usize, columns: usize) -> Array2<f64> {
    let mut generator = Streams::new(8).stream("inputs", 0);
    Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(&mut generator))
}

fn counted(sampler: &Sampler, networks: u64) -> Counts {
    count(sampler, networks, &CountOptions::new(sampler)).unwrap()
}

fn table(counts: &Counts) -> Vec<(String, u64)> {
    counts.ranked().map(|(function, count)| (function.to_string(), count)).collect()
}

/// The function of a network by the definition: sums in f64, label 1 where the logit is above 0.
fn plain_function(network: &Network, widths: &[usize], inputs: &Array2<f64>) -> Function {
    let labels = inputs.outer_iter().map(|row| {
        let (mut current, mut at) = (row.to_vec(), 0);
        for pair in widths.windows(2) {
            let (fan_in, units) = (pair[0], pair[1]);
            let bias = at + fan_in * units;
            let mut next: Vec<f64> = Vec::new();
            for unit in 0..units {
                let mut sum = network.theta()[bias + unit];
                for k in (0..fan_in).rev() {
                    sum += network.theta()[at + unit * fan_in + k] * current[k];
                }
                next.push(sum);
            }
            at = bias + units;
            if at < network.theta().len() {
                next.iter_mut().for_each(|value| *value = value.max(0.0));
            }
            current = next;
        }
        current[0] > 0.0
    });
    Function::new(&labels.collect::<Vec<bool>>())
}

fn plain_counts(sampler: &Sampler, widths: &[usize], networks: u64) -> Vec<(String, u64)> {
    let mut map = BTreeMap::new();
    for index in 0..networks {
        let function = plain_function(&sampler.network(index), widths, sampler.inputs());
        *map.entry(function.to_string()).or_insert(0) += 1;
    }
    let mut table: Vec<(String, u64)> = map.into_iter().collect();
    table.sort_by_key(|(function, count)| (std::cmp::Reverse(*count), function.clone()));
    table
}

/// Networks of a comparison: few, unless `FLATGAUGE_NETWORKS` asks for more, as for the `10^5` beside a plain evaluation.
fn networks(few: u64) -> u64 {
    match std::env::var("FLATGAUGE_NETWORKS") {
        Ok(text) => text.parse().expect("FLATGAUGE_NETWORKS is a number"),
        Err(_) => few,
    }
}

#[test]
fn counts_are_exactly_those_of_a_plain_evaluation_in_f64() {
    for bias_std in [0.0, 1.0] {
        let widths = [7, 40, 40, 1];
        let sampler = Sampler::new(relu(&widths, 1.0, bias_std), boolean(7), 11).unwrap();
        let networks = networks(700);
        assert_eq!(table(&counted(&sampler, networks)), plain_counts(&sampler, &widths, networks));
    }
}

#[test]
fn narrow_deep_and_large_networks_are_counted_exactly_too() {
    // Dead units, logits of exactly 0, underflow on the way, widths and inputs that fill no vector.
    let cases: [(&[usize], f64, f64, Array2<f64>); 7] = [
        (&[3, 1], 1.0, 0.0, boolean(3)),
        (&[4, 2, 1], 1.0, 0.0, boolean(4)),
        (&[5, 3, 2, 3, 2, 1], 0.5, 0.0, random_inputs(37, 5)),
        (&[6, 9, 1], 1e-12, 0.0, random_inputs(130, 6) * 1e-18),
        (&[6, 9, 5, 1], 1e15, 1e-3, random_inputs(65, 6) * 1e10),
        (&[10, 33, 17, 1], 1.4, 1.0, random_inputs(300, 10)),
        (&[2, 70, 1], 1.0, 0.1, array![[0.0, 0.0], [0.1, 0.1], [0.1, 0.1], [0.3, 0.1 + 0.2]]),
    ];
    for (widths, weight_std, bias_std, inputs) in cases {
        let sampler = Sampler::new(relu(widths, weight_std, bias_std), inputs, 2).unwrap();
        assert_eq!(table(&counted(&sampler, 500)), plain_counts(&sampler, widths, 500), "{widths:?}");
    }
}

/// Near-ties really occur, and few enough of them, less than two of 128 logits a network, that f64 does not carry the load.
#[test]
fn logits_near_zero_are_recounted() {
    let sampler = Sampler::new(relu(&[7, 40, 40, 1], 1.0, 0.0), boolean(7), 3).unwrap();
    let recounted: u64 = (0..8).map(|block| sampler.functions(block, 256).unwrap().recounted).sum();
    assert!(recounted > 0 && recounted < 2 * 8 * 256, "{recounted}");
}

#[test]
fn other_architectures_run_in_f64() {
    let conv = LayerSpec::Conv { channels: 2, kernel: [2, 2], stride: [1, 1], padding: Padding::Same, bias: true };
    let layers = vec![conv, LayerSpec::Relu, LayerSpec::BatchNorm, LayerSpec::Flatten, LayerSpec::Dense { units: 1 }];
    let image = Architecture { input: vec![1, 3, 3], weight_std: 1.0, bias_std: 0.3, layers };
    let tanh = Architecture::fully_connected(&[9, 6, 1], Activation::Tanh, 1.0, 0.3);
    for architecture in [image, tanh] {
        let sampler = Sampler::new(architecture, random_inputs(20, 9), 4).unwrap();
        let mut expected = Counts::new(20);
        for index in 0..200 {
            let logits = sampler.network(index).logits(sampler.inputs().view());
            expected.add(&Function::new(&logits.iter().map(|logit| *logit > 0.0).collect::<Vec<_>>()), 1);
        }
        assert_eq!(table(&counted(&sampler, 200)), table(&expected));
        assert!(expected.function_count() > 20);
    }
}

/// Wide enough for any shortcut, and ReLUs in every place but all of the usual ones.
#[test]
fn chains_with_and_without_relus_are_counted_exactly() {
    for relus in 0..8_u32 {
        let mut layers = Vec::new();
        for (place, units) in [18, 21, 1].into_iter().enumerate() {
            layers.push(LayerSpec::Dense { units });
            if relus >> place & 1 == 1 {
                layers.push(LayerSpec::Relu);
            }
        }
        let chain = Architecture { input: vec![6], weight_std: 1.0, bias_std: 0.3, layers };
        let sampler = Sampler::new(chain, boolean(6), 4).unwrap();
        let mut expected = Counts::new(64);
        for index in 0..300 {
            let logits = sampler.network(index).logits(sampler.inputs().view());
            expected.add(&Function::new(&logits.iter().map(|logit| *logit > 0.0).collect::<Vec<_>>()), 1);
        }
        assert_eq!(table(&counted(&sampler, 300)), table(&expected), "ReLUs {relus:03b}");
    }
}

#[test]
fn threads_do_not_change_the_counts_and_seeds_do() {
    let sample = |seed, threads| {
        let sampler = Sampler::new(relu(&[5, 8, 1], 1.0, 0.5), boolean(5), seed).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| table(&counted(&sampler, 3000)))
    };
    let one = sample(1, 1);
    assert!([2, 3, 8].into_iter().all(|threads| sample(1, threads) == one));
    assert_ne!(sample(2, 2), one);
    assert_eq!(one.iter().map(|(_, count)| count).sum::<u64>(), 3000);
}

/// Probability that `chi^2` of so many degrees of freedom is at least this large.
fn tail(chi_squared: f64, freedom: usize) -> f64 {
    1.0 - ChiSquared::new(freedom as f64).unwrap().cdf(chi_squared)
}

/// `p` of the counts of all functions under probabilities that add to 1.
fn agreement(counts: &Counts, probabilities: &[(Function, f64)]) -> f64 {
    let total: f64 = probabilities.iter().map(|(_, probability)| probability).sum();
    assert!((total - 1.0).abs() < 1e-9, "{total}");
    let possible: Vec<_> = probabilities.iter().filter(|(_, probability)| *probability > 0.0).collect();
    let found: u64 = possible.iter().map(|(function, _)| counts.count(function)).sum();
    if found < counts.network_count() {
        return 0.0;
    }
    let networks = counts.network_count() as f64;
    let term = |(function, probability): &&(Function, f64)| {
        let expected = probability * networks;
        assert!(expected > 5.0, "too few networks for {function}");
        (counts.count(function) as f64 - expected).powi(2) / expected
    };
    tail(possible.iter().map(term).sum(), possible.len() - 1)
}

/// A linear network's logits are exactly normal with covariance `weight_std^2 x x^T / d + bias_std^2`: on up to three
/// inputs all orthants have closed forms. n = 200,000 networks; a correlation off by 0.01 moves the probabilities by
/// `0.01 / (2 pi) = 0.0016`, 4 standard errors each; the planted ones move them by four times as much and more.
#[test]
fn linear_networks_agree_with_closed_orthant_probabilities() {
    let inputs = array![[1.0, 0.5, -0.2], [0.3, -1.0, 0.8], [0.9, 0.7, 0.4]];
    let sampled = |weight_std, bias_std| {
        counted(&Sampler::new(relu(&[3, 1], weight_std, bias_std), inputs.clone(), 6).unwrap(), 200_000)
    };
    let gram = inputs.dot(&inputs.t()) * (1.3 * 1.3 / 3.0) + 0.6 * 0.6;
    let gram = Gram::new(gram).unwrap();
    let exact = prior::find("exact").unwrap();
    let probabilities: Vec<(Function, f64)> = (0..8)
        .map(|number| {
            let labels: Vec<bool> = (0..3).map(|input| number >> input & 1 == 1).collect();
            let values: Vec<f64> = labels.iter().map(|label| f64::from(u8::from(*label))).collect();
            let labels_of_gram = Labels::from_values(&values).unwrap();
            let log_prob = exact.log_prob(&gram, &labels_of_gram, &PriorOptions::default()).unwrap().estimate.value;
            (Function::new(&labels), log_prob.exp())
        })
        .collect();
    let p = agreement(&sampled(1.3, 0.6), &probabilities);
    assert!(p > FALSE_ALARM, "{p}");
    // Seen: a bias or a weight of another size.
    assert!(agreement(&sampled(1.3, 0.66), &probabilities) < FALSE_ALARM);
    assert!(agreement(&sampled(1.18, 0.6), &probabilities) < FALSE_ALARM);
}

/// `p` of a two-sample chi-square test: functions found at least 20 times in both together, the others as one.
fn same_distribution(a: &Counts, b: &Counts) -> f64 {
    let (total_a, total_b) = (a.network_count() as f64, b.network_count() as f64);
    let mut cells: Vec<(f64, f64)> = Vec::new();
    let mut rest = (total_a, total_b);
    for (function, count) in a.ranked() {
        let (count_a, count_b) = (count as f64, b.count(&function) as f64);
        if count_a + count_b >= 20.0 {
            cells.push((count_a, count_b));
            rest = (rest.0 - count_a, rest.1 - count_b);
        }
    }
    if rest.0 + rest.1 >= 20.0 {
        cells.push(rest);
    }
    assert!(cells.len() > 10);
    let scale = (total_b / total_a).sqrt();
    let term = |(a, b): &(f64, f64)| (a * scale - b / scale).powi(2) / (a + b);
    tail(cells.iter().map(term).sum(), cells.len() - 1)
}

/// Sampling, rescaling each network and counting gives the same distribution; scaling without compensation gives
/// another, biases present. n = 40,000 networks as sampled and 4,000 changed ones.
#[test]
fn rescaled_networks_have_the_same_distribution() {
    const NETWORKS: u64 = 40_000;
    let sampler = |seed| Sampler::new(relu(&[3, 6, 1], 1.0, 0.7), boolean(3), seed).unwrap();
    let counts = counted(&sampler(1), NETWORKS);
    let changed = |change: &dyn Fn(&Network) -> Network| {
        let other = sampler(2);
        let mut counts = Counts::new(8);
        for index in 0..NETWORKS / 10 {
            let network = change(&other.network(index * 256));
            counts.add(&plain_function(&network, &[3, 6, 1], other.inputs()), 1);
        }
        counts
    };
    let rescaled = changed(&|network| {
        network.with_theta(LayerAlpha { layer: 0, alpha: 5.9 }.action(network.model()).unwrap().apply(network.theta()))
    });
    let p = same_distribution(&counts, &rescaled);
    assert!(p > FALSE_ALARM, "{p}");
    let halved = changed(&|network| {
        let weight = &network.model().tensors()[2];
        let mut theta = network.theta().to_vec();
        theta[weight.range.clone()].iter_mut().for_each(|value| *value *= 0.5);
        network.with_theta(theta)
    });
    assert!(same_distribution(&counts, &halved) < FALSE_ALARM);
}

#[test]
fn a_bounded_table_is_the_same_for_any_number_of_threads_and_says_what_it_dropped() {
    let sampler = Sampler::new(relu(&[7, 5, 300, 1], 1.0, 0.0), boolean(7), 1).unwrap();
    let bounded = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let options = CountOptions { max_functions: 200, ..CountOptions::new(&sampler) };
            count(&sampler, 3000, &options).unwrap()
        })
    };
    let (one, three, exact) = (bounded(1), bounded(3), counted(&sampler, 3000));
    assert_eq!(table(&one), table(&three));
    assert!(one.function_count() <= 200 && exact.function_count() > 200);
    let dropped = one.dropped();
    assert_eq!(dropped, three.dropped());
    let kept: u64 = one.ranked().map(|(_, count)| count).sum();
    assert_eq!(kept + dropped.networks, 3000);
    for (function, found) in one.ranked() {
        let exact = exact.count(&function);
        assert!(found <= exact && exact <= found + dropped.undercount);
    }
}

/// The published counts of `10^7` networks. Their two most frequent functions lie 1% too high and are left out; of the
/// others every tenth is compared by a two-sided test of two Poisson counts, Bonferroni-corrected; n = 60,000 networks.
#[test]
fn counts_agree_with_the_published_table() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/reference/boolean/counts_1e7_fcn_7_40_40_1_sw1_sb0.txt");
    let text = std::fs::read_to_string(&path);
    if !need("published", text.is_ok(), &format!("there is no {}", path.display())) {
        return;
    }
    let text = text.unwrap();
    let networks = networks(60_000);
    let sampler = Sampler::new(relu(&[7, 40, 40, 1], 1.0, 0.0), boolean(7), 21).unwrap();
    let counts = counted(&sampler, networks);
    let scale = networks as f64 / 1e7;
    let (mut chi_squared, mut cells) = (0.0, 0);
    for (rank, line) in text.lines().enumerate() {
        let (bits, published) = line.split_once(' ').unwrap();
        // Character i is input 127 - i there.
        let function: Function = bits.chars().rev().collect::<String>().parse().unwrap();
        let (found, published) = (counts.count(&function) as f64, published.parse::<f64>().unwrap());
        if rank < 2 {
            // 0.0622 +- 0.0003, and the sampling error of ours at six standard errors.
            let error = 0.0003 + 6.0 * (0.0622 * 0.9378 / networks as f64).sqrt();
            assert!((found / networks as f64 - 0.0622).abs() < error, "{found}");
        } else if published * scale >= 10.0 {
            // Variance of found - scale published, both Poisson.
            chi_squared += (found - scale * published).powi(2) / (scale * published * (1.0 + scale));
            cells += 1;
        }
    }
    assert!(cells >= 20, "{cells}");
    let p = tail(chi_squared, cells);
    assert!(p > FALSE_ALARM, "{chi_squared} on {cells}");
}

#[test]
fn what_cannot_be_sampled_is_refused() {
    let message = |architecture, inputs| Sampler::new(architecture, inputs, 0).unwrap_err().to_string();
    assert!(message(relu(&[3, 4, 2], 1.0, 0.0), boolean(3)).contains("2 logits"));
    assert!(message(relu(&[3, 1], 1.0, 0.0), boolean(4)).contains("16 x 4"));
    assert!(message(relu(&[3, 1], 1.0, 0.0), Array2::zeros((0, 3))).contains("0 x 3"));
    assert!(message(relu(&[2, 1], 1.0, 0.0), array![[0.0, f64::NAN]]).contains("NaN"));
    assert!(message(relu(&[2, 1], f64::NAN, 0.0), boolean(2)).contains("weight_std is NaN"));
    assert!(message(relu(&[2, 1], 1.0, 1e300), boolean(2)).contains("bias_std is 1e300"));
    let deep =
        Sampler::new(relu(&[1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 1], 1e19, 0.0), array![[1.0]], 0)
            .unwrap();
    let options = CountOptions::new(&deep);
    assert!(count(&deep, 100, &options).unwrap_err().to_string().contains("overflow"));
    let none = CountOptions { max_functions: 0, ..options };
    assert!(count(&deep, 100, &none).unwrap_err().to_string().contains("max_functions"));
}
