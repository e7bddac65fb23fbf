//! Settings of the measures.

use crate::description::OptionEntry;
use crate::flatness::FlatnessError;
use crate::flatness::lanczos::Lanczos;
use serde::{Deserialize, Serialize};

/// An ascent of box sharpness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AscentKind {
    /// Projected sign ascent.
    Sign,
    /// Limited-memory quasi-Newton with bounds (Byrd et al. 1995), as in Keskar et al. 2017.
    Lbfgsb,
    /// Stochastic gradient ascent with clipping, as in Zhang et al. 2021.
    Sgd,
}

/// The norm of adaptive sharpness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Norm {
    /// Euclidean.
    #[serde(rename = "2")]
    Two,
    /// Largest entry.
    #[serde(rename = "inf")]
    Infinity,
}

/// How a trace is found where it is no cheap exact sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TraceMethod {
    /// Exactly wherever the network or [`Options::dense_limit`] allow it, else by Hutch++.
    Auto,
    /// Hutchinson 1990.
    Hutchinson,
    /// Hutch++ (Meyer, Musco, Musco and Woodruff 2021).
    #[serde(rename = "hutch++")]
    HutchPlusPlus,
    /// XTrace (Epperly, Tropp and Webber 2024).
    Xtrace,
}

/// What PAC-Bayes noise must not raise by more than the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Criterion {
    /// The loss.
    Loss,
    /// The share of misclassified samples (`bce` and `ce`).
    Error,
}

/// The chain behind the local learning coefficient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Sampler {
    /// Langevin steps with full gradients, accepted or rejected (Roberts and Tweedie 1996): no bias from
    /// the step size, which adapts itself.
    Mala,
    /// Stochastic gradient Langevin dynamics (Welling and Teh 2011) as in Lau et al. 2023: minibatches, a
    /// fixed step, nothing rejected.
    Sgld,
}

/// Settings of the measures; each reads its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, remote = "Self")]
pub struct Options {
    /// Radius of sharpness boxes, relative to `|theta_i| + 1` (Keskar 2017).
    #[serde(alias = "eps")]
    pub box_radius: f64,
    /// Ascents of box sharpness; the best result counts.
    pub ascents: Vec<AscentKind>,
    /// Shift `c` of `log det(H + c I)`, in units of the loss.
    #[serde(alias = "c")]
    pub log_det_shift: f64,
    /// Largest eigenvalues of the Hessian that the log-product multiplies.
    #[serde(alias = "k")]
    pub eigenvalue_count: usize,
    /// Residual `|H v - lambda v|` up to which eigenvalues are sought, relative to `|lambda|`.
    pub tolerance: f64,
    /// Layer of layer-wise measures; the last dense layer unless given.
    pub layer: Option<usize>,
    /// Radius of adaptive sharpness, relative to `|theta_i|`.
    #[serde(alias = "rho")]
    pub adaptive_radius: f64,
    /// Norm of adaptive sharpness.
    #[serde(alias = "p")]
    pub norm: Norm,
    /// How traces are estimated.
    pub trace: TraceMethod,
    /// Operator products a stochastic estimate may spend.
    #[serde(alias = "products")]
    pub product_budget: usize,
    /// Most parameters for which a dense Hessian is formed, or read entry by entry, unasked.
    pub dense_limit: usize,
    /// Rise of the expected loss (or error) that PAC-Bayes noise may cause.
    #[serde(alias = "bound")]
    pub allowed_rise: f64,
    /// What that bound is on.
    pub criterion: Criterion,
    /// Gaussian perturbations of PAC-Bayes measures and local entropy.
    #[serde(alias = "draws")]
    pub perturbation_count: usize,
    /// Precision `gamma` of local entropy's Gaussian.
    #[serde(alias = "gamma")]
    pub entropy_precision: f64,
    /// Inverse temperature; 1 in local entropy and `1 / log n` in the local learning coefficient unless given,
    /// in either case per unit of the objective's scale.
    #[serde(alias = "beta")]
    pub inverse_temperature: Option<f64>,
    /// Chains of the local learning coefficient.
    #[serde(alias = "chains")]
    pub chain_count: usize,
    /// Steps of a chain; the first third is dropped.
    #[serde(alias = "steps")]
    pub chain_length: usize,
    /// Precision of the Gaussian that keeps a chain near the parameters.
    pub localisation: f64,
    /// The chain.
    pub sampler: Sampler,
    /// Step size of SGLD.
    #[serde(alias = "step")]
    pub step_size: f64,
    /// Minibatch of SGLD and of sharpness by SGD.
    #[serde(alias = "batch")]
    pub batch_size: usize,
    /// Epochs of sharpness by SGD.
    pub epochs: usize,
    /// Learning rate of sharpness by SGD.
    #[serde(alias = "rate")]
    pub learning_rate: f64,
    /// Seed of stochastic measures and starting vectors.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            box_radius: 1e-4,
            ascents: vec![AscentKind::Sign, AscentKind::Lbfgsb, AscentKind::Sgd],
            log_det_shift: 1e-3,
            eigenvalue_count: 50,
            tolerance: 1e-10,
            layer: None,
            adaptive_radius: 0.05,
            norm: Norm::Two,
            trace: TraceMethod::Auto,
            product_budget: 256,
            dense_limit: 3000,
            allowed_rise: 0.1,
            criterion: Criterion::Loss,
            perturbation_count: 128,
            entropy_precision: 1e4,
            inverse_temperature: None,
            chain_count: 8,
            chain_length: 450,
            localisation: 100.0,
            sampler: Sampler::Mala,
            step_size: 1e-5,
            batch_size: 32,
            epochs: 100,
            learning_rate: 1e-3,
            seed: 0,
        }
    }
}

