//! Certified values: numbers by independent programs.

use crate::flatness::{Options, Point};
use crate::gate::certified::{kernels, networks, normal};
use crate::gate::law::{Check, Context, Law};
use crate::gate::verdict::Finding;
use crate::kernel;
use crate::numeric::normal::{hazard, log_ndtr};
use crate::numeric::tolerance::{CERTIFIED_CURVATURE, CERTIFIED_KERNEL, CERTIFIED_NORMAL};
use crate::rescale::{LayerAlpha, Rescaling};
use std::sync::Arc;

/// log Phi and its derivative.
pub(super) struct Normal;

impl Law for Normal {
    fn id(&self) -> &'static str {
        "certified.normal"
    }

    fn statement(&self) -> &'static str {
        "log Phi and the hazard phi / Phi agree with mpmath to 13 digits"
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        if !context.house {
            return Vec::new();
        }
        let close = |measured: f64, expected: f64| {
            // Below the smallest normal number there are no 13 digits to agree in.
            Finding::compare(measured, expected, CERTIFIED_NORMAL * expected.abs() + f64::MIN_POSITIVE)
        };
        let check = move |estimator: &str, function: fn(f64) -> f64, expected: fn(&_) -> f64| {
            Check::new(estimator, "44 arguments", move || {
                Finding::worst(normal().iter().map(|row| close(function(row.z), expected(row))))
            })
        };
        vec![check("log_ndtr", log_ndtr, |row| row.log_ndtr), check("hazard", hazard, |row| row.hazard)]
    }
}

/// Gram matrices.
pub(super) struct Kernel;

impl Law for Kernel {
    fn id(&self) -> &'static str {
        "certified.kernel"
    }

    fn statement(&self) -> &'static str {
        "NNGP Gram matrices agree with neural-tangents, duplicated, parallel and antipodal rows included"
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        if !context.house {
            return Vec::new();
        }
        let check = |row: crate::gate::certified::KernelRow| {
            Check::new("nngp", row.name, move || {
                let gram = match kernel::nngp(&row.architecture, row.inputs.view()) {
                    Ok(gram) => gram,
                    Err(error) => return Finding::fail(error.to_string()),
                };
                // Largest error in units of sqrt(K_ii K_jj): an entry that cancels to nothing has no digits.
                let scale = row.nngp.diag().mapv(f64::sqrt);
                let errors = gram.indexed_iter().map(|((i, j), value)| {
                    (value - row.nngp[[i, j]]).abs() / (scale[i] * scale[j])
                });
                let worst = errors.fold(0.0, |top: f64, e| if e > top || e.is_nan() { e } else { top });
                Finding::compare(worst, 0.0, CERTIFIED_KERNEL)
            })
        };
        kernels().into_iter().map(check).collect()
    }
}

/// Curvature of trained networks, before and after a rescaling.
pub(super) struct Flatness;

impl Law for Flatness {
    fn id(&self) -> &'static str {
        "certified.flatness"
    }

    fn statement(&self) -> &'static str {
        "measures of curvature agree with PyTorch's dense autograd on trained networks, before and after scaling by 5.9"
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        let rows = Arc::new(networks());
        let mut checks = Vec::new();
        for &measure in &context.measures {
            for (index, row) in rows.iter().enumerate() {
                let Some((value, shift)) = row.value(measure.id()) else { continue };
                let rows = Arc::clone(&rows);
                checks.push(Check::new(measure.id(), row.case.name.clone(), move || {
                    let row = &rows[index];
                    let defaults = Options::default();
                    let options = Options { c: shift.unwrap_or(defaults.c), ..defaults };
                    let close = |theta: &[f64], expected: f64| {
                        let point = Point::new(row.case.objective(), theta);
                        match measure.evaluate(&point, &options) {
                            Ok(estimate) => {
                                Finding::compare(estimate.value, expected, CERTIFIED_CURVATURE * expected.abs())
                            }
                            Err(error) => Finding::fail(error.to_string()),
                        }
                    };
                    let theta = &row.case.network.theta;
                    let mut findings = vec![close(theta, value)];
                    if let (Some(expected), Some(alpha)) = (row.rescaled_value(measure.id()), row.alpha()) {
                        let action = LayerAlpha { layer: 0, alpha }.action(&row.case.network.model);
                        let action = action.expect("only homogeneous networks have rescaled values");
                        findings.push(close(&action.apply(theta), expected));
                    }
                    Finding::worst(findings)
                }));
            }
        }
        checks
    }
}
