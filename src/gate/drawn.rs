//! The cases of the built-in corpus, drawn once for all gates of a process that ask for the same ones: definitions, which most of
//! the time goes into, are the same for every estimator.

use crate::gate::cases::{FlatnessCase, PriorCase};
use crate::gate::corpus::Corpus;
use crate::gate::tier::Tier;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Networks and Gram matrices of one tier and seed.
#[derive(Clone)]
pub(super) struct Drawn {
    /// Networks for the laws of curvature.
    pub networks: Arc<Vec<FlatnessCase>>,
    /// The same in single precision, once somebody asks for them.
    pub float32: Arc<OnceLock<Arc<Vec<FlatnessCase>>>>,
    /// Gram matrices for the laws of log P(f).
    pub grams: Arc<Vec<PriorCase>>,
}

/// Draws that are kept; a full one holds some 100 MB of derivatives once they were asked for.
const KEPT: usize = 3;

static RECENT: Mutex<VecDeque<((Tier, u64), Drawn)>> = Mutex::new(VecDeque::new());

impl Drawn {
    /// The cases of a tier for a seed.
    pub fn of(tier: Tier, seed: u64) -> Self {
        let recent = || RECENT.lock().unwrap_or_else(PoisonError::into_inner);
        let known = recent().iter().find(|(key, _)| *key == (tier, seed)).map(|(_, drawn)| drawn.clone());
        known.unwrap_or_else(|| {
            let (corpus, sound) = (Corpus::built_in(), "the corpus of the crate is sound");
            let drawn = Self {
                networks: Arc::new(corpus.networks(tier, seed).expect(sound)),
                float32: Arc::default(),
                grams: Arc::new(corpus.grams(tier, seed).expect(sound)),
            };
            // Two threads may draw the same at once, and the second finds it a little later.
            let mut recent = recent();
            recent.push_front(((tier, seed), drawn.clone()));
            recent.truncate(KEPT);
            drawn
        })
    }
}
