//! The processes that a launcher started together.

use crate::processes::{Ranks, SingleProcess};

/// All of them with the feature `mpi` and under a launcher, this one alone otherwise.
pub(super) fn join() -> Box<dyn Ranks> {
    #[cfg(feature = "mpi")]
    if let Some(world) = crate::processes::MpiWorld::join() {
        return Box::new(world);
    }
    Box::new(SingleProcess)
}
