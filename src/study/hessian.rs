//! Measures of the Hessian against generalisation, sharpness and log P(f), and its spectrum.

use crate::flatness::{self, Options, Point};
use crate::model::Loss;
use crate::numeric::InfoValue;
use crate::study::claims::{correlated_in_sign, stronger_than};
use crate::study::flatter::flatness_against_log_prob;
use crate::study::measured::{Choices, measure_all};
use crate::study::networks::{Trained, population};
use crate::study::predictors::{
    ACCURACY, Row, SHARPNESS, SHARPNESS_SGD, axis, cloud, coefficients, networks_table, predictors, skipped, titled,
};
use crate::study::{
    Axis, Defaults, Figure, Findings, Measured, Panel, Request, Series, Setting, Study, StudyError, Style, Table, Test,
    Workspace, ascents,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Sharpness, measures of curvature, and those made from it.
const MEASURES: [&str; 11] = [
    "keskar_sharpness",
    "keskar_sharpness_sgd",
    "hessian_trace",
    "hessian_max_eigenvalue",
    "hessian_spectral_norm",
    "hessian_frobenius",
    "hessian_log_product",
    "spectral_density",
    "layer_normalised_trace",
    "filter_weighted_trace",
    "fisher_rao",
];
/// Those that are compared with sharpness: the norms of the paper's appendix (recalled, not confirmed), and the log-product
/// of Wu, Zhu and E 2017.
const COMPARED: [&str; 4] =
    ["log10_hessian_trace", "log10_hessian_spectral_norm", "log10_hessian_frobenius", "hessian_log_product"];
/// What networks are grouped by.
const KIND: &str = "optimizer";
/// Densities below this are drawn as this: the zeros between the outliers have no logarithm.
const LEAST_DENSITY: f64 = 1e-8;

/// Registry entry.
pub(super) struct HessianStudy;

/// The spectrum of a network's Hessian.
#[derive(Serialize, Deserialize)]
struct Spectrum {
    network: String,
    attack: usize,
    points: Vec<f64>,
    density: Vec<f64>,
    width: f64,
}

impl Study for HessianStudy {
    fn id(&self) -> &'static str {
        "hessian"
    }

    fn summary(&self) -> &'static str {
        "measures of the Hessian against generalisation, sharpness and log P(f), and the density of its eigenvalues"
    }

    fn source(&self) -> &'static str {
        "Zhang et al. 2021 (norms of the Hessian; recalled, not confirmed); Wu, Zhu and E 2017 (log-product)"
    }

    fn run(&self, request: &Request, workspace: &Workspace) -> Result<Findings, StudyError> {
        let (seeds, train, attacks) = if request.quick { (2, Some(200), 5) } else { (3, None, 11) };
        let optimizers: &[&str] = if request.quick { &["sgd"] } else { &["sgd", "adam"] };
        let setting = Setting::resolve(request, &Defaults { seeds, train, attacks, optimizers })?;
        let choices = Choices::new(request, Some(&MEASURES))?;
        let population = population(&setting.trainings(), setting.kernel, workspace)?;
        let measured = measure_all(&population.networks, &|_| Vec::new(), &choices, workspace)?;
        let first = &setting.optimizers[0];
        let chosen: Vec<&Trained> = [setting.attacks.first(), setting.attacks.last()]
            .into_iter()
            .flatten()
            .filter_map(|attack| {
                let fits = |one: &&Trained| one.summary.optimizer == *first && one.summary.attack == *attack;
                population.networks.iter().find(fits)
            })
            .collect();
        let spectra: Vec<Spectrum> =
            chosen.par_iter().map(|trained| spectrum(trained, workspace)).collect::<Result<_, StudyError>>()?;

        let mut findings = Findings::new(self.id(), setting.sentence(), &setting.seeds);
        let names = predictors(&choices, &measured);
        let groups: Vec<(String, Vec<&Measured>)> = setting
            .optimizers
            .iter()
            .map(|id| (id.clone(), measured.iter().filter(|one| one.optimizer == *id).collect()))
            .collect();
        let row = |(group, networks): &(String, Vec<&Measured>), target: &str| -> Vec<Row> {
            names.iter().map(|name| Row::against(target, group, name, networks, request.seed)).collect()
        };
        let rows: Vec<Row> = groups.iter().flat_map(|group| row(group, ACCURACY)).collect();
        findings.record("correlations", rows.iter().map(|row| row.json(KIND)).collect::<Vec<_>>());
        findings.record("spectra", &spectra);
        judge(&mut findings, &groups, &names, choices.log_prob(), request.seed);
        findings.tables.push(coefficients("correlations", "Correlation with accuracy on E", KIND, &rows));
        with_sharpness(&mut findings, &groups, &names, request.seed);
        flatness_against_log_prob(&mut findings, KIND, &groups, &names, choices.log_prob(), request.seed);
        ascents::compare(&mut findings, KIND, &groups);
        findings.notes.extend(population.left_out);
        findings.notes.push(skipped(&choices, &measured.iter().collect::<Vec<_>>()));
        findings.notes.retain(|note| !note.is_empty());
        findings.tables.push(networks_table(&choices, &measured));
        findings.tables.push(spectra_table(&spectra));
        let shown: Vec<&String> = (names.iter())
            .filter(|name| {
                let stands_for_itself = COMPARED.contains(&name.as_str()) || *name == choices.log_prob();
                MEASURES.iter().any(|id| name.strip_prefix("log10_") == Some(id)) || stands_for_itself
            })
            .collect();
        let panels: Vec<Panel> = shown
            .into_iter()
            .map(|name| Panel {
                title: titled(name, &rows, first, name),
                x: Axis::linear(&axis(name)),
                y: Axis::linear("accuracy on E (percent)"),
                series: vec![cloud("", measured.iter().filter(|one| one.optimizer == *first), name, 0)],
            })
            .collect();
        findings.figures.push(Figure {
            name: "hessian".to_owned(),
            caption: format!("Accuracy against measures of the Hessian under {first}, and against log P(f)."),
            panels,
            columns: 3,
        });
        findings.figures.push(densities(&spectra));
        Ok(findings)
    }
}

