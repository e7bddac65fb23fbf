//! `flatgauge flatness`: measures of a network on data.

use super::arguments::{LossName, NetworkArguments, load_data};
use super::{Format, Outcome, UsageError, WithFlag, emit, emit_json, note};
use crate::flatness::{self, FlatnessError, Measure, Options, Point};
use crate::model::{Loss, Objective};
use crate::report;
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    network: NetworkArguments,
    /// Loss, a mean over samples
    #[arg(long)]
    loss: LossName,
    /// Data: digits, or an .npz file with x and y (see `flatgauge list data`)
    #[arg(long)]
    data: String,
    /// Measures by id, separated by commas, or all (see `flatgauge list measures`)
    #[arg(long, default_value = "all", value_delimiter = ',')]
    measure: Vec<String>,
    /// Radius of sharpness boxes, relative to |theta_i| + 1
    #[arg(
        long,
        visible_alias = "box-radius",
        allow_negative_numbers = true,
        default_value_t = Options::default().box_radius
    )]
    eps: f64,
    /// Shift of log det(H + c I)
    #[arg(
        long,
        visible_alias = "log-det-shift",
        allow_negative_numbers = true,
        default_value_t = Options::default().log_det_shift
    )]
    c: f64,
    /// Residual up to which eigenvalues are sought, relative to their size
    #[arg(long, allow_negative_numbers = true, default_value_t = Options::default().tolerance)]
    tolerance: f64,
    /// Layer of layer-wise measures, counted over layers with parameters [default: the last]
    #[arg(long)]
    layer: Option<usize>,
    /// Seed of stochastic measures and starting vectors
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Any other setting of the measures, as adaptive_radius=0.1 or norm=inf, may come several times; learning_rate, epochs
    /// and batch_size are those of sharpness by stochastic gradient ascent, eigenvalue_count is that of hessian_log_product
    #[arg(long, value_name = "NAME=VALUE")]
    option: Vec<String>,
    /// How to print the result
    #[arg(long, default_value = "text")]
    format: Format,
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> Result<Outcome, UsageError> {
    let all = arguments.measure.iter().any(|id| id == "all");
    let measures: Vec<&dyn Measure> = if all {
        flatness::registry().to_vec()
    } else {
        arguments.measure.iter().map(|id| find(id)).collect::<Result<_, _>>()?
    };
    // The library takes 0, at which the sharpness is 0 by definition; nobody asks for that.
    if !(arguments.eps > 0.0 && arguments.eps.is_finite()) {
        return Err(UsageError(format!(
            "--eps: {} is not a box's radius, expected a finite number above 0",
            arguments.eps
        )));
    }
    let loss = Loss::from(arguments.loss);
    let network = arguments.network.load(quiet)?.network;
    let (data, targets) = load_data(&arguments.data, loss, network.model.input_count(), quiet)?;
    let objective = Objective::new(&network, loss, data.inputs.view(), targets.view())
        .with_flag(&format!("--net and --data {}", arguments.data))?;
    let point = Point::new(objective, &network.theta);
    let loss_value = point.linearisation.value();
    if !loss_value.is_finite() {
        return Err(UsageError(format!(
            "--net and --data {}: the loss is {loss_value}, expected a finite number",
            arguments.data
        )));
    }
    if let Some(sentence) = point.near_kinks().sentence() {
        note(quiet, &sentence);
    }
    let mut options = Options {
        box_radius: arguments.eps,
        log_det_shift: arguments.c,
        tolerance: arguments.tolerance,
        layer: arguments.layer,
        seed: arguments.seed,
        ..Options::default()
    };
    for setting in &arguments.option {
        let (name, value) = setting.split_once('=').ok_or_else(|| {
            UsageError(format!("--option: '{setting}' is not a setting, expected NAME=VALUE as adaptive_radius=0.1"))
        })?;
        options.set(name.trim(), value.trim()).with_flag("--option")?;
    }
    let mut results = Vec::new();
    for measure in measures {
        match measure.evaluate(&point, &options) {
            Ok(estimate) => results.push((measure.id(), estimate)),
            // Of all measures, those that do not cover this network are left out, and said so.
            Err(error @ (FlatnessError::NotApplicable { .. } | FlatnessError::TooLarge { .. })) if all => {
                note(quiet, &format!("{error}; left out"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    match arguments.format {
        Format::Json => emit_json(&report::json::flatness(network.theta.len(), loss_value, &results)),
        Format::Text => emit(&report::text::flatness(network.theta.len(), loss_value, &results)),
    }
    Ok(Outcome::Done)
}

/// The measure called `id`.
pub(super) fn find(id: &str) -> Result<&'static dyn Measure, UsageError> {
    flatness::find(id).ok_or_else(|| {
        let known: Vec<&str> = flatness::registry().iter().map(|measure| measure.id()).collect();
        UsageError(format!("--measure: '{id}' is unknown, expected all or some of {}", known.join(", ")))
    })
}
