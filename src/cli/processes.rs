//! The processes that a launcher started together.

use crate::numeric::{Alone, Ranks};

/// All of them with the feature `mpi` and under a launcher, this one alone otherwise.
pub(super) fn join() -> Box<dyn Ranks> {
    #[cfg(feature = "mpi")]
    if let Some(world) = crate::numeric::World::join() {
        return Box::new(world);
    }
    Box::new(Alone)
}
