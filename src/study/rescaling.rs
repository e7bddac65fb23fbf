//! Every flatness measure against the factor of a layer, beside what it is predicted to be; log P(f) beside them.

use crate::flatness::{Options, Point, Response};
use crate::model::Loss;
use crate::numeric::tolerance::CURVATURE_AGREEMENT;
use crate::study::claims::equal;
use crate::study::measured::Choices;
use crate::study::networks::{Trained, population};
use crate::study::reading::Number;
use crate::study::rescaled::rescaling;
use crate::study::{
    Axis, Defaults, Figure, Findings, Panel, Progress, Request, Series, Setting, Study, StudyError, Style, Table,
    Workspace, real,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Largest over smallest value from which a measure is said to have been changed.
const LEAST_RANGE: f64 = 2.0;
/// Decades of alpha on each side of 1.
const DECADES: i32 = 3;
/// Stochastic measures agree with their predictions if they differ by no more than this many standard errors; of
/// some hundred pairs, honest ones exceed it in one of 10^7.
const Z: f64 = 6.0;

/// Registry entry.
pub(super) struct RescalingStudy;

/// One quantity at one factor.
#[derive(Serialize, Deserialize)]
struct Reading {
    quantity: String,
    alpha: f64,
    measured: Option<Number>,
    predicted: Option<Number>,
    skipped: Option<String>,
}

impl Study for RescalingStudy {
    fn id(&self) -> &'static str {
        "rescaling"
    }

    fn summary(&self) -> &'static str {
        "every flatness measure against alpha over six decades, with the predicted curve; log P(f) stays"
    }

    fn source(&self) -> &'static str {
        "Zhang et al. 2021, section 5; Dinh et al. 2017"
    }

    fn run(&self, request: &Request, workspace: &Workspace) -> Result<Findings, StudyError> {
        let train = request.quick.then_some(200);
        let defaults = Defaults { seeds: 1, train, attacks: 1, optimizers: &["sgd"] };
        let setting = Setting::resolve(request, &defaults)?;
        let choices = Choices::new(request, request.quick.then_some(&QUICK_MEASURES))?;
        let points_per_decade = if request.quick { 1 } else { 2 };
        let steps = DECADES * points_per_decade;
        let alphas: Vec<f64> =
            (-steps..=steps).map(|step| 10_f64.powf(f64::from(step) / f64::from(points_per_decade))).collect();
        let job = setting.training(&setting.optimizers[0], setting.attacks[0], setting.seeds[0]);
        let population = population(&[job], setting.kernel, workspace)?;
        let trained = population.networks.first().ok_or_else(|| StudyError::Untrained {
            trained: 0,
            wanted: 1,
            least: 1,
            reason: population.left_out.join("; "),
        })?;
        let readings = over_alpha(trained, &alphas, &choices, workspace)?;
        let mut findings = Findings::new(self.id(), setting.sentence(), &setting.seeds[..1]);
        findings.record("alphas", &alphas);
        findings.record("readings", readings.iter().map(Reading::json).collect::<Vec<_>>());
        judge(&mut findings, &choices, &readings);
        let skipped: BTreeMap<&str, &str> =
            readings.iter().filter_map(|one| Some((one.quantity.as_str(), one.skipped.as_deref()?))).collect();
        findings.notes.extend(skipped.into_iter().map(|(quantity, reason)| format!("{quantity}: {reason}")));
        findings.tables.push(table(&readings));
        findings.figures.push(figure(&choices, &readings));
        Ok(findings)
    }
}

/// Measures whose prediction is cheap.
const QUICK_MEASURES: [&str; 9] = [
    "keskar_sharpness",
    "hessian_trace",
    "hessian_max_eigenvalue",
    "layer_normalised_trace",
    "filter_weighted_trace",
    "relative_flatness",
    "fisher_rao",
    "path_norm",
    "parameter_norm",
];

impl Reading {
    fn json(&self) -> serde_json::Value {
        let number = |number: Option<Number>| real(number.map(|number| number.real()));
        json!({
            "quantity": self.quantity,
            "alpha": self.alpha,
            "measured": number(self.measured),
            "predicted": number(self.predicted),
            "std_error": real(self.measured.and_then(|number| number.std_error)),
        })
    }

    /// Whether measured and predicted agree; `None` if one of them is missing.
    fn agrees(&self) -> Option<bool> {
        let (measured, predicted) = (self.measured?, self.predicted?);
        let error = measured.std_error.unwrap_or(0.0).hypot(predicted.std_error.unwrap_or(0.0));
        let tolerance = CURVATURE_AGREEMENT * predicted.real().abs() + Z * error;
        Some((measured.real() - predicted.real()).abs() <= tolerance)
    }
}

