//! Probit against step against finite width: how far the paper's number is from the defined one, function by function.

mod few_points;
mod judge;
mod labellings;

use few_points::FEWEST;
use few_points::FewPoints;

use crate::function::{Function, Sampler};
use crate::prior::{Gram, Labels, Link};
use crate::study::measured::{Choices, measure_all};
use crate::study::networks::{Trained, population};
use crate::study::predictors::networks_table;
use crate::study::reading::{Number, Quantity, READINGS, read};
use crate::study::setting;
use crate::study::{
    Axis, Cell, Defaults, Figure, Findings, Measured, Panel, Progress, Request, Series, Setting, Study, StudyError,
    Style, Table, Workspace, real,
};
use labellings::labellings;
use ndarray::s;
use rayon::prelude::*;
use serde_json::json;

/// Points on which networks of finite width are counted: labels of so few are frequent enough.
const POINTS: [usize; 7] = [2, 3, 4, 5, 6, 7, 8];
const BLOCKS: u64 = 200;
const QUICK_BLOCKS: u64 = 40;
/// Networks of a block.
const BLOCK: usize = 1000;

/// Widths at which all labellings of ten inputs are counted; the second is the paper's.
const WIDTHS: [usize; 3] = [10, setting::WIDTH, 160];

/// Registry entry.
pub(super) struct LinksStudy;

impl Study for LinksStudy {
    fn id(&self) -> &'static str {
        "links"
    }

    fn summary(&self) -> &'static str {
        "log P(f) by EP with the probit link, by EP with the step link, certified, and of finite width, function by function"
    }

    fn source(&self) -> &'static str {
        "definitions of log P(f) against what Zhang et al. 2021 compute; this program's own experiment"
    }

    fn run(&self, request: &Request, workspace: &Workspace) -> Result<Findings, StudyError> {
        let (seeds, train, attacks) = if request.quick { (1, Some(200), 6) } else { (3, None, 11) };
        let setting = Setting::resolve(request, &Defaults { seeds, train, attacks, optimizers: &["sgd"] })?;
        let choices = Choices::new(&Request { readings: None, ..request.clone() }, Some(&[]))?;
        let population = population(&setting.trainings(), setting.kernel, workspace)?;
        let measured = measure_all(&population.networks, &|_| Vec::new(), &choices, workspace)?;
        let blocks = if request.quick { QUICK_BLOCKS } else { BLOCKS };
        let first = &population.networks[0];
        let few = finite_width(first, blocks, request.seed, workspace)?;
        let networks = match &setting.asked_architecture {
            Some(architecture) => vec![("networks sampled".to_owned(), architecture.clone())],
            None => WIDTHS.map(|width| (format!("width {width}"), setting.fully_connected(width))).to_vec(),
        };
        let judged = if networks.len() > 1 { 1 } else { 0 };
        let all = labellings(first, &networks, blocks, request.seed, workspace)?;
        let mut findings = Findings::new(self.id(), setting.sentence(), &setting.seeds);
        findings.record("functions", measured.iter().map(function_json).collect::<Vec<_>>());
        findings.record("few_points", few.iter().map(FewPoints::json).collect::<Vec<_>>());
        findings.record("labellings", all.json());
        let [step, probit, certified] = columns(&measured);
        let of_functions = judge::Functions { step: &step, probit: &probit, certified: &certified };
        judge::judge(&mut findings, &of_functions, &few, &all, judged, request.seed);
        findings.notes.extend(population.left_out);
        if request.readings.is_some() {
            findings.notes.push("The study compares all readings: --readings does not concern it.".to_owned());
        }
        findings.tables.push(networks_table(&choices, &measured));
        findings.tables.push(few_table(&few));
        findings.tables.push(all.table());
        findings.figures = figures(&measured, &few);
        findings.figures.push(all.figure());
        Ok(findings)
    }
}

fn function_json(one: &Measured) -> serde_json::Value {
    let mut value = json!({ "network": one.network, "accuracy": one.accuracy });
    for reading in READINGS {
        value[reading.name] = real(one.value(reading.name));
    }
    value
}