/// Names that options had before version 0.1, which are taken wherever options are given, and the names they have now.
pub const FORMER_NAMES: [(&str, &str); 15] = [
    ("eps", "box_radius"),
    ("c", "log_det_shift"),
    ("k", "eigenvalue_count"),
    ("rho", "adaptive_radius"),
    ("p", "norm"),
    ("bound", "allowed_rise"),
    ("draws", "perturbation_count"),
    ("gamma", "entropy_precision"),
    ("beta", "inverse_temperature"),
    ("chains", "chain_count"),
    ("steps", "chain_length"),
    ("step", "step_size"),
    ("batch", "batch_size"),
    ("rate", "learning_rate"),
    ("products", "product_budget"),
];

/// What each option accepts, in the order of [`Options`].
const ACCEPTED: [(&str, &str); 25] = [
    ("box_radius", "a finite number of at least 0"),
    ("ascents", "at least one of sign, lbfgsb, sgd"),
    ("log_det_shift", "a finite number above 0"),
    ("eigenvalue_count", "at least 1, at most the number of parameters"),
    ("tolerance", "a number above 0 and below 1"),
    ("layer", "a layer with weights, counted from 0; none for the last dense layer"),
    ("adaptive_radius", "a finite number of at least 0"),
    ("norm", "2 or inf"),
    ("trace", "auto, hutchinson, hutch++ or xtrace"),
    ("product_budget", "a count"),
    ("dense_limit", "a count"),
    ("allowed_rise", "a finite number above 0, in units of the loss or as a share of errors"),
    ("criterion", "loss or error"),
    ("perturbation_count", "at least 4"),
    ("entropy_precision", "a finite number above 0"),
    ("inverse_temperature", "a finite number above 0; none for 1 (local entropy) or 1 / log n (learning coefficient)"),
    ("chain_count", "at least 2"),
    ("chain_length", "at least 6; the first third is dropped"),
    ("localisation", "a finite number of at least 0"),
    ("sampler", "mala or sgld"),
    ("step_size", "a finite number above 0 (sgld)"),
    ("batch_size", "at least 1"),
    ("epochs", "at least 1"),
    ("learning_rate", "a finite number above 0"),
    ("seed", "a whole number below 2^64"),
];

/// The option called `name` as a description shows it; `None` if there is no such option.
pub fn describe(name: &str) -> Option<OptionEntry> {
    let (name, accepts) = ACCEPTED.iter().find(|(known, _)| *known == name)?;
    let all = serde_json::to_value(Options::default()).expect("options serialise");
    Some(OptionEntry { name, default: all[*name].clone(), accepts })
}

