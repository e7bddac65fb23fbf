//! Flatness and log P(f) against generalisation, over a sweep of attack sets (figures 3 and 4 of the paper).

mod figures;
mod judge;
mod sweep;

use sweep::{POOLED, SPREAD, Sweep};

use crate::numeric::Streams;
use crate::study::flatter::{beyond_log_prob, flatness_against_log_prob};
use crate::study::measured::{Choices, UNASKED, measure_all};
use crate::study::networks::{Trained, population};
use crate::study::predictors::{Row, coefficients, networks_table, skipped};
use crate::study::{Defaults, Findings, Request, Setting, Study, StudyError, Workspace, ascents};
use rand::RngExt;

const OPTIMIZERS: [&str; 7] = ["sgd", "momentum", "adam", "adagrad", "rmsprop", "entropy_sgd", "sam"];
/// Optimisers of `--quick`, and of `--extra-epochs`.
const TWO_OPTIMIZERS: [&str; 2] = ["sgd", "adam"];

/// What `--quick` measures.
const QUICK_MEASURES: [&str; 8] = [
    "keskar_sharpness",
    "keskar_sharpness_sgd",
    "hessian_trace",
    "hessian_max_eigenvalue",
    "filter_weighted_trace",
    "relative_flatness",
    "fisher_rao",
    "path_norm",
];
/// What networks are grouped by.
const KIND: &str = "optimizer";

/// Registry entry.
pub(super) struct CorrelationStudy;

impl Study for CorrelationStudy {
    fn id(&self) -> &'static str {
        "correlation"
    }

    fn summary(&self) -> &'static str {
        "generalisation against every flatness measure and log P(f), over attack sets and optimisers; then with rescaled twins"
    }

    fn source(&self) -> &'static str {
        "Zhang et al. 2021, figures 3 and 4"
    }

    fn run(&self, request: &Request, workspace: &Workspace) -> Result<Findings, StudyError> {
        let overtrained = request.extra_epochs.is_some_and(|epochs| epochs > 0);
        let optimizers: &[&str] = if request.quick || overtrained { &TWO_OPTIMIZERS } else { &OPTIMIZERS };
        let defaults = if request.quick {
            Defaults { seeds: 2, train: Some(200), attacks: 6, optimizers }
        } else {
            Defaults { seeds: 5, train: None, attacks: 11, optimizers }
        };
        let setting = Setting::resolve(request, &defaults)?;
        let choices = Choices::new(request, request.quick.then_some(&QUICK_MEASURES))?;
        let population = population(&setting.trainings(), setting.kernel, workspace)?;
        let measured = measure_all(&population.networks, &|trained| vec![twin_factor(trained)], &choices, workspace)?;
        let sweep = Sweep::new(&measured, &choices, &setting.optimizers, request.seed);
        let mut findings = Findings::new(self.id(), setting.sentence(), &setting.seeds);
        let (groups, with_twins) = (sweep.groups(), sweep.groups_with_twins());
        let (rows, twin_rows) = (sweep.rows(&groups), sweep.rows(&with_twins));
        let documents = |rows: &[Row], pooled: bool| {
            let own = rows.iter().filter(|row| (row.group == POOLED) == pooled);
            own.map(|row| row.json(KIND)).collect::<Vec<_>>()
        };
        findings.record("setting_details", &setting);
        findings.record("correlations", documents(&rows, false));
        findings.record("correlations_with_twins", documents(&twin_rows, false));
        findings.record("correlations_pooled", documents(&rows, true));
        findings.record("correlations_pooled_with_twins", documents(&twin_rows, true));
        judge::judge(&mut findings, &sweep);
        findings.tables = vec![
            coefficients("correlations", "Correlation with accuracy on E, networks as trained", KIND, &rows),
            coefficients("correlations_with_twins", "The same with a rescaled twin of each network", KIND, &twin_rows),
            networks_table(&choices, &measured),
        ];
        findings.figures = figures::figures(&sweep, &rows, &twin_rows);
        flatness_against_log_prob(&mut findings, KIND, &groups, &sweep.predictors, sweep.log_prob, request.seed);
        let twins = with_twins.into_iter().map(|(name, networks)| (format!("{name} with twins"), networks));
        let all = groups.iter().cloned().chain(twins).collect();
        beyond_log_prob(&mut findings, KIND, &all, &sweep.predictors, sweep.log_prob, request.seed);
        ascents::compare(&mut findings, KIND, &groups);
        findings.notes.extend(population.left_out);
        if request.measures.is_none() && !request.quick {
            findings
                .notes
                .extend(UNASKED.iter().map(|(id, reason)| format!("{id} is measured when asked for: {reason}")));
        }
        findings.notes.push(skipped(&choices, &sweep.originals));
        findings.notes.push(judge::notes(&sweep));
        findings.notes.retain(|note| !note.is_empty());
        findings.notes.push(
            "Intervals are those of a bootstrap over networks: all share S and E, so they say nothing of how another S would \
             do."
                .to_owned(),
        );
        Ok(findings)
    }
}

/// The twin's factor, uniform in its logarithm, from a stream of the network's own.
fn twin_factor(trained: &Trained) -> f64 {
    let index = trained.settings.data.attack as u64;
    let streams = Streams::new(trained.settings.seed).child(&trained.settings.trainer.optimizer.id, 0);
    SPREAD.powf(streams.stream("twin", index).random_range(-1.0..=1.0))
}
