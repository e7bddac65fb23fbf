//! Measures of the Hessian against generalisation, and its spectrum (appendix of the paper).

use crate::flatness::{self, Options, Point};
use crate::model::{Loss, Objective};
use crate::numeric::InfoValue;
use crate::study::measured::{Menu, measure_all};
use crate::study::networks::{Trained, population};
use crate::study::predictors::{
    LOG_PROB, Row, axis, cloud, coefficients, networks_table, pearson_of, predictors, skipped, titled, verdict,
};
use crate::study::{
    Axis, Defaults, Desk, Figure, Findings, Panel, Request, Series, Setting, Study, StudyError, Style, Table,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Measures of curvature, and those made from it.
const MEASURES: [&str; 8] = [
    "hessian_trace",
    "hessian_max_eigenvalue",
    "hessian_spectral_norm",
    "hessian_frobenius",
    "spectral_density",
    "layer_normalised_trace",
    "filter_weighted_trace",
    "fisher_rao",
];
/// Those the paper's appendix has.
const OF_THE_PAPER: [&str; 3] = ["log10_hessian_trace", "log10_hessian_spectral_norm", "log10_hessian_frobenius"];
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
        "measures of the Hessian against generalisation, and the density of its eigenvalues"
    }

    fn source(&self) -> &'static str {
        "Zhang et al. 2021, appendix"
    }

    fn run(&self, request: &Request, desk: &Desk) -> Result<Findings, StudyError> {
        let (seeds, train, attacks) = if request.quick { (1, 200, 5) } else { (3, 500, 11) };
        let optimizers: &[&str] = if request.quick { &["sgd"] } else { &["sgd", "adam"] };
        let setting = Setting::resolve(request, &Defaults { seeds, train, attacks, optimizers })?;
        let menu = Menu::new(request.measures.as_deref(), Some(&MEASURES))?;
        let mut jobs = Vec::new();
        for optimizer in &setting.optimizers {
            for &attack in &setting.attacks {
                jobs.extend(setting.seeds.iter().map(|&seed| setting.training(optimizer, attack, seed)));
            }
        }
        let population = population(&jobs, desk)?;
        let measured = measure_all(&population.networks, &|_| Vec::new(), &menu, desk)?;
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
            chosen.par_iter().map(|trained| spectrum(trained, desk)).collect::<Result<_, StudyError>>()?;

        let mut findings = Findings::new(self.id(), setting.sentence(), &setting.seeds);
        let names = predictors(&menu, &measured);
        let mut rows = Vec::new();
        for optimizer in &setting.optimizers {
            let own: Vec<_> = measured.iter().filter(|one| one.optimizer == *optimizer).cloned().collect();
            rows.extend(names.iter().map(|name| Row::new(optimizer, name, &own, request.seed)));
        }
        findings.record("correlations", rows.iter().map(|row| row.json("optimizer")).collect::<Vec<_>>());
        findings.record("spectra", &spectra);
        judge(&mut findings, &setting, &rows);
        findings.notes.extend(population.left_out);
        findings.notes.push(skipped(&menu, &measured.iter().collect::<Vec<_>>()));
        findings.notes.retain(|note| !note.is_empty());
        findings.tables.push(coefficients("correlations", "Correlation with accuracy on E", "optimizer", &rows));
        findings.tables.push(networks_table(&menu, &measured));
        findings.tables.push(spectra_table(&spectra));
        let shown: Vec<&String> = (names.iter())
            .filter(|name| MEASURES.iter().any(|id| name.strip_prefix("log10_") == Some(id)) || *name == LOG_PROB)
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

fn spectrum(trained: &Trained, desk: &Desk) -> Result<Spectrum, StudyError> {
    let options = Options::default();
    let key = json!({ "settings": trained.settings, "options": options });
    desk.cache.get(&format!("spectrum-{}", trained.name), &key, || {
        let genuine = &trained.ground.genuine;
        let (inputs, targets) = (genuine.inputs.view(), genuine.targets.view());
        let objective = Objective::new(&trained.network, Loss::Bce, inputs, targets)?;
        let point = Point::new(objective, &trained.network.theta);
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

fn judge(findings: &mut Findings, setting: &Setting, rows: &[Row]) {
    let list = |predictor: &str| -> Vec<String> {
        let all = setting.optimizers.iter();
        all.filter_map(|id| Some(format!("{id} {:.3}", pearson_of(rows, id, predictor)?))).collect()
    };
    let sharpness_like = |id: &str| {
        OF_THE_PAPER.iter().all(|predictor| match (pearson_of(rows, id, predictor), pearson_of(rows, id, LOG_PROB)) {
            (Some(own), Some(log_prob)) => own.abs() < log_prob.abs(),
            _ => false,
        })
    };
    let holds = setting.optimizers.iter().filter(|id| sharpness_like(id)).count();
    let listed: Vec<String> =
        OF_THE_PAPER.iter().map(|predictor| format!("{predictor}: {}", list(predictor).join(", "))).collect();
    findings.claim(
        "Trace, spectral norm and Frobenius norm of the Hessian do as sharpness does: they correlate less with \
         generalisation than log P(f).",
        verdict(holds, setting.optimizers.len()),
        format!(
            "Pearson's coefficients with accuracy: {}; {LOG_PROB}: {}.",
            listed.join("; "),
            list(LOG_PROB).join(", ")
        ),
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
