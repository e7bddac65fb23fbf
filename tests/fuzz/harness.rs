//! Runs a parser on many inputs and watches its memory, its time and its panics.

use flatgauge::numeric::Streams;
use rand::Rng;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Most bytes one input may make a parser take at a time: valid files here take less than a hundredth.
const MOST_MEMORY: usize = 64 << 20;
/// Longest time for one input: a thousand times what valid files take, on a busy machine.
const MOST_TIME: Duration = Duration::from_secs(20);

/// Counts what each thread has and had at most.
struct Counting;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all memory is the system's; the counters are plain cells of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.get().saturating_add(layout.size());
        NOW.set(now);
        MOST.set(MOST.get().max(now));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // What another thread took may be given back here.
        NOW.set(NOW.get().saturating_sub(layout.size()));
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is '{text}', expected a number")))
}

/// Runs `parse` on inputs made by `mutate`, and on `known` ones; a parser answers with a value or a sentence.
pub fn fuzz(
    parser: &str,
    usual: u64,
    known: &[Vec<u8>],
    mut mutate: impl FnMut(&mut dyn Rng) -> Vec<u8>,
    mut parse: impl FnMut(&[u8]) -> Result<(), String>,
) {
    let (first, count) = (variable("FLATGAUGE_FUZZ_FIRST").unwrap_or(0), variable("FLATGAUGE_FUZZ").unwrap_or(usual));
    let start = Instant::now();
    let (mut values, mut most, mut slowest) = (0_u64, 0, Duration::ZERO);
    let mut run = |input: &[u8], again: &str| {
        let begun = Instant::now();
        let before = NOW.get();
        MOST.set(before);
        let outcome = catch_unwind(AssertUnwindSafe(|| parse(input)));
        let taken = MOST.get() - before;
        (most, slowest) = (taken.max(most), begun.elapsed().max(slowest));
        let shown = String::from_utf8_lossy(&input[..input.len().min(300)]).escape_debug().to_string();
        match outcome {
            Err(_) => panic!("{parser}: a panic; {again}\n{shown}"),
            Ok(Err(sentence)) => {
                assert!(!sentence.is_empty(), "{parser}: an error without a sentence; {again}\n{shown}")
            }
            Ok(Ok(())) => values += 1,
        }
        assert!(taken <= MOST_MEMORY, "{parser}: {taken} bytes of memory; {again}\n{shown}");
        assert!(begun.elapsed() <= MOST_TIME, "{parser}: {:?}; {again}\n{shown}", begun.elapsed());
    };
    known.iter().enumerate().for_each(|(index, input)| run(input, &format!("known input {index}")));
    for index in first..first + count {
        let mut generator = Streams::new(20261128).stream(&format!("fuzz {parser}"), index);
        let input = mutate(&mut generator);
        run(&input, &format!("FLATGAUGE_FUZZ=1 FLATGAUGE_FUZZ_FIRST={index} cargo test --test fuzz {parser}"));
    }
    let (all, seconds) = (count + known.len() as u64, start.elapsed().as_secs_f64());
    println!("{parser}: {all} inputs in {seconds:.1} s, {values} read, at most {most} bytes, slowest {slowest:?}");
    assert!(count < 100 || values > 0 && values < all, "{parser}: {values} of {all} read; the mutations reach nothing");
}