fn spectrum(trained: &Trained, workspace: &Workspace) -> Result<Spectrum, StudyError> {
    let options = Options::default();
    let key = json!({ "settings": trained.settings, "options": options });
    workspace.cache.get(&format!("spectrum-{}", trained.name), &key, || {
        let clean = &trained.ground.clean;
        let (inputs, targets) = (clean.inputs.view(), clean.targets.view());
        let point = Point::of(&trained.network, Loss::Bce, inputs, targets)?;
        let measure = flatness::find("spectral_density").expect("a registered measure");
        let info = measure.evaluate(&point, &options)?.info;
        let list = |name: &str| match info.get(name) {
            Some(InfoValue::Reals(values)) => values.clone(),
            _ => Vec::new(),
        };
        Ok(Spectrum {
            network: trained.name.clone(),
            attack: trained.summary.attack,
            points: list("points"),
            density: list("density"),
            width: info.number("width").unwrap_or(f64::MAX),
        })
    })
}

/// Records the correlation of every predictor with each sharpness.
fn with_sharpness(findings: &mut Findings, groups: &[(String, Vec<&Measured>)], names: &[String], seed: u64) {
    let mut documents = Vec::new();
    for sharpness in [SHARPNESS, SHARPNESS_SGD] {
        if names.iter().all(|name| name != sharpness) {
            continue;
        }
        let others = names.iter().filter(|name| *name != sharpness);
        let rows: Vec<Row> = others
            .flat_map(|name| {
                groups.iter().map(move |(group, networks)| Row::against(sharpness, group, name, networks, seed))
            })
            .collect();
        for row in &rows {
            let mut document = row.json(KIND);
            document["with"] = sharpness.into();
            documents.push(document);
        }
        let stem = sharpness.trim_start_matches("log10_");
        let title = format!("Correlation with {}", axis(sharpness));
        findings.tables.push(coefficients(&format!("correlations_with_{stem}"), &title, KIND, &rows));
    }
    findings.record("correlations_with_sharpness", documents);
}

fn judge(findings: &mut Findings, groups: &[(String, Vec<&Measured>)], names: &[String], log_prob: &str, seed: u64) {
    let compared: Vec<&str> = COMPARED.into_iter().filter(|name| names.iter().any(|known| known == name)).collect();
    let tests = |test: &dyn Fn(&str, &[&Measured], &str) -> Test| -> Vec<Test> {
        groups
            .iter()
            .flat_map(|(group, networks)| compared.iter().map(move |name| test(group, networks, name)))
            .collect()
    };
    if names.iter().any(|name| name == SHARPNESS) {
        findings.claim(
            "Trace, spectral norm, Frobenius norm and log-product of the Hessian rise and fall with sharpness.",
            tests(&|group, networks, name| {
                let of = format!("{group}: Pearson({name}, {SHARPNESS})");
                correlated_in_sign(&of, networks, name, SHARPNESS, 1.0, seed)
            }),
            format!(
                "Pearson's coefficients of {} with {SHARPNESS}; both sharpnesses are in the tables.",
                compared.join(", ")
            ),
        );
    }
    findings.claim(
        "They do as sharpness does: they correlate less with generalisation than log P(f).",
        tests(&|group, networks, name| {
            let of = format!("{group}: |r({log_prob})| less |r({name})|");
            stronger_than(&of, networks, log_prob, name, ACCURACY, seed)
        }),
        format!("Pearson's coefficients with accuracy, {log_prob} against {}.", compared.join(", ")),
    );
}

