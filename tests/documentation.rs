//! The pages of `docs/` say what the registries say, every measure and method describes itself, and the words are the field's.

mod common;

use common::cli::{flatgauge, json, refusal, text};
use flatgauge::description::references;
use flatgauge::flatness::{self, FlatnessError, Measure, Options, Point};
use flatgauge::model::{Activation, Architecture, Loss, Model, Network, Objective};
use flatgauge::numeric::Streams;
use flatgauge::report::reference;
use flatgauge::{gate, prior};
use ndarray::Array2;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn pages_are_what_the_registries_say() {
    for (name, list, written) in
        [("docs/laws.md", "laws", reference::laws_page()), ("docs/measures.md", "measures", reference::measures_page())]
    {
        let remake = format!("remake it: flatgauge list {list} --format markdown > {name}");
        assert!(page(name) == written, "{name} is not what the registry says; {remake}");
        assert_eq!(text(&flatgauge(&["list", list, "--format", "markdown"]).stdout), written);
    }
    let methods = page("docs/methods.md");
    let part = methods.split("<!-- flatgauge list priors --format markdown -->\n\n").nth(1).expect("a marked part");
    let part = part.split("\n<!-- end -->").next().unwrap();
    assert!(
        part == reference::methods_page(),
        "put what `flatgauge list priors --format markdown` prints into docs/methods.md"
    );
    assert_eq!(text(&flatgauge(&["list", "priors", "--format", "markdown"]).stdout), part);
}

#[test]
fn everything_registered_describes_itself() {
    for measure in flatness::registry() {
        let described = reference::measure(*measure).unwrap_or_else(|| panic!("{} has no description", measure.id()));
        let description = measure.description().unwrap();
        assert_eq!(described.options.len(), description.options.len(), "{}: an option that is not there", measure.id());
        assert!(!described.sources.is_empty(), "{}", measure.id());
    }
    for method in prior::registry() {
        let described = reference::method(*method).unwrap_or_else(|| panic!("{} has no description", method.id()));
        assert_eq!(described.options.len(), method.description().unwrap().options.len(), "{}", method.id());
        assert_eq!(described.options[0].default, method.links()[0].to_string().as_str(), "{}", method.id());
    }
    let all = flatness::registry().iter().filter_map(|m| reference::measure(*m));
    for described in all.chain(prior::registry().iter().filter_map(|m| reference::method(*m))) {
        for (what, said) in [
            ("formula", described.formula),
            ("notes", described.notes),
            ("unit", described.unit),
            ("cost", described.cost),
            ("refuses", described.refuses),
            ("use_for", described.use_for),
            ("not_for", described.not_for),
        ] {
            assert!(!said.is_empty() && said.trim() == said, "{}: {what}", described.id);
            // A table's cells have no bars.
            let in_table = ["cost", "use_for", "not_for"].contains(&what);
            assert!(!(in_table && said.contains('|')), "{}: {what}", described.id);
        }
    }
    for law in gate::registry() {
        assert!(!law.formula().is_empty() && !law.catches().is_empty() && !law.tolerance().is_empty(), "{}", law.id());
    }
}

/// The short source of lists and the full one name the same years.
#[test]
fn sources_agree() {
    let measures = flatness::registry().iter().map(|m| (m.id(), m.source(), m.description().unwrap().sources));
    let methods = prior::registry().iter().map(|m| (m.id(), m.source(), m.description().unwrap().sources));
    for (id, short, sources) in measures.chain(methods) {
        let years: Vec<&str> = short.split(|c: char| !c.is_ascii_digit()).filter(|word| word.len() == 4).collect();
        for year in years {
            assert!(sources.iter().any(|source| source.year.to_string() == year), "{id}: {short}");
        }
    }
    let used = |reference: &flatgauge::description::Reference| {
        let measures = flatness::registry().iter().map(|m| m.description().unwrap().sources);
        let methods = prior::registry().iter().map(|m| m.description().unwrap().sources);
        let mut all = measures.chain(methods).chain(gate::registry().iter().map(|law| law.sources()));
        all.any(|sources| sources.contains(reference))
    };
    for reference in references::ALL {
        assert!(used(reference), "nothing comes from {reference}");
    }
}

