//! Figures of the study: accuracy against predictors, with and without twins, and predictors by the strength of their
//! correlation.

use super::Sweep;
use crate::flatness::{self, Response};
use crate::study::predictors::{Row, SHARPNESS, SHARPNESS_SGD, axis, cloud, pearson_of, titled};
use crate::study::{Axis, Figure, Measured, Panel, Series, Style};

pub(super) fn figures(sweep: &Sweep, rows: &[Row], pooled: &[Row]) -> Vec<Figure> {
    let (originals, twins) = (&sweep.originals, &sweep.twins);
    let y = || Axis::linear("accuracy on E (percent)");
    let has = |predictor: &str| rows.iter().any(|row| row.predictor == predictor);
    let mut figures = Vec::new();
    let first = sweep.optimizers.first().expect("at least one optimiser").as_str();
    let shown = [sweep.log_prob, SHARPNESS];
    let panels: Vec<Panel> = [("as trained", rows, false), ("with rescaled twins", pooled, true)]
        .into_iter()
        .flat_map(|(title, rows, with_twins)| {
            shown
                .into_iter()
                .filter(|predictor| has(predictor))
                .map(move |predictor| (title, rows, with_twins, predictor))
        })
        .map(|(title, rows, with_twins, predictor)| {
            let mut series = Vec::new();
            if with_twins {
                series.push(cloud("rescaled twin, the same function", of(twins, first), predictor, 1));
            }
            series.push(cloud("network as trained", of(originals, first), predictor, 0));
            Panel { title: titled(title, rows, first, predictor), x: Axis::linear(&axis(predictor)), y: y(), series }
        })
        .collect();
    figures.push(Figure {
        name: "thesis".to_owned(),
        caption: format!(
            "Accuracy against log P(f) and sharpness under {first}, as trained (above) and with a rescaled twin of each \
             network (below). Twins express the same functions: log P(f) is theirs too, sharpness is not."
        ),
        panels,
        columns: shown.iter().filter(|predictor| has(predictor)).count(),
    });
    let drawn = [
        "log_prob_ep_step",
        "log_prob_ep_probit",
        SHARPNESS,
        SHARPNESS_SGD,
        "log10_hessian_trace",
        "log10_hessian_max_eigenvalue",
    ];
    for predictor in drawn {
        if !has(predictor) {
            continue;
        }
        let panels: Vec<Panel> = sweep
            .optimizers
            .iter()
            .map(|id| Panel {
                title: titled(id, rows, id, predictor),
                x: Axis::linear(&axis(predictor)),
                y: y(),
                series: vec![cloud("", of(originals, id), predictor, 0)],
            })
            .collect();
        figures.push(Figure {
            name: format!("accuracy_{predictor}"),
            caption: format!("Accuracy against {}, one mark per network, one panel per optimiser.", axis(predictor)),
            columns: panels.len().min(3),
            panels,
        });
    }
    figures.push(ranking(sweep, rows, pooled));
    figures
}

/// The networks of an optimiser.
fn of<'m>(networks: &'m [&Measured], optimizer: &'m str) -> impl Iterator<Item = &'m Measured> {
    networks.iter().copied().filter(move |one| one.optimizer == optimizer)
}

/// Pearson's coefficient of every predictor, in the order of its size under the first optimiser.
fn ranking(sweep: &Sweep, rows: &[Row], pooled: &[Row]) -> Figure {
    let first = sweep.optimizers.first().expect("at least one optimiser");
    let mut ranked: Vec<(&str, f64)> = rows
        .iter()
        .filter(|row| row.group == *first)
        // The logarithm stands for the measure where there is one.
        .filter(|row| !rows.iter().any(|other| other.predictor == format!("log10_{}", row.predictor)))
        .filter_map(|row| Some((row.predictor.as_str(), row.correlation.pearson?)))
        .collect();
    ranked.sort_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
    let points = |rows: &[Row]| -> Vec<(f64, f64)> {
        let places = ranked.iter().enumerate();
        places.filter_map(|(place, (id, _))| Some((pearson_of(rows, first, id)?, (place + 1) as f64))).collect()
    };
    let names = ranked
        .iter()
        .map(|(id, _)| {
            let invariant = flatness::find(id.trim_start_matches("log10_"))
                .is_none_or(|measure| measure.responses().layer_scaling != Response::Changes);
            format!("{id}{}", if invariant { " *" } else { "" })
        })
        .collect();
    Figure {
        name: "ranking".to_owned(),
        caption: format!(
            "Pearson's coefficient with accuracy under {first}, as trained and with rescaled twins, the strongest above. \
             Predictors with a star are not changed by rescaling a layer.",
        ),
        panels: vec![Panel {
            title: format!("Correlation with accuracy, {first}"),
            x: Axis::linear("Pearson's coefficient"),
            y: Axis::named(names),
            series: vec![
                Series { name: "as trained".to_owned(), points: points(rows), style: Style::Marks, colour: 0 },
                Series {
                    name: "with rescaled twins".to_owned(),
                    points: points(pooled),
                    style: Style::Marks,
                    colour: 1,
                },
            ],
        }],
        columns: 1,
    }
}
