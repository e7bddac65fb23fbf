//! How often each function was found.

use super::bits::words_of;
use super::{Function, Functions};
use rayon::prelude::*;
use std::fmt;

/// Bytes of a table of the default size.
const DEFAULT_BYTES: usize = 1 << 30;
/// Functions that are looked up together.
const FETCHED: usize = 32;
/// Slots of an empty table.
const FIRST_SLOTS: usize = 1 << 10;

/// What [`Counts::keep_most_frequent`] took out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Dropped {
    /// Functions taken out; one that came back and was taken out again counts twice.
    pub functions: u64,
    /// Networks that expressed them.
    pub networks: u64,
    /// No function's count is short by more than this.
    pub undercount: u64,
}

/// A table of functions with how many networks express each: packed labels and counts in an open-addressed hash table,
/// 8 bytes per word and 8 per count.
#[derive(Clone)]
#[non_exhaustive]
pub struct Counts {
    inputs: usize,
    words: usize,
    /// `slots x words`.
    keys: Vec<u64>,
    /// 0 for an empty slot.
    counts: Vec<u64>,
    functions: usize,
    networks: u64,
    dropped: Dropped,
}

impl fmt::Debug for Counts {
    /// The totals; a table has millions of entries.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inputs, functions, networks, dropped, .. } = self;
        write!(f, "Counts {{ inputs: {inputs}, functions: {functions}, networks: {networks}, dropped: {dropped:?} }}")
    }
}

impl Counts {
    /// No functions of `inputs` inputs.
    pub fn new(inputs: usize) -> Self {
        Self::with_slots(inputs, FIRST_SLOTS)
    }

    fn with_slots(inputs: usize, slots: usize) -> Self {
        let words = words_of(inputs);
        Self {
            inputs,
            words,
            keys: vec![0; slots * words],
            counts: vec![0; slots],
            functions: 0,
            networks: 0,
            dropped: Dropped::default(),
        }
    }

    /// Functions that a table of about 1 GiB holds.
    pub fn default_capacity(inputs: usize) -> usize {
        let slots = 1 << (DEFAULT_BYTES / (8 * (words_of(inputs) + 1))).max(FIRST_SLOTS).ilog2();
        slots / 4 * 3
    }

    /// Number of inputs.
    pub fn input_count(&self) -> usize {
        self.inputs
    }

    /// Distinct functions in the table.
    pub fn function_count(&self) -> usize {
        self.functions
    }

    /// Networks counted, those of dropped functions included.
    pub fn network_count(&self) -> u64 {
        self.networks
    }

    /// What was dropped.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Networks that expressed a function.
    ///
    /// # Panics
    /// If the function has another number of inputs.
    pub fn count(&self, function: &Function) -> u64 {
        assert_eq!(function.input_count(), self.inputs, "a function of other inputs");
        self.counts[self.slot(function.words())]
    }

    /// Counts `count` networks of a function.
    ///
    /// # Panics
    /// If the function has another number of inputs.
    pub fn add(&mut self, function: &Function, count: u64) {
        assert_eq!(function.input_count(), self.inputs, "a function of other inputs");
        self.add_words(function.words(), count);
    }

    /// Counts networks one by one.
    pub fn add_all(&mut self, functions: &Functions) {
        for batch in functions.words.chunks(FETCHED * self.words) {
            // Their places are looked at first, so that memory is asked for all of them at once.
            let mask = self.counts.len() - 1;
            let places = batch.chunks_exact(self.words).map(|function| hash(function) as usize & mask);
            std::hint::black_box(places.fold(0, |all, slot| all ^ self.counts[slot] ^ self.keys[slot * self.words]));
            for function in batch.chunks_exact(self.words) {
                self.add_words(function, 1);
            }
        }
    }

    pub(super) fn add_words(&mut self, words: &[u64], count: u64) {
        if count == 0 {
            return;
        }
        let mut slot = self.slot(words);
        if self.counts[slot] == 0 {
            if 8 * (self.functions + 1) > 7 * self.counts.len() {
                self.rebuild(2 * self.counts.len(), 0);
                slot = self.slot(words);
            }
            self.keys[slot * self.words..][..self.words].copy_from_slice(words);
            self.functions += 1;
        }
        self.counts[slot] += count;
        self.networks += count;
    }

    /// Where a function is, or would be.
    fn slot(&self, words: &[u64]) -> usize {
        let mask = self.counts.len() - 1;
        let mut slot = hash(words) as usize & mask;
        while self.counts[slot] != 0 && self.keys[slot * self.words..][..self.words] != *words {
            slot = (slot + 1) & mask;
        }
        slot
    }

    /// A table of other size without the functions of at most `least` networks.
    fn rebuild(&mut self, slots: usize, least: u64) {
        let mut new = Self::with_slots(self.inputs, slots);
        for (words, count) in self.entries().filter(|(_, count)| *count > least) {
            new.add_words(words, count);
        }
        (new.networks, new.dropped) = (self.networks, self.dropped);
        *self = new;
    }

