//! Maps that claim to leave functions as they are, each with one bug.

use super::FaultyRescaling;
use flatgauge::model::Model;
use flatgauge::rescale::Action;

/// All of them.
pub const ANIMALS: &[FaultyRescaling] = &[FaultyRescaling {
    name: "permutation_of_a_layer_named_twice",
    law: "rescaling.function",
    kind: "permutation",
    bug: named_twice,
}];

/// A specification of axes that gives the second layer the name of another: what comes out of the first one is permuted, and
/// the weights that read it are not.
fn named_twice(action: &Action, model: &Model) -> Action {
    let mut source = action.source().to_vec();
    for tensor in model.tensors().iter().filter(|tensor| tensor.name == "1.weight") {
        tensor.range.clone().for_each(|index| source[index] = index);
    }
    Action::new(action.scale().to_vec(), source)
}
