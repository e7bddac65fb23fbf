//! Cases beyond the corpus: generated, shrunk, written as files, and run again from them.

mod common;

use common::tier::by_tier;
use flatgauge::flatness::{self, FlatnessError, Measure, Options, Point, Responses};
use flatgauge::gate::{Content, Context, Corpus, Gate, Report, Tier, Verdict, run_generated};
use flatgauge::numeric::{Estimate, Info};
use flatgauge::prior::{self, Exactness, Gram, Labels, Link, LogProb, LogProbMethod, PriorError, PriorOptions};
use ndarray::{Array2, s};
use std::process::Command;
use std::sync::Mutex;

/// Averages the traces of batches of 5 as if the last were as large as the others: wrong from 6 samples on.
struct UnequalBatches;

impl Measure for UnequalBatches {
    fn id(&self) -> &'static str {
        "hessian_trace"
    }

    fn summary(&self) -> &'static str {
        "mean over batches"
    }

    fn source(&self) -> &'static str {
        "planted"
    }

    fn responses(&self) -> Responses {
        Responses::OF_CURVATURE
    }

    fn evaluate(&self, point: &Point, _: &Options) -> Result<Estimate, FlatnessError> {
        let whole = point.objective();
        let mut traces = Vec::new();
        for start in (0..whole.sample_count()).step_by(5) {
            let rows = s![start..(start + 5).min(whole.sample_count()), ..];
            let (inputs, targets) = (whole.inputs().slice_move(rows), whole.targets().slice_move(rows));
            let part = Point::new(whole.with_data(inputs, targets), point.theta());
            traces.push(part.linearisation.hessian_products(Array2::eye(point.theta().len()).view()).diag().sum());
        }
        Ok(Estimate::deterministic(traces.iter().sum::<f64>() / traces.len() as f64, Info::new()))
    }
}

#[test]
fn a_measure_that_fails_from_six_samples_on_is_shrunk_to_six_samples_of_the_smallest_network() {
    let report = Gate::quick().measure(&UnequalBatches).only("curvature").cases(20).report();
    let found = report.counterexamples.iter().find(|found| found.law == "curvature.definition").unwrap();
    let Content::Network(case) = found.content() else { panic!("{found:?}") };
    let (widths, _) = case.network.model().architecture().as_fully_connected().unwrap();
    assert_eq!((widths, case.inputs.nrows()), (vec![1, 1, 1], 6), "{found:?}");
    assert!(
        case.inputs.iter().all(|x| (10.0 * x - (10.0 * x).round()).abs() <= 64.0 * f64::EPSILON),
        "{}",
        case.inputs
    );
    let covariance = report.counterexamples.iter().find(|found| found.law == "curvature.covariance").unwrap();
    assert!(covariance.smallest.contains("6 samples, alpha 1, weights and inputs of one decimal"), "{covariance:?}");
    // The outcome that people read says it too, and is the only shrunk one of its law.
    let mut told = report.laws.iter().filter(|outcome| outcome.reason.contains("smallest case that fails"));
    assert!(found.explains(told.next().unwrap()) && told.count() == 1);
    assert_eq!(report.counterexamples.len(), 2);
}

/// A loop that ends one point early.
struct LastLeftOut;

impl LogProbMethod for LastLeftOut {
    fn id(&self) -> &'static str {
        "last-left-out"
    }

    fn summary(&self) -> &'static str {
        "one point short"
    }

    fn source(&self) -> &'static str {
        "planted"
    }

    fn links(&self) -> &'static [Link] {
        &[Link::Probit]
    }

    fn exactness(&self) -> Exactness {
        Exactness::Unbiased
    }

    fn log_prob(&self, gram: &Gram, labels: &Labels, options: &PriorOptions) -> Result<LogProb, PriorError> {
        let n = gram.point_count() - 1;
        let part = Gram::new(gram.matrix().slice(s![..n, ..n]).to_owned())?;
        let labels = Labels::from_signs(labels.signs()[..n].iter().map(|sign| *sign > 0));
        prior::find("genz").unwrap().log_prob(&part, &labels, options)
    }
}