fn over_alpha(
    trained: &Trained,
    alphas: &[f64],
    choices: &Choices,
    workspace: &Workspace,
) -> Result<Vec<Reading>, StudyError> {
    let clean = &trained.ground.clean;
    let fault = |reason: String| StudyError::Network { network: trained.name.clone(), reason };
    let (inputs, targets) = (clean.inputs.view(), clean.targets.view());
    let before = Point::of(&trained.network, Loss::Bce, inputs, targets)?;
    let done = AtomicUsize::new(0);
    let all: Result<Vec<Vec<Reading>>, StudyError> = alphas
        .par_iter()
        .map(|&alpha| {
            let key = json!({ "settings": trained.settings, "kernel": trained.ground.kernel, "alpha": alpha,
                "names": choices.names(), "options": choices.options });
            let readings = workspace.cache.get(&format!("alpha-{alpha:.6e}"), &key, || {
                let map = rescaling(&trained.network.model, alpha)?;
                let action = map.action(&trained.network.model)?;
                let rescaled = map.apply(&trained.network)?;
                let after = Point::of(&rescaled, Loss::Bce, inputs, targets)?;
                let options: &Options = &choices.options;
                let mut readings = Vec::new();
                for measure in &choices.measures {
                    let measured = measure.evaluate(&after, options);
                    let predicted = match measure.responses().layer_scaling {
                        // Batch norms keep the function up to their epsilon, and no measure to rounding.
                        _ if !map.is_exact() => None,
                        // What is invariant is predicted to stay.
                        Response::Invariant => Some(measure.evaluate(&before, options)),
                        _ => measure.predict(&before, &action, options),
                    };
                    readings.push(Reading {
                        quantity: measure.id().to_owned(),
                        alpha,
                        skipped: measured.as_ref().err().map(ToString::to_string),
                        measured: measured.ok().as_ref().map(Number::from),
                        predicted: predicted.and_then(Result::ok).as_ref().map(Number::from),
                    });
                }
                for reading in &choices.readings {
                    let of = |network| trained.ground.read(reading, &trained.labels(network));
                    readings.push(Reading {
                        quantity: reading.name.to_owned(),
                        alpha,
                        measured: Some(of(&rescaled).map_err(|error| fault(error.to_string()))?),
                        predicted: Some(of(&trained.network).map_err(|error| fault(error.to_string()))?),
                        skipped: None,
                    });
                }
                Ok(readings)
            })?;
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            (workspace.progress)(Progress { phase: "measuring", done, total: alphas.len() });
            Ok(readings)
        })
        .collect();
    Ok(all?.into_iter().flatten().collect())
}

/// Largest over smallest measured value.
fn range(readings: &[Reading], quantity: &str) -> Option<f64> {
    let values: Vec<f64> = (readings.iter().filter(|one| one.quantity == quantity))
        .filter_map(|one| one.measured.map(|number| number.real()))
        .collect();
    let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (v.min(l), v.max(h)));
    (low > 0.0 && low.is_finite()).then(|| high / low)
}

fn judge(findings: &mut Findings, choices: &Choices, readings: &[Reading]) {
    let compared: Vec<(&Reading, bool)> = readings.iter().filter_map(|one| Some((one, one.agrees()?))).collect();
    let of_measures: Vec<&(&Reading, bool)> = compared
        .iter()
        .filter(|(one, _)| choices.measures.iter().any(|measure| measure.id() == one.quantity))
        .collect();
    let wrong: Vec<String> = of_measures
        .iter()
        .filter(|(_, agrees)| !agrees)
        .map(|(one, _)| format!("{} at alpha {:.3e}", one.quantity, one.alpha))
        .collect();
    let ranges: Vec<(&str, f64)> = choices
        .measures
        .iter()
        .filter(|measure| measure.responses().layer_scaling == Response::Changes)
        .filter_map(|measure| Some((measure.id(), range(readings, measure.id())?)))
        .collect();
    let least = ranges.iter().map(|(_, range)| *range).fold(f64::INFINITY, f64::min);
    let listed: Vec<String> = ranges.iter().map(|(id, range)| format!("{id} {range:.1e}")).collect();
    findings.claim(
        "Flatness can be changed at will without changing the function: rescaling a layer moves it.",
        vec![equal("1 / (smallest range)", 1.0 / least, 1.0 / LEAST_RANGE, ranges.len())],
        format!(
            "Largest over smallest value over six decades of alpha: {}. Measures made to be invariant stay.",
            listed.join(", ")
        ),
    );
    findings.claim(
        "How much it moves is predicted by the network before rescaling.",
        vec![equal("values that differ from their prediction", wrong.len() as f64, 0.0, of_measures.len())],
        format!(
            "{} of {} measured values agree with their predictions to {CURVATURE_AGREEMENT:.0e} of their size, or to {Z} \
             standard errors where they are stochastic.{}",
            of_measures.len() - wrong.len(),
            of_measures.len(),
            if wrong.is_empty() { String::new() } else { format!(" Not so: {}.", wrong.join(", ")) }
        ),
    );
    let moves: Vec<f64> = readings
        .iter()
        .filter(|one| choices.readings.iter().any(|reading| reading.name == one.quantity))
        .filter_map(|one| {
            let (measured, predicted) = (one.measured?.real(), one.predicted?.real());
            Some(if measured == predicted { 0.0 } else { (measured - predicted).abs() })
        })
        .collect();
    let moved = moves.iter().copied().fold(0.0, f64::max);
    findings.claim(
        "log P(f) does not move.",
        vec![equal("largest move of log P(f) (nats)", moved, 0.0, moves.len())],
        format!("Recomputed from the rescaled networks' own labels, log P(f) moves by at most {moved} nats."),
    );
}

