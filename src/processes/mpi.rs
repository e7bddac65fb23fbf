//! Processes that talk over MPI.

use super::Ranks;
use ::mpi::Count;
use ::mpi::datatype::PartitionMut;
use ::mpi::environment::Universe;
use ::mpi::topology::SimpleCommunicator;
use ::mpi::traits::*;

/// All processes that a launcher has started together.
pub struct MpiWorld {
    communicator: SimpleCommunicator,
    /// Leaves the world when it goes.
    _universe: Universe,
}

impl MpiWorld {
    /// The world this process was started in; `None` if no launcher did.
    pub fn join() -> Option<Self> {
        // What the launchers of Open MPI, PMIx and PMI say; without one there is no need to start MPI.
        let launched = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"];
        if launched.iter().all(|name| std::env::var_os(name).is_none()) {
            return None;
        }
        let universe = ::mpi::initialize()?;
        Some(Self { communicator: universe.world(), _universe: universe })
    }
}

fn number(count: Count) -> usize {
    usize::try_from(count).expect("MPI counts from 0")
}

fn length(words: usize) -> Count {
    Count::try_from(words).expect("a message has less than 2^31 words")
}

impl Ranks for MpiWorld {
    fn rank(&self) -> usize {
        number(self.communicator.rank())
    }

    fn size(&self) -> usize {
        number(self.communicator.size())
    }

    fn gather(&self, words: Vec<u64>) -> Vec<u64> {
        let root = self.communicator.process_at_rank(0);
        if self.rank() != 0 {
            root.gather_into(&length(words.len()));
            root.gather_varcount_into(&words[..]);
            return Vec::new();
        }
        let mut lengths = vec![0; self.size()];
        root.gather_into_root(&length(words.len()), &mut lengths[..]);
        let mut total = 0;
        let mut starts = Vec::new();
        for words in &lengths {
            starts.push(length(total));
            total += number(*words);
        }
        let mut all = vec![0_u64; total];
        root.gather_varcount_into_root(&words[..], &mut PartitionMut::new(&mut all[..], lengths, starts));
        all
    }

    fn broadcast(&self, word: u64) -> u64 {
        let mut word = word;
        self.communicator.process_at_rank(0).broadcast_into(&mut word);
        word
    }
}