#[test]
fn a_method_that_forgets_a_point_is_shrunk_to_two_points() {
    let report = Gate::quick().prior(&LastLeftOut).only("prior.normalisation").cases(3).report();
    let [found] = &report.counterexamples[..] else { panic!("{:?}", report.counterexamples) };
    let Content::Gram(case) = found.content() else { panic!("{found:?}") };
    assert_eq!((case.gram.point_count(), case.labels.signs()), (2, &[1_i8, 1][..]), "{found:?}");
}

fn judged(only: &str, cases: usize) -> Report {
    let context = Context::built_in(Tier::Quick, 5);
    let (outcomes, found) = run_generated(&context, cases, Some(only), "test", true, &|_, _, _| ());
    Report::new(outcomes, 5).with_generated(Vec::new(), found)
}

#[test]
fn the_built_in_estimators_hold_on_generated_cases() {
    for (only, cases, least) in [("function", 30, 20), ("curvature", 12, 200), ("prior.label_flip", 4, 60)] {
        let report = judged(only, cases);
        assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.counterexamples);
        assert!(report.counts.pass >= least, "{only}: {:?}", report.counts);
    }
    assert_eq!(judged("prior.normalisation/auto-step", 8).verdict, Verdict::Pass);
}

/// A method that is asked each question once.
struct Remembering {
    method: &'static dyn LogProbMethod,
    answers: Mutex<Vec<(Gram, Labels, u64, LogProb)>>,
}

impl Remembering {
    fn ask(&self, gram: &Gram, labels: &Labels, options: &PriorOptions) -> Result<LogProb, PriorError> {
        let known = |answers: &[(Gram, Labels, u64, LogProb)]| {
            let same =
                |(of, by, seed, _): &&(Gram, Labels, u64, LogProb)| of == gram && by == labels && *seed == options.seed;
            answers.iter().find(same).map(|(_, _, _, answer)| answer.clone())
        };
        if let Some(answer) = known(&self.answers.lock().unwrap()) {
            return Ok(answer);
        }
        let answer = self.method.log_prob(gram, labels, options)?;
        self.answers.lock().unwrap().push((gram.clone(), labels.clone(), options.seed, answer.clone()));
        Ok(answer)
    }
}

/// A stochastic method with a bias in every probability.
struct Biased<'m> {
    honest: &'m Remembering,
    factor: f64,
}

impl LogProbMethod for Biased<'_> {
    fn id(&self) -> &'static str {
        self.honest.method.id()
    }

    fn summary(&self) -> &'static str {
        "a probability times a factor"
    }

    fn source(&self) -> &'static str {
        "planted"
    }

    fn links(&self) -> &'static [Link] {
        self.honest.method.links()
    }

    fn exactness(&self) -> Exactness {
        self.honest.method.exactness()
    }

    fn log_prob(&self, gram: &Gram, labels: &Labels, options: &PriorOptions) -> Result<LogProb, PriorError> {
        let mut answer = self.honest.ask(gram, labels, options)?;
        answer.estimate.value += self.factor.ln();
        Ok(answer)
    }
}

#[test]
fn the_stated_power_holds_and_no_alarm_is_false() {
    // A bias of the stated size is caught with probability 0.99 each: 55 or fewer of 60 seeds have probability 3e-4, 5 or
    // fewer of 8 5e-5. Without a bias nothing is caught.
    let (seeds, least) = by_tier((8, 6), (60, 56));
    let relative: fn(f64) -> f64 = |bias| 1.0 + bias;
    // Laws whose two sides are drawn apart, and what a bias of one unit of theirs multiplies probabilities by: sums of
    // probabilities are off by the bias itself, log probabilities by its logarithm.
    let laws = [
        ("prior.normalisation", "gram-3-1", relative, &["genz", "smc", "ep_importance", "tilting"][..]),
        ("prior.block_diagonal", "gram-3-1", f64::exp, &["smc", "ep_importance", "tilting"]),
        ("certified.closed_form", "n-5-rho-0.5", f64::exp, &["genz", "smc", "ep_importance"]),
    ];
    for (law, case, factor, methods) in laws {
        for id in methods {
            let (only, method) = (format!("{law}/{id}-step/{case}"), prior::find(id).unwrap());
            let mut caught = 0;
            for seed in 0..seeds {
                let honest = Remembering { method, answers: Mutex::default() };
                let sound = Biased { honest: &honest, factor: 1.0 };
                let sound = Gate::quick().prior(&sound).only(&only).seed(seed).report();
                assert_eq!((sound.verdict, sound.false_alarms.decisions), (Verdict::Pass, 1), "{:?}", sound.laws);
                let bias = sound.laws[0].catches.unwrap();
                assert!(bias > 0.0 && bias < 1.0, "{only}: {bias}");
                let biased = Biased { honest: &honest, factor: factor(bias) };
                let report = Gate::quick().prior(&biased).only(&only).seed(seed).report();
                caught += usize::from(report.verdict == Verdict::Fail);
            }
            assert!(caught >= least, "{only}: {caught} of {seeds}");
        }
    }
}