/// The labels that a network gives the first points, in each reading.
fn finite_width(
    trained: &Trained,
    blocks: u64,
    seed: u64,
    workspace: &Workspace,
) -> Result<Vec<FewPoints>, StudyError> {
    let key = json!({ "settings": trained.settings, "blocks": blocks, "seed": seed, "points": POINTS });
    let labels = trained.labels(&trained.network);
    workspace.cache.get("few-points", &key, || {
        POINTS
            .iter()
            .enumerate()
            .map(|(index, &points)| {
                let points = points.min(labels.len());
                let inputs = trained.ground.inputs.slice(s![..points, ..]).to_owned();
                let gram = Gram::new(trained.ground.gram.matrix().slice(s![..points, ..points]).to_owned())?;
                let signs = labels.signs()[..points].iter().map(|&sign| sign > 0);
                let (target, labels) = (Function::new(&signs.clone().collect::<Vec<_>>()), Labels::from_signs(signs));
                let sampler = Sampler::new(trained.settings.architecture.clone(), inputs, seed)?;
                let counted: u64 = (0..blocks)
                    .into_par_iter()
                    .map(|block| {
                        let mut counts = crate::function::Counts::new(points);
                        counts.add_all(&sampler.functions(block, BLOCK.min(sampler.block_size()))?);
                        Ok(counts.count(&target))
                    })
                    .sum::<Result<u64, StudyError>>()?;
                let drawn = blocks * BLOCK.min(sampler.block_size()) as u64;
                (workspace.progress)(Progress { phase: "counting", done: index + 1, total: POINTS.len() });
                let step = Quantity { name: "auto", method: "auto", link: Link::Step };
                let of = |reading: &Quantity| Ok::<_, StudyError>(Number::from(&read(reading, &gram, &labels)?));
                Ok(FewPoints {
                    network: trained.name.clone(),
                    points,
                    step: of(&step)?,
                    ep_step: of(&READINGS[0])?,
                    ep_probit: of(&READINGS[1])?,
                    counted,
                    drawn,
                })
            })
            .collect()
    })
}

fn columns(measured: &[Measured]) -> [Vec<f64>; 3] {
    READINGS.map(|reading| measured.iter().map(|one| one.value(reading.name).unwrap_or(f64::NAN)).collect())
}

fn few_table(few: &[FewPoints]) -> Table {
    let columns = ["points", "step", "ep_step", "ep_probit", "finite_width", "sampling_error", "counted", "drawn"];
    let mut table = Table::new("few_points", "log P of the labels of the first points (nats)", &columns);
    for one in few {
        table.row(vec![
            one.points.into(),
            one.step.real().into(),
            one.ep_step.real().into(),
            one.ep_probit.real().into(),
            Cell::from(one.finite()),
            Cell::from(one.finite().map(|_| one.std_error())),
            one.counted.into(),
            one.drawn.into(),
        ]);
    }
    table
}

fn figures(measured: &[Measured], few: &[FewPoints]) -> Vec<Figure> {
    let [step, probit, certified] = columns(measured);
    let series = |name: &str, values: &[f64], colour| Series {
        name: name.to_owned(),
        points: certified.iter().copied().zip(values.iter().copied()).collect(),
        style: Style::Marks,
        colour,
    };
    let ends = certified.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (v.min(l), v.max(h)));
    let counted = |name: &str, value: &dyn Fn(&FewPoints) -> Option<f64>, colour| Series {
        name: name.to_owned(),
        points: few.iter().filter_map(|one| Some((one.points as f64, value(one)?))).collect(),
        style: Style::Marks,
        colour,
    };
    vec![Figure {
        name: "links".to_owned(),
        caption:
            "Left: log P(f) of every function by EP against its certified value; on the line they are equal. Right: \
                  the labels of the first few points, where networks of finite width can be counted."
                .to_owned(),
        panels: vec![
            Panel {
                title: "every function".to_owned(),
                x: Axis::linear("log P(f), SMC (nats)"),
                y: Axis::linear("log P(f) by EP (nats)"),
                series: vec![
                    Series {
                        name: "equal".to_owned(),
                        points: vec![(ends.0, ends.0), (ends.1, ends.1)],
                        style: Style::Line,
                        colour: 6,
                    },
                    series("EP step", &step, 0),
                    series("EP probit", &probit, 1),
                ],
            },
            Panel {
                title: "labels of the first points".to_owned(),
                x: Axis::linear("points"),
                y: Axis::linear("log P (nats)"),
                series: vec![
                    counted("true step probability", &|one| Some(one.step.real()), 2),
                    counted("EP step", &|one| Some(one.ep_step.real()), 0),
                    counted("EP probit", &|one| Some(one.ep_probit.real()), 1),
                    counted("finite width, counted", &FewPoints::finite, 4),
                ],
            },
        ],
        columns: 2,
    }]
}