fn table(readings: &[Reading]) -> Table {
    let mut table = Table::new(
        "rescaling",
        "Every quantity at every factor",
        &["quantity", "alpha", "measured", "predicted", "std_error", "agrees"],
    );
    table.on_page = false;
    for one in readings {
        table.row(vec![
            (&one.quantity).into(),
            one.alpha.into(),
            one.measured.map(|number| number.real()).into(),
            one.predicted.map(|number| number.real()).into(),
            one.measured.and_then(|number| number.std_error).into(),
            one.agrees().map_or("", |agrees| if agrees { "yes" } else { "no" }).into(),
        ]);
    }
    table
}

fn figure(choices: &Choices, readings: &[Reading]) -> Figure {
    let panel = |quantity: &str, label: &str, log: bool| {
        let of = |value: fn(&Reading) -> Option<Number>| -> Vec<(f64, f64)> {
            let own = readings.iter().filter(|one| one.quantity == quantity);
            own.filter_map(|one| Some((one.alpha, value(one)?.real()))).collect()
        };
        Panel {
            title: label.to_owned(),
            x: Axis::log("alpha"),
            y: if log { Axis::log("value") } else { Axis::linear("value (nats)") },
            series: vec![
                Series { name: "predicted".to_owned(), points: of(|one| one.predicted), style: Style::Line, colour: 1 },
                Series { name: "measured".to_owned(), points: of(|one| one.measured), style: Style::Marks, colour: 0 },
            ],
        }
    };
    let mut panels: Vec<Panel> = (choices.measures.iter())
        .filter(|measure| range(readings, measure.id()).is_some())
        .map(|measure| panel(measure.id(), &measure.id().replace('_', " "), true))
        .collect();
    panels.push(panel("log_prob_ep_step", "log P(f), EP step", false));
    Figure {
        name: "rescaling".to_owned(),
        caption: "Every measure against the factor alpha of the first layer. Marks: measured on the rescaled network. \
                  Lines: predicted from the network before rescaling."
            .to_owned(),
        panels,
        columns: 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Verdict::{Fails, Holds, Undecided};
    use crate::study::claims::planted::verdict_of;

    /// tr H = 1 / alpha^2 as predicted, off by `off` at one factor, with a range of `range` decades; log P(f) moved.
    fn found(factors: usize, range: f64, off: f64, moved: f64) -> Findings {
        let request = Request { measures: Some(vec!["hessian_trace".to_owned()]), ..Request::default() };
        let choices = Choices::new(&request, None).unwrap();
        let number = |value: f64| Some(Number { value: Some(value), std_error: None });
        let readings: Vec<Reading> = (0..factors)
            .flat_map(|index| {
                let alpha = 10_f64.powf(range * index as f64);
                let trace = alpha.powi(-2);
                let of = |quantity: &str, measured: f64, predicted: f64| Reading {
                    quantity: quantity.to_owned(),
                    alpha,
                    measured: number(measured),
                    predicted: number(predicted),
                    skipped: None,
                };
                let off = if index == 1 { off } else { 0.0 };
                [of("hessian_trace", trace * (1.0 + off), trace), of("log_prob_ep_step", -9.0 + moved, -9.0)]
            })
            .collect();
        let mut findings = Findings::new("rescaling", String::new(), &[0]);
        judge(&mut findings, &choices, &readings);
        findings
    }

    #[test]
    fn claims_hold_fail_or_stay_open() {
        let (law, none) = (found(4, 1.0, 0.0, 0.0), found(0, 1.0, 0.0, 0.0));
        for (claim, against) in [
            ("Flatness can be changed", found(4, 0.0, 0.0, 0.0)),
            ("How much it moves", found(4, 1.0, 0.01, 0.0)),
            ("log P(f) does not move", found(4, 1.0, 0.0, 1e-9)),
        ] {
            let verdicts = [&law, &against, &none].map(|findings| verdict_of(findings, claim));
            assert_eq!(verdicts, [Holds, Fails, Undecided], "{claim}");
        }
    }
}
