//! One rescaling after another.

use crate::model::Model;
use crate::numeric::Streams;
use crate::rescale::{Action, RescaleError, Rescaling, RescalingKind};
use rand::RngExt;

/// Rescalings applied from first to last.
#[derive(Debug)]
pub struct Composition {
    /// The parts.
    pub parts: Vec<Box<dyn Rescaling>>,
}

impl Composition {
    fn fold(
        &self,
        identity: Action,
        part: impl Fn(&dyn Rescaling) -> Result<Action, RescaleError>,
    ) -> Result<Action, RescaleError> {
        self.parts.iter().try_fold(identity, |action, next| Ok(action.then(&part(&**next)?)))
    }
}

impl Rescaling for Composition {
    fn id(&self) -> &'static str {
        "composition"
    }

    fn action(&self, model: &Model) -> Result<Action, RescaleError> {
        self.fold(Action::identity(model.parameter_count()), |part| part.action(model))
    }

    fn buffer_action(&self, model: &Model) -> Result<Action, RescaleError> {
        self.fold(Action::identity(model.buffer_count()), |part| part.buffer_action(model))
    }

    fn in_powers_of_two(&self) -> Box<dyn Rescaling> {
        Box::new(Self { parts: self.parts.iter().map(|part| part.in_powers_of_two()).collect() })
    }

    fn describe(&self) -> String {
        let parts: Vec<String> = self.parts.iter().map(|part| part.describe()).collect();
        if parts.is_empty() { "nothing".to_owned() } else { parts.join("; then ") }
    }

    fn inverse(&self) -> Box<dyn Rescaling> {
        Box::new(Self { parts: self.parts.iter().rev().map(|part| part.inverse()).collect() })
    }

    fn is_exact(&self) -> bool {
        self.parts.iter().all(|part| part.is_exact())
    }
}

/// Registry entry.
pub(super) struct Kind {
    /// What it composes.
    pub of: &'static [&'static dyn RescalingKind],
}

/// Parts of a drawn composition.
const PARTS: usize = 3;

impl RescalingKind for Kind {
    fn id(&self) -> &'static str {
        "composition"
    }

    fn summary(&self) -> &'static str {
        "several of the others, one after another"
    }

    fn draw(&self, model: &Model, spread: f64, streams: Streams) -> Result<Box<dyn Rescaling>, RescaleError> {
        let spread = spread.powf(1.0 / PARTS as f64);
        let of = |kind: &dyn RescalingKind, index| kind.draw(model, spread, streams.child(kind.id(), index));
        let kinds: Vec<&dyn RescalingKind> =
            self.of.iter().copied().filter(|kind| of(*kind, 0).is_ok_and(|drawn| drawn.is_exact())).collect();
        if kinds.is_empty() {
            return Err(RescaleError::NotApplicable {
                id: self.id(),
                architecture: model.architecture().to_string(),
                reason: "no other rescaling applies".to_owned(),
            });
        }
        let mut generator = streams.stream("composition", 0);
        let parts = (0..PARTS as u64).map(|index| of(kinds[generator.random_range(0..kinds.len())], index));
        Ok(Box::new(Composition { parts: parts.collect::<Result<_, _>>()? }))
    }
}
