//! Trajectories of optimisers, step by step.

use crate::description::Reference;
use crate::gate::finding::{Finding, Verdict};
use crate::gate::law::{Check, Context, Law, Scope};
use crate::gate::tolerance::CERTIFIED_TRAJECTORY;
use crate::gate::trajectory::{Course, STEPS, TrajectoryMethod, courses};

/// An optimiser takes the certified steps.
pub(super) struct Trajectory;

impl Law for Trajectory {
    fn id(&self) -> &'static str {
        "certified.trajectory"
    }

    fn statement(&self) -> &'static str {
        "on given mini-batches an optimiser is, after 1 and after 50 steps, where PyTorch's, Keras's or TensorFlow's is, or the \
         algorithm of its paper"
    }

    fn formula(&self) -> &'static str {
        "theta_t = theta*_t, t in {1, 50}, theta* certified"
    }

    fn tolerance(&self) -> String {
        format!("{CERTIFIED_TRAJECTORY:e} of the largest parameter")
    }

    fn catches(&self) -> &'static str {
        "corrections for the start of running means, epsilon inside or outside of the root, decay coupled or not, a learning rate in or outside of the velocity"
    }

    fn sources(&self) -> &'static [Reference] {
        &[]
    }

    fn scope(&self) -> Scope {
        Scope::Certified
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        let mut checks = Vec::new();
        for &method in &context.optimizers {
            for course in courses().iter().filter(|course| course.optimizer.id() == method.id()) {
                checks.push(Check::new(method.id(), course.name.replace(' ', "-").replace(',', ""), move |_| {
                    Finding::worst(
                        STEPS.into_iter().zip(&course.after).map(|(steps, after)| ends(method, course, steps, after)),
                    )
                }));
            }
        }
        checks
    }
}

/// Whether the method is where it should be after so many steps.
fn ends(method: &dyn TrajectoryMethod, course: &Course, steps: usize, after: &[f64]) -> Finding {
    let theta = match method.run(course, steps) {
        Ok(theta) if theta.len() != after.len() => {
            return Finding::fail(format!("it gives {} parameters, the network has {}", theta.len(), after.len()));
        }
        Ok(theta) => theta,
        Err(refusal) => return refusal.into(),
    };
    let largest = after.iter().fold(0.0, |top: f64, value| top.max(value.abs()));
    let model = &course.network.model;
    Finding::worst(theta.iter().zip(after).enumerate().map(|(index, (found, expected))| {
        let finding = Finding::compare(*found, *expected, CERTIFIED_TRAJECTORY * largest);
        let tensor = model.tensors().iter().find(|tensor| tensor.range.contains(&index));
        let name = tensor.map_or("", |tensor| &tensor.name);
        match finding.verdict {
            Verdict::Fail => {
                Finding { reason: format!("after {steps} steps, in {name}: {}", finding.reason), ..finding }
            }
            _ => finding,
        }
    }))
}
