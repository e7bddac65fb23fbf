//! What the methods said of the Gram matrices as they are, which most laws of log P(f) compare with.

use crate::gate::finding::Finding;
use crate::numeric::Estimate;
use crate::prior::Link;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Answers to the cases as they are: asked once, not once a law.
///
/// No lock is held while a method works, so that its own threads may take up another check; two checks may then ask
/// the same, and get the same.
#[derive(Debug, Default)]
pub(super) struct BaseAnswers(Mutex<HashMap<BaseKey, Result<Estimate, Finding>>>);

/// The method (its address is its own for as long as the context borrows it), link, seed and case.
pub(super) type BaseKey = (usize, &'static str, Link, u64, String);

impl BaseAnswers {
    /// The answer under `key`, from `ask` the first time.
    pub fn get(&self, key: BaseKey, ask: impl FnOnce() -> Result<Estimate, Finding>) -> Result<Estimate, Finding> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        known.unwrap_or_else(|| {
            let answer = ask();
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, answer.clone());
            answer
        })
    }
}