#[test]
fn entries_are_described_by_either_spelling() {
    for (list, id, words) in [
        ("measures", "fisher-rao", ["F = G / 2 for mse", "arXiv:1711.01530", "MSELoss"]),
        ("measures", "hessian_log_det", ["log_det_shift` = 0.001", "docs/protocol.md", "nats"]),
        ("priors", "ep_sequential", ["1301.2294", "max_seconds", "not the true value"]),
        ("laws", "prior.scale", ["log P(c K) = log P(K)", "1e-8", "catches"]),
    ] {
        let shown = text(&flatgauge(&["list", list, "--describe", id]).stdout);
        for word in words {
            assert!(shown.contains(word), "{id}: {word} is missing from\n{shown}");
        }
        let document = json(&flatgauge(&["list", list, "--describe", id, "--format", "json"]));
        assert_eq!(document["id"].as_str().unwrap(), id.replace('-', "_"));
    }
    assert!(refusal(&["list", "measures", "--describe", "trace"]).contains("there is no measure 'trace'"));
    assert!(refusal(&["list", "data", "--describe", "digits"]).contains("--describe"));
    assert!(refusal(&["list", "data", "--format", "markdown"]).contains("--format markdown"));
}

/// Another value of every option, and a second one where the first may be its effective default.
fn others() -> Vec<(&'static str, Vec<Value>)> {
    vec![
        ("box_radius", vec![json!(0.02)]),
        ("ascents", vec![json!(["sgd"])]),
        ("log_det_shift", vec![json!(20.0)]),
        ("eigenvalue_count", vec![json!(2)]),
        ("tolerance", vec![json!(0.5)]),
        ("layer", vec![json!(0)]),
        ("adaptive_radius", vec![json!(0.1)]),
        ("norm", vec![json!("inf")]),
        ("trace", vec![json!("hutchinson")]),
        ("product_budget", vec![json!(10), json!(640)]),
        ("dense_limit", vec![json!(0), json!(3000)]),
        ("allowed_rise", vec![json!(0.2)]),
        ("criterion", vec![json!("error")]),
        ("perturbation_count", vec![json!(8)]),
        ("entropy_precision", vec![json!(100.0)]),
        ("inverse_temperature", vec![json!(2.0)]),
        ("chain_count", vec![json!(3)]),
        ("chain_length", vec![json!(12)]),
        ("localisation", vec![json!(7.0)]),
        ("sampler", vec![json!("sgld"), json!("mala")]),
        ("step_size", vec![json!(1e-3)]),
        ("batch_size", vec![json!(5)]),
        ("epochs", vec![json!(2)]),
        ("learning_rate", vec![json!(0.5)]),
        ("seed", vec![json!(9)]),
    ]
}