impl Serialize for Options {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

/// Requests carry options under both names; where the two differ, the present one counts.
impl<'de> Deserialize<'de> for Options {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut given = serde_json::Map::<String, serde_json::Value>::deserialize(deserializer)?;
        for (former, name) in FORMER_NAMES {
            if given.contains_key(name) {
                given.remove(former);
            }
        }
        Self::deserialize(serde_json::Value::Object(given)).map_err(serde::de::Error::custom)
    }
}

/// Options that count things which take memory or time each.
const COUNTS: [&str; 7] =
    ["product_budget", "dense_limit", "perturbation_count", "chain_count", "chain_length", "batch_size", "epochs"];
/// Most of them that are taken from text: days of work, and bytes for each that fit into memory.
const MOST_COUNTED: u64 = 10_000_000;

impl Options {
    /// Sets the option called `name` from text, as on a command line: `box_radius` to `1e-3`, `norm` to `inf`, `layer` to
    /// `2`, `ascents` to `sign,sgd`. The names of [`FORMER_NAMES`] are taken too.
    ///
    /// # Errors
    /// [`FlatnessError::Setting`] naming the option, what was given, and what is known or expected.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), FlatnessError> {
        use serde_json::Value;
        let name = FORMER_NAMES.iter().find(|(former, _)| *former == name).map_or(name, |(_, name)| name);
        let mut all = serde_json::to_value(&*self).expect("options serialise");
        let fields = all.as_object_mut().expect("options are a map");
        let Some(current) = fields.get(name) else {
            let known: Vec<&str> = fields.keys().map(String::as_str).collect();
            return Err(FlatnessError::Setting {
                option: name.to_owned(),
                value: text.to_owned(),
                reason: format!("there is no such option; there are {}", known.join(", ")),
            });
        };
        let number = serde_json::from_str(text).ok().filter(Value::is_number);
        if COUNTS.contains(&name) && number.as_ref().and_then(Value::as_u64).is_some_and(|count| count > MOST_COUNTED) {
            return Err(FlatnessError::Setting {
                option: name.to_owned(),
                value: text.to_owned(),
                reason: format!("expected at most {MOST_COUNTED}"),
            });
        }
        let value = match current {
            Value::Array(_) => Value::Array(text.split(',').map(|word| Value::from(word.trim())).collect()),
            Value::String(_) => Value::from(text),
            _ => number.unwrap_or_else(|| Value::from(text)),
        };
        fields.insert(name.to_owned(), value);
        *self = serde_json::from_value(all).map_err(|error| FlatnessError::Setting {
            option: name.to_owned(),
            value: text.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(())
    }

    /// The options as JSON under their names and, for programs written for the former ones, under those of
    /// [`FORMER_NAMES`] too.
    pub fn with_former_names(&self) -> serde_json::Value {
        let mut all = serde_json::to_value(self).expect("options serialise");
        for (former, name) in FORMER_NAMES {
            all[former] = all[name].clone();
        }
        all
    }

    /// The same settings for the loss in units `factor` times smaller: options with the loss' unit
    /// (`log_det_shift`, `allowed_rise`) are multiplied by `factor`, those with its inverse (`inverse_temperature`,
    /// `learning_rate`) divided.
    pub fn at_loss_scale(&self, factor: f64) -> Self {
        let by_loss = if self.criterion == Criterion::Loss { factor } else { 1.0 };
        Self {
            log_det_shift: self.log_det_shift * factor,
            allowed_rise: self.allowed_rise * by_loss,
            inverse_temperature: self.inverse_temperature.map(|beta| beta / factor),
            learning_rate: self.learning_rate / factor,
            ..self.clone()
        }
    }
}

/// `value` if it is finite and at least 0, else an error that names measure and option.
pub(super) fn non_negative(measure: &'static str, option: &'static str, value: f64) -> Result<f64, FlatnessError> {
    checked(measure, option, value, value >= 0.0 && value.is_finite(), "a finite number of at least 0")
}

/// `value` if it is finite and above 0.
pub(super) fn positive(measure: &'static str, option: &'static str, value: f64) -> Result<f64, FlatnessError> {
    checked(measure, option, value, value > 0.0 && value.is_finite(), "a finite number above 0")
}

/// [`Lanczos`] as `options` ask for it.
pub(super) fn lanczos(measure: &'static str, options: &Options) -> Result<Lanczos, FlatnessError> {
    let Options { tolerance, seed, .. } = *options;
    checked(measure, "tolerance", tolerance, tolerance > 0.0 && tolerance < 1.0, "a number above 0 and below 1")?;
    Ok(Lanczos { seed, tolerance, ..Lanczos::default() })
}

/// `value` if it is at least `least`.
pub(super) fn at_least(
    measure: &'static str,
    option: &'static str,
    value: usize,
    least: usize,
    expected: &'static str,
) -> Result<usize, FlatnessError> {
    checked(measure, option, value, value >= least, expected)
}

fn checked<T: std::fmt::Display>(
    measure: &'static str,
    option: &'static str,
    value: T,
    holds: bool,
    expected: &'static str,
) -> Result<T, FlatnessError> {
    if holds { Ok(value) } else { Err(FlatnessError::Option { measure, option, value: value.to_string(), expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_set_by_name_and_survive_json() {
        let mut options = Options::default();
        for (name, text) in [
            ("eps", "1e-3"),
            ("layer", "2"),
            ("p", "inf"),
            ("trace", "hutch++"),
            ("ascents", "sign, sgd"),
            ("beta", "0.5"),
            ("seed", "18446744073709551615"),
        ] {
            options.set(name, text).unwrap();
        }
        let expected = Options {
            box_radius: 1e-3,
            layer: Some(2),
            norm: Norm::Infinity,
            trace: TraceMethod::HutchPlusPlus,
            ascents: vec![AscentKind::Sign, AscentKind::Sgd],
            inverse_temperature: Some(0.5),
            seed: u64::MAX,
            ..Options::default()
        };
        assert_eq!(options, expected);
        let text = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<Options>(&text).unwrap(), options);
        assert_eq!(serde_json::from_str::<Options>("{}").unwrap(), Options::default());
    }

    #[test]
    fn every_option_says_what_it_accepts() {
        let all = serde_json::to_value(Options::default()).unwrap();
        let mut names: Vec<&str> = all.as_object().unwrap().keys().map(String::as_str).collect();
        let mut described = ACCEPTED.map(|(name, _)| name);
        names.sort_unstable();
        described.sort_unstable();
        assert_eq!(names, described);
        assert_eq!(describe("box_radius").unwrap().default, serde_json::json!(1e-4));
        assert_eq!(describe("eps"), None);
    }

    #[test]
    fn former_names_are_taken() {
        for (former, name) in FORMER_NAMES {
            let (mut by_former, mut by_name) = (Options::default(), Options::default());
            let text = if name == "norm" { "inf" } else { "7" };
            by_former.set(former, text).unwrap();
            by_name.set(name, text).unwrap();
            assert_eq!(by_former, by_name);
            assert_ne!(by_name, Options::default(), "{name}");
            let value = &serde_json::to_value(&by_name).unwrap()[name];
            let read: Options = serde_json::from_value(serde_json::json!({ former: value })).unwrap();
            assert_eq!(read, by_name);
            assert_eq!(&by_name.with_former_names()[former], value);
            let both: Options = serde_json::from_value(by_name.with_former_names()).unwrap();
            assert_eq!(both, by_name);
        }
    }

    #[test]
    fn unknown_options_and_values_are_named() {
        let mut options = Options::default();
        for (name, text, word) in [
            ("epsilon", "1", "box_radius"),
            ("box_radius", "wide", "wide"),
            ("trace", "guess", "guess"),
            ("perturbation_count", "-3", "perturbation_count"),
            ("chain_length", "18446744073709551615", "at most"),
            ("chain_count", "9223372036854775808", "at most"),
        ] {
            let error = options.set(name, text).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(word), "{error}");
        }
        assert_eq!(options, Options::default());
        assert!(serde_json::from_str::<Options>(r#"{"epsilon": 1}"#).is_err());
    }
}
