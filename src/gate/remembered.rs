//! Answers that many checks compare with, asked for once.

use crate::gate::finding::Finding;
use crate::numeric::Estimate;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// Answers by question.
///
/// No lock is held while an answer is worked out, so that its own threads may take up another check; two checks may then
/// ask the same, and get the same.
#[derive(Debug)]
pub(super) struct Remembered<Question, Answer = Result<Estimate, Finding>>(Mutex<HashMap<Question, Answer>>);

impl<Question, Answer> Default for Remembered<Question, Answer> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Question: Eq + Hash, Answer: Clone> Remembered<Question, Answer> {
    /// The answer to a question, from `ask` the first time.
    pub fn get(&self, question: Question, ask: impl FnOnce() -> Answer) -> Answer {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&question).cloned();
        known.unwrap_or_else(|| {
            let answer = ask();
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(question, answer.clone());
            answer
        })
    }
}