fn spectra_table(spectra: &[Spectrum]) -> Table {
    let mut table =
        Table::new("spectra", "Density of the Hessian's eigenvalues", &["network", "eigenvalue", "density"]);
    table.on_page = false;
    for spectrum in spectra {
        for (point, density) in spectrum.points.iter().zip(&spectrum.density) {
            table.row(vec![(&spectrum.network).into(), (*point).into(), (*density).into()]);
        }
    }
    table
}

fn densities(spectra: &[Spectrum]) -> Figure {
    let series = spectra
        .iter()
        .enumerate()
        .map(|(colour, spectrum)| Series {
            name: format!("attack set of {}", spectrum.attack),
            points: (spectrum.points.iter().zip(&spectrum.density))
                .map(|(point, density)| (*point, density.max(LEAST_DENSITY)))
                .collect(),
            style: if colour == 0 { Style::Line } else { Style::Dashes },
            colour,
        })
        .collect();
    Figure {
        name: "spectrum".to_owned(),
        caption:
            "Density of the Hessian's eigenvalues at the end of training, each widened to a Gaussian of a hundredth of \
                  the range; densities below 1e-8 are drawn there."
                .to_owned(),
        panels: vec![Panel {
            title: "Spectral density".to_owned(),
            x: Axis::linear("eigenvalue"),
            y: Axis::log("density"),
            series,
        }],
        columns: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Verdict::{self, Fails, Holds, Undecided};
    use crate::study::claims::planted::{noise, planted, verdict_of};
    use crate::study::reading::LOG_PROB;

    /// Networks with a trace that follows accuracy with noise `trace`, sharpness that follows the trace by `slope`, and
    /// log P(f) that follows accuracy with noise `log_prob`.
    fn found(n: usize, trace: f64, slope: f64, log_prob: f64) -> Findings {
        let measured: Vec<Measured> = (0..n)
            .map(|index| {
                let accuracy = 0.5 + 0.4 * index as f64 / n as f64;
                let curvature = -accuracy + trace * noise("trace", index);
                let sharpness = slope * curvature + 0.05 * noise("sharpness", index);
                let numbers = [
                    ("keskar_sharpness", 10_f64.powf(sharpness)),
                    ("hessian_trace", 10_f64.powf(curvature)),
                    (LOG_PROB, accuracy + log_prob * noise("log P", index)),
                ];
                planted("sgd", index, accuracy, &numbers)
            })
            .collect();
        let groups = [("sgd".to_owned(), measured.iter().collect())];
        let names = [LOG_PROB, SHARPNESS, "log10_hessian_trace"].map(str::to_owned);
        let mut findings = Findings::new("hessian", String::new(), &[0]);
        judge(&mut findings, &groups, &names, LOG_PROB, 0);
        with_sharpness(&mut findings, &groups, &names, 0);
        findings
    }

    #[test]
    fn claims_hold_fail_or_stay_open() {
        let cases: [(&str, [(Findings, Verdict); 3]); 2] = [
            (
                "Trace, spectral norm",
                [
                    (found(24, 0.1, 1.0, 0.01), Holds),
                    (found(24, 0.1, -1.0, 0.01), Fails),
                    (found(4, 0.1, 1.0, 0.01), Undecided),
                ],
            ),
            (
                "They do as sharpness does",
                [
                    (found(24, 0.2, 1.0, 0.01), Holds),
                    (found(24, 0.01, 1.0, 0.2), Fails),
                    (found(24, 0.05, 1.0, 0.05), Undecided),
                ],
            ),
        ];
        for (claim, cases) in &cases {
            for (findings, verdict) in cases {
                assert_eq!(verdict_of(findings, claim), *verdict, "{claim}: {:?}", findings.claims);
            }
        }
        // log P(f) and the trace, each with sharpness.
        assert_eq!(found(24, 0.1, 1.0, 0.01).data["correlations_with_sharpness"].as_array().unwrap().len(), 2);
    }
}
