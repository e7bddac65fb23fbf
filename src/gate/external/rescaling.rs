//! A command in the place of a map that leaves functions as they are.

use super::External;
use super::numbers::{parameters, vector};
use super::request;
use crate::gate::map::{FunctionMap, Rescaled};
use crate::gate::no_parameters::NoParameters;
use crate::model::{Network, save_network};
use crate::rescale::Action;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A command that maps the parameters of networks, under a name of its own.
pub struct ExternalRescaling {
    name: String,
    external: Arc<External>,
}

impl ExternalRescaling {
    /// A command that answers with the parameters after the map called `name`, and how that acts.
    pub fn new(name: impl Into<String>, external: Arc<External>) -> Self {
        Self { name: name.into(), external }
    }
}

/// The action that an answer declares.
fn action(scale: Vec<f64>, source: Option<Vec<f64>>) -> Result<Action, String> {
    if let Some((index, factor)) = scale.iter().enumerate().find(|(_, factor)| !factor.is_finite() || **factor == 0.0) {
        return Err(format!("scale[{index}] is {factor}, expected a finite number other than 0"));
    }
    let Some(source) = source else { return Ok(Action::diagonal(scale)) };
    if source.len() != scale.len() {
        return Err(format!("source has {} entries, scale has {}", source.len(), scale.len()));
    }
    let mut seen = vec![false; scale.len()];
    let mut order = Vec::with_capacity(scale.len());
    for (index, &from) in source.iter().enumerate() {
        let place = from as usize;
        if place as f64 != from || place >= seen.len() || std::mem::replace(&mut seen[place], true) {
            return Err(format!("source[{index}] is {from}, expected every number from 0 to {} once", seen.len() - 1));
        }
        order.push(place);
    }
    Ok(Action::new(scale, order))
}

impl FunctionMap for ExternalRescaling {
    fn id(&self) -> &str {
        &self.name
    }

    fn rescale(&self, network: &Network, seed: u64) -> Result<Rescaled, NoParameters> {
        let request = |id: &str, [net]: [&Path; 1]| {
            save_network(net, network, &BTreeMap::new()).map_err(|error| error.to_string())?;
            Ok(request::rescaling(id, &self.name, net, network.model.architecture(), seed))
        };
        let answer = parameters(self.external.ask("r", ["safetensors"], request))?;
        let read = || {
            let scale = answer.scale.ok_or("missing-scale: the answer has no scale, the factor of every parameter")?;
            let source = answer.source.map(|source| vector(&source, "source")).transpose()?;
            let buffers = answer.buffers.map(|buffers| vector(&buffers, "buffers")).transpose()?;
            Ok(Rescaled {
                theta: vector(&answer.theta, "theta")?,
                buffers: buffers.unwrap_or_else(|| network.buffers.clone()),
                action: action(vector(&scale, "scale")?, source)?,
            })
        };
        read().map_err(NoParameters::Fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_action_is_named() {
        assert_eq!(action(vec![2.0, 0.5], None), Ok(Action::diagonal(vec![2.0, 0.5])));
        assert_eq!(action(vec![2.0, -0.5], Some(vec![1.0, 0.0])), Ok(Action::new(vec![2.0, -0.5], vec![1, 0])));
        for (scale, source, words) in [
            (vec![1.0, 0.0], None, "scale[1] is 0"),
            (vec![f64::NAN, 1.0], None, "scale[0] is NaN"),
            (vec![1.0, 1.0], Some(vec![0.0]), "source has 1 entries"),
            (vec![1.0, 1.0], Some(vec![0.0, 0.0]), "source[1] is 0"),
            (vec![1.0, 1.0], Some(vec![0.5, 1.0]), "source[0] is 0.5"),
            (vec![1.0, 1.0], Some(vec![-1.0, 1.0]), "source[0] is -1"),
            (vec![1.0, 1.0], Some(vec![0.0, 2.0]), "source[1] is 2"),
        ] {
            let said = action(scale, source).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }
}