#[test]
fn calibration_counts_decisions_and_finds_no_false_alarm() {
    let output = Command::new(env!("CARGO_BIN_EXE_flatgauge"))
        .args(["verify", "--calibrate", "2", "--format", "json"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let decisions = document["false_alarms"]["decisions"].as_u64().unwrap();
    assert!(decisions > 100, "{decisions}");
    let sum: u64 = document["rows"].as_array().unwrap().iter().map(|row| row["decisions"].as_u64().unwrap()).sum();
    assert_eq!((sum, document["alarms"].as_array().unwrap().len()), (decisions, 0));
}

#[test]
fn the_recorded_calibration_has_1000_seeds_100000_decisions_and_no_false_alarm() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/calibration/calibration.json");
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(record["seeds"].as_u64().unwrap() >= 1000);
    let decisions = record["false_alarms"]["decisions"].as_u64().unwrap();
    assert!(decisions >= 100_000, "{decisions}");
    assert_eq!(record["alarms"].as_array().unwrap().len(), 0);
    // Under the law whose sides are drawn apart an honest error gives |z| above 3 in 0.0027 of the decisions.
    let rows = record["rows"].as_array().unwrap();
    let apart = rows.iter().filter(|row| row["law"] == "prior.normalisation");
    let (mut all, mut beyond) = (0, 0);
    for row in apart {
        all += row["decisions"].as_u64().unwrap();
        beyond += row["beyond_three"].as_u64().unwrap();
    }
    assert!(all > 1000 && (beyond as f64) < 0.01 * all as f64, "{beyond} of {all}");
}

/// The variables by which a user steers the property tests of their own crate.
#[test]
fn generated_cases_do_not_depend_on_the_environment() {
    let run = |variables: &[(&str, &str)]| {
        let output = Command::new(env!("CARGO_BIN_EXE_flatgauge"))
            .args(["verify", "--format", "json", "--cases", "3", "--seed", "4", "--only", "hessian_trace/generated"])
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{variables:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{variables:?}");
        output.stdout
    };
    let plain = run(&[]);
    assert!(String::from_utf8_lossy(&plain).contains("generated-2"));
    let algorithm: &[_] = &[("PROPTEST_RNG_ALGORITHM", "xs")];
    let others: &[_] = &[
        ("PROPTEST_RNG_SEED", "7"),
        ("PROPTEST_MAX_DEFAULT_SIZE_RANGE", "3"),
        ("PROPTEST_CASES", "1"),
        ("PROPTEST_MAX_SHRINK_ITERS", "0"),
        ("PROPTEST_MAX_LOCAL_REJECTS", "0"),
    ];
    for variables in [algorithm, others] {
        assert!(plain == run(variables), "{variables:?}");
    }
}

#[test]
fn a_case_survives_its_files() {
    let place = tempfile::tempdir().unwrap();
    let corpus = Corpus::built_in();
    let network = &corpus.networks(Tier::Quick, 3).unwrap()[3];
    let gram = &corpus.grams(Tier::Quick, 3).unwrap()[2];
    let read = Corpus::read(&network.save(place.path(), "a test").unwrap()).unwrap();
    let [again] = &read.networks(Tier::Quick, 99).unwrap()[..] else { panic!("one case") };
    assert_eq!(again.network.theta(), network.network.theta());
    assert_eq!((&again.name, again.loss, &again.alphas), (&network.name, network.loss, &network.alphas));
    assert_eq!((&again.inputs, &again.targets), (&network.inputs, &network.targets));
    let read = Corpus::read(&gram.save(place.path(), "a test").unwrap()).unwrap();
    let [again] = &read.grams(Tier::Quick, 99).unwrap()[..] else { panic!("one case") };
    assert_eq!((again.gram.matrix(), again.labels.signs()), (gram.gram.matrix(), gram.labels.signs()));
}

#[test]
fn files_of_cases_are_refused_in_one_sentence_that_names_what_is_wrong() {
    let pair = "given = { matrix = [[1.0, 0.5], [0.5, 1.0]], labels = [1, -1] }";
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("cases.toml");
    for (text, word) in [
        (format!("[[gram]]\nname = \"a\"\ncolour = 1\n{pair}"), "colour"),
        (format!("[[gram]]\nname = \"a\"\n{pair}\n[[gram]]\nname = \"a\"\n{pair}"), "two cases are called 'a'"),
        ("[[gram]]\nname = \"a\"\n".to_owned(), "exactly one of drawn, given and files"),
        (format!("[[gram]]\nname = \"a\"\n{}", pair.replace("[0.5, 1.0]", "[0.5]")), "differ in length"),
        (format!("[[gram]]\nname = \"a\"\n{}", pair.replace("0.5", "7.0")), "gram"),
        (format!("[[gram]]\nname = \"a\"\n{}", pair.replace("[1, -1]", "[1]")), "1 labels for 2 points"),
        ("".to_owned(), "neither"),
        ("[[network]]\nname = \"n\"\nloss = \"bce\"\nalphas = [nan]\n".to_owned(), "alphas has NaN"),
        (
            "[[network]]\nname = \"n\"\nloss = \"bce\"\nalphas = [2.0]\nfiles = { arch = \"fcn:2-2-1\", net = \"gone.safetensors\", data = \"d.npz\" }\n".to_owned(),
            "gone.safetensors",
        ),
    ] {
        std::fs::write(&path, &text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_flatgauge")).args(["verify", "--case"]).arg(&path).output();
        let output = output.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}: {stderr}");
        assert!(stderr.contains("--case") && stderr.contains(word) && stderr.lines().count() == 1, "{text}: {stderr}");
    }
    let network = |loss: &str, drawn: &str| {
        format!(
            "[[network]]\nname = \"n\"\nloss = \"{loss}\"\nalphas = [2.0]\ndrawn = {{ activation = \"relu\", {drawn} }}\n"
        )
    };
    let gram = |drawn: &str| format!("[[gram]]\nname = \"g\"\ndrawn = {{ {drawn} }}\n");
    // Sizes and numbers that cannot be drawn, and losses that do not fit: no panic, no endless allocation, and no failure of
    // the estimators.
    for (text, word) in [
        (gram("points = 4, rank = 3, diagonal = inf"), "diagonal is inf"),
        (gram("points = 4, rank = 3, diagonal = nan"), "diagonal is NaN"),
        (gram("points = 4, rank = 3, diagonal = 0.0"), "diagonal is 0"),
        (gram("points = 4, rank = 3, diagonal = -1.0"), "diagonal is -1"),
        (gram("points = 4, rank = 3, diagonal = 1.7e308"), "diagonal is 17"),
        (gram("points = 4, rank = 3, diagonal = 1e-300"), "diagonal is 0.0"),
        (
            "[[gram]]\nname = \"g\"\ngiven = { matrix = [[1e300, 0.0], [0.0, 1.0]], labels = [1, 1] }".to_owned(),
            "entry (0, 0)",
        ),
        (gram("points = 9223372036854775807, rank = 3, diagonal = 1.0"), "points are 9223372036854775807"),
        (gram("points = 4294967296, rank = 3, diagonal = 1.0"), "points are 4294967296"),
        (gram("points = 1, rank = 3, diagonal = 1.0"), "points are 1"),
        (gram("points = 4, rank = 9223372036854775807, diagonal = 1.0"), "rank is 9223372036854775807"),
        (gram("points = 4, rank = 4294967296, diagonal = 1.0"), "rank is 4294967296"),
        (gram("points = -4, rank = 3, diagonal = 1.0"), "-4"),
        ("[[gram]]\nname = \"g\"\ngiven = { matrix = [[1.0]], labels = [1] }".to_owned(), "1 points"),
        ("[[gram]]\nname = \"g\"\ngiven = { matrix = [], labels = [] }".to_owned(), "gram"),
        ("[[gram]]\nname = \"g\"\ngiven = { matrix = [[inf, 0.0], [0.0, 1.0]], labels = [1, 1] }".to_owned(), "gram"),
        ("[[gram]]\nname = \"g\\u001b\"\ngiven = { matrix = [[1.0]], labels = [1] }".to_owned(), "control characters"),
        (network("ce", "widths = [2, 2, 1], samples = 4"), "at least 2 for ce"),
        (network("bce", "widths = [2, 2, 3], samples = 4"), "1 for bce"),
        (network("bce", "widths = [2, 9223372036854775807, 1], samples = 4"), "9223372036854775807"),
        (network("bce", "widths = [4294967296, 4294967296, 1], samples = 4"), "4294967296"),
        (network("bce", "widths = [1048576, 3, 1], samples = 4"), "1048576"),
        (network("bce", "widths = [2, 0, 1], samples = 4"), "widths"),
        (network("bce", "widths = [2], samples = 4"), "widths"),
        (network("bce", "widths = [2, 2, 1], samples = 0"), "samples are 0"),
        (network("bce", "widths = [2, 2, 1], samples = 9223372036854775807"), "samples are 9223372036854775807"),
        (network("bce", "widths = [2, 2, 1], samples = 4294967296"), "samples are 4294967296"),
    ] {
        std::fs::write(&path, &text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_flatgauge")).args(["verify", "--case"]).arg(&path).output();
        let output = output.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}: {stderr}");
        assert!(stderr.contains("--case") && stderr.contains(word) && stderr.lines().count() == 1, "{text}: {stderr}");
        assert!(!stderr.contains('\u{1b}') && output.stdout.is_empty(), "{stderr:?}");
    }
    #[cfg(unix)]
    for endless in ["/dev/zero", "/dev/urandom"] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_flatgauge")).args(["verify", "--case", endless]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{endless}");
    }
    for many in ["100001", "18446744073709551615"] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_flatgauge")).args(["verify", "--only", "x", "--cases", many]).output();
        let output = output.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("--cases") && stderr.lines().count() == 1, "{stderr}");
    }
    std::fs::write(&path, format!("[[gram]]\nname = \"a\"\n{pair}")).unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_flatgauge")).args(["verify", "--only", "exact", "--case"]).arg(&path).output();
    assert_eq!(output.unwrap().status.code(), Some(0));
}

#[test]
fn the_corpus_has_the_built_in_definition_of_every_measure() {
    // A measure without a case of its own kind would pass unseen.
    let corpus = Corpus::built_in();
    let networks = corpus.networks(Tier::Full, 0).unwrap();
    assert_eq!((networks.len(), corpus.grams(Tier::Full, 0).unwrap().len()), (56, 20));
    assert_eq!((corpus.networks(Tier::Quick, 0).unwrap().len(), corpus.grams(Tier::Quick, 0).unwrap().len()), (26, 8));
    for measure in flatness::registry() {
        let applies = networks.iter().any(|case| {
            let point = Point::new(case.objective(), case.network.theta());
            let cheap = Options {
                perturbation_count: 2,
                chain_count: 2,
                chain_length: 6,
                log_det_shift: 50.0,
                eigenvalue_count: 1,
                ..Options::default()
            };
            !matches!(measure.evaluate(&point, &cheap), Err(FlatnessError::NotApplicable { .. }))
        });
        assert!(applies, "{}", measure.id());
    }
}