    /// Takes out the rarest functions until at most `most` are left: all those of 1 network, of 2, ...
    ///
    /// The result depends on the counts alone, not on the order in which they were made. This is lossy counting (Manku
    /// and Motwani 2002): a function that is taken out and found again starts anew, so that counts are lower
    /// bounds, short by at most [`Dropped::undercount`].
    pub fn keep_most_frequent(&mut self, most: usize) {
        while self.functions > most {
            let least = self.entries().map(|(_, count)| count).min().unwrap_or_default();
            let rarest = self.entries().filter(|(_, count)| *count == least).count();
            self.dropped.functions += rarest as u64;
            self.dropped.networks += rarest as u64 * least;
            self.dropped.undercount += least;
            self.rebuild(self.counts.len(), least);
        }
    }

    /// The functions that give these labels to these inputs, with their counts: divided by their sum, the posterior
    /// `P_B(f | S)` of networks drawn from the prior given zero error on `S`.
    ///
    /// # Panics
    /// If there is no such input.
    pub fn given(&self, labelled: &[(usize, bool)]) -> Self {
        let mut given = Self::new(self.inputs);
        for (words, count) in self.entries() {
            let function = Function::from_words(words, self.inputs);
            if labelled.iter().all(|(input, label)| function.label(*input) == *label) {
                given.add_words(words, count);
            }
        }
        given
    }

    /// All functions as words with their counts, in no order.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&[u64], u64)> {
        self.counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(slot, count)| (&self.keys[slot * self.words..][..self.words], *count))
    }

    /// Takes over what an earlier table had dropped, and the networks it counted so.
    pub(super) fn restore_dropped(&mut self, dropped: Dropped) {
        self.dropped = dropped;
        self.networks += dropped.networks;
    }

    /// All functions, the most frequent first, those of equal counts in the order of their bit strings.
    pub fn ranked(&self) -> impl Iterator<Item = (Function, u64)> {
        let mut slots: Vec<usize> = (0..self.counts.len()).filter(|slot| self.counts[*slot] > 0).collect();
        let key = |slot: &usize| (std::cmp::Reverse(self.counts[*slot]), &self.keys[slot * self.words..][..self.words]);
        slots.par_sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        slots.into_iter().map(|slot| {
            let words = &self.keys[slot * self.words..][..self.words];
            (Function::from_words(words, self.inputs), self.counts[slot])
        })
    }
}

/// A mix of all bits: functions differ in few of them.
fn hash(words: &[u64]) -> u64 {
    let mut hash = words.len() as u64;
    for word in words {
        hash = (hash ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash ^= hash >> 32;
    }
    hash = hash.wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::Streams;
    use rand::RngExt;
    use std::collections::BTreeMap;

    fn drawn(inputs: usize, functions: u64, draws: usize) -> Vec<Function> {
        let mut generator = Streams::new(3).stream("functions", inputs as u64);
        let draw = |_| {
            // The square makes small numbers frequent.
            let number = (generator.random::<f64>().powi(2) * functions as f64) as u64;
            let labels: Vec<bool> = (0..inputs).map(|input| input < 64 && number >> input & 1 == 1).collect();
            Function::new(&labels)
        };
        (0..draws).map(draw).collect()
    }

    #[test]
    fn counts_are_those_of_a_map() {
        for inputs in [5, 64, 65, 200] {
            let (mut counts, mut map) = (Counts::new(inputs), BTreeMap::new());
            for function in drawn(inputs, 5000, 20_000) {
                counts.add(&function, 1);
                *map.entry(function).or_insert(0) += 1;
            }
            assert_eq!((counts.function_count(), counts.network_count()), (map.len(), 20_000));
            let mut ranked: Vec<(Function, u64)> = map.into_iter().collect();
            ranked.sort_by_key(|(function, count)| (std::cmp::Reverse(*count), function.to_string()));
            assert!(counts.ranked().eq(ranked.iter().cloned()));
            assert!(ranked.iter().all(|(function, count)| counts.count(function) == *count));
        }
    }

    #[test]
    fn dropping_keeps_the_frequent_and_says_what_went() {
        let (mut exact, mut bounded) = (Counts::new(20), Counts::new(20));
        for round in drawn(20, 3000, 40_000).chunks(5000) {
            round.iter().for_each(|function| exact.add(function, 1));
            round.iter().for_each(|function| bounded.add(function, 1));
            bounded.keep_most_frequent(500);
            assert!(bounded.function_count() <= 500);
        }
        let dropped = bounded.dropped();
        assert!(dropped.functions > 0 && bounded.network_count() == exact.network_count());
        let kept: u64 = bounded.ranked().map(|(_, count)| count).sum();
        assert_eq!(kept + dropped.networks, exact.network_count());
        for (function, count) in exact.ranked() {
            let found = bounded.count(&function);
            assert!(found <= count && count <= found + dropped.undercount, "{count} counted as {found}");
        }
        assert_eq!(bounded.ranked().next(), exact.ranked().next());
    }

    #[test]
    fn the_default_table_takes_a_gibibyte() {
        for inputs in [1, 64, 128, 1024] {
            let bytes = 8 * (words_of(inputs) + 1) * Counts::default_capacity(inputs) / 3 * 4;
            assert!(bytes <= DEFAULT_BYTES && 2 * bytes > DEFAULT_BYTES, "{inputs}: {bytes}");
        }
    }
}