/// A measure reads the options that its description lists, each has an effect somewhere, and no other.
#[test]
fn measures_read_the_options_they_list() {
    let options = |changes: &[(&str, Value)]| -> Options {
        let mut all = serde_json::to_value(Options::default()).unwrap();
        changes.iter().for_each(|(name, value)| all[*name] = value.clone());
        serde_json::from_value(all).unwrap()
    };
    // One eigenvalue, short chains and a large shift, so that every measure applies to a small random network.
    let plain = [
        ("eigenvalue_count", json!(1)),
        ("log_det_shift", json!(10.0)),
        ("chain_length", json!(9)),
        ("chain_count", json!(2)),
        ("epochs", json!(1)),
    ];
    let with = |more: &[(&'static str, Value)]| [&plain[..], more].concat();
    let bases = [
        with(&[]),
        with(&[("dense_limit", json!(0)), ("product_budget", json!(40))]),
        with(&[("dense_limit", json!(0)), ("trace", json!("hutchinson")), ("product_budget", json!(40))]),
        with(&[("sampler", json!("sgld"))]),
        with(&[("eigenvalue_count", json!(2))]),
    ];
    let mut listed_without_effect = Vec::new();
    for measure in flatness::registry() {
        let listed = measure.description().unwrap().options;
        // The last bases are for what the first two do not reach.
        let reached = |index: usize| index < 2 || listed.contains(&["trace", "sampler", "eigenvalue_count"][index - 2]);
        let bases = bases.iter().enumerate().filter(|(index, _)| reached(*index)).map(|(_, base)| base);
        let mut effects = std::collections::BTreeSet::new();
        for base in bases {
            let before = outcome(*measure, &options(base));
            for (name, values) in others() {
                let changed = |value: &Value| {
                    before != outcome(*measure, &options(&[&base[..], &[(name, value.clone())]].concat()))
                };
                if !effects.contains(name) && values.iter().any(changed) {
                    effects.insert(name);
                }
            }
        }
        for name in &effects {
            assert!(listed.contains(name), "{} reads {name} and does not say so", measure.id());
        }
        let idle = listed.iter().filter(|name| !effects.contains(**name));
        listed_without_effect.extend(idle.map(|name| format!("{} {name}", measure.id())));
    }
    assert!(listed_without_effect.is_empty(), "{}", listed_without_effect.join(", "));
}

/// What a measure says of a small tanh network, in words that any change shows in.
fn outcome(measure: &dyn Measure, options: &Options) -> String {
    let architecture = Architecture::fully_connected(&[3, 4, 2, 1], Activation::Tanh, 1.4, 0.5);
    let network = Network::sample(Arc::new(Model::new(architecture).unwrap()), Streams::new(3));
    let inputs = Array2::from_shape_fn((12, 3), |(i, j)| ((7 * i + 3 * j) % 11) as f64 / 5.0 - 1.0);
    let targets = Array2::from_shape_fn((12, 1), |(i, _)| f64::from(u8::from(i % 3 == 0)));
    let objective = Objective::new(&network, Loss::Bce, inputs.view(), targets.view()).unwrap();
    let answer: Result<_, FlatnessError> = measure.evaluate(&Point::new(objective, network.theta()), options);
    match answer {
        Ok(estimate) => format!("{estimate:?}"),
        Err(error) => error.to_string(),
    }
}

/// Words that CONTRIBUTING.md advises against: those in backticks in its table.
fn avoided() -> Vec<String> {
    let contributing = page("CONTRIBUTING.md");
    let rows = contributing.split("| not | but |").nth(1).expect("the table of words").lines();
    let rows = rows.take_while(|line| line.is_empty() || line.starts_with('|'));
    rows.filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let split = lower.split(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '_')).filter(|word| !word.is_empty());
    split.map(str::to_owned).collect()
}

/// What is wrong with a text: an avoided word, or "a X a Y" for "one X per Y".
fn complaints(text: &str, avoided: &[String]) -> Vec<String> {
    const COUNTED: &str = "check column core error file line network object pass point product row rounding step";
    const PER: &str = "case column coordinate core entry group input iteration law layer loader logit map measure method \
                       network optimiser particle pass point probe product row run sample seed step study subcommand sweep unit";
    let text = words(text);
    let mut found = Vec::new();
    for phrase in avoided {
        let phrase = words(phrase);
        if text.windows(phrase.len()).any(|window| window == phrase) {
            found.push(phrase.join(" "));
        }
    }
    for three in text.windows(3) {
        let is_of =
            |list: &str, word: &str| list.split_whitespace().any(|known| known == word || format!("{known}s") == word);
        if is_of(COUNTED, &three[0]) && ["a", "an"].contains(&three[1].as_str()) && is_of(PER, &three[2]) {
            found.push(three.join(" "));
        }
    }
    found
}

#[test]
fn docs_and_help_use_the_words_of_the_field() {
    let avoided = avoided();
    assert!(avoided.len() >= 8, "{avoided:?}");
    for (text, wrong) in [("one file a measure", true), ("so many networks", true), ("a row of a matrix", false)] {
        assert_eq!(!complaints(text, &avoided).is_empty(), wrong, "{text}");
    }
    let mut texts: Vec<(String, String)> = Vec::new();
    for name in ["README.md", "CONTRIBUTING.md"] {
        texts.push((name.to_owned(), page(name)));
    }
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).unwrap() {
        let path = entry.unwrap().path();
        texts.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
    }
    let help = text(&flatgauge(&["--help"]).stdout);
    let subcommands: Vec<&str> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| *word != "help")
        .collect();
    assert!(subcommands.len() >= 10 && subcommands.contains(&"verify"), "{subcommands:?}");
    for name in &subcommands {
        texts.push((format!("flatgauge help {name}"), text(&flatgauge(&["help", name]).stdout)));
    }
    texts.push(("flatgauge --help".to_owned(), help.clone()));
    let mut wrong = Vec::new();
    for (name, text) in &texts {
        // CONTRIBUTING's own table of words, and the sentence before it, name what to avoid.
        let text = match text.split_once("## Words") {
            Some((before, after)) => before.to_owned() + after.split_once("\n## ").map_or("", |(_, rest)| rest),
            None => text.clone(),
        };
        wrong.extend(complaints(&text, &avoided).into_iter().map(|complaint| format!("{name}: {complaint}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What CI relies on to see skips.
#[test]
fn what_is_required_and_missing_is_a_failure() {
    use common::need::decide;
    assert_eq!(decide("python", true, "", "python, mpi"), Ok(()));
    assert_eq!(decide("python", false, "of a test: this line is to be seen", "mpi"), Ok(()));
    assert!(decide("python", false, "there is none", "mpi, python").unwrap_err().contains("there is none"));
    // A misspelt name would require nothing.
    assert!(decide("python", true, "", "pyhton").unwrap_err().contains("there are python, mpi"));
}
