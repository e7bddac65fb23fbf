//! Changes of valid files: of their bytes, and of the numbers, words and lines of their text.

use rand::{Rng, RngExt};

/// Numbers that sizes should not be.
const NUMBERS: [u64; 16] = [
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    (1 << 31) - 1,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

fn number(generator: &mut dyn Rng) -> u64 {
    if generator.random_range(0..4) == 0 {
        generator.next_u64() >> generator.random_range(0..64)
    } else {
        NUMBERS[generator.random_range(0..16)]
    }
}

fn place(generator: &mut dyn Rng, length: usize) -> usize {
    // Headers come first: half of all places are among the first bytes.
    if generator.random() { generator.random_range(0..=length) } else { generator.random_range(0..=length.min(200)) }
}

/// One to four changes of bytes: flips, numbers of all widths, cuts, copies, moves, surplus.
pub fn bytes(generator: &mut dyn Rng, valid: &[u8]) -> Vec<u8> {
    let mut input = valid.to_vec();
    for _ in 0..generator.random_range(1..=4) {
        let (at, other) = (place(generator, input.len()), place(generator, input.len()));
        let (from, to) = (at.min(other), at.max(other));
        match generator.random_range(0..9) {
            0 | 1 if at < input.len() => input[at] ^= 1 << generator.random_range(0..8),
            2 if at < input.len() => input[at] = generator.random(),
            3 => {
                let number = number(generator);
                let width = 1 << generator.random_range(0..4);
                let little: bool = generator.random();
                let number = if little {
                    number.to_le_bytes()[..width].to_vec()
                } else {
                    number.to_be_bytes()[8 - width..].to_vec()
                };
                for (byte, new) in input[at..].iter_mut().zip(number) {
                    *byte = new;
                }
            }
            4 => input.truncate(at),
            5 => drop(input.drain(from..to.min(from + 64))),
            6 => {
                let copy = input[from..to.min(from + 64)].to_vec();
                input.splice(at..at, copy);
            }
            7 => input.extend((0..generator.random_range(1..20)).map(|_| generator.random::<u8>())),
            _ => {
                let new: Vec<u8> = (0..generator.random_range(1..8)).map(|_| generator.random()).collect();
                input.splice(at..at, new);
            }
        }
    }
    input
}

/// Pieces that texts of all formats here are made of, and some that they are not.
const WORDS: [&str; 30] = [
    "'<f8'",
    "'|b1'",
    "'>i2'",
    "'|O'",
    "True",
    "False",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "'",
    "\n",
    "=",
    "-1",
    "1e308",
    "nan",
    "inf",
    "null",
    "2L",
    "[[layers]]\n",
    "type = \"residual\"\n",
    "type = \"conv\"\n",
    "\u{1b}[2J",
    "\u{202e}",
    "é",
];

/// One to four changes of text: numbers replaced, words put in, lines left out, doubled and moved.
pub fn text(generator: &mut dyn Rng, valid: &str) -> String {
    let mut input = valid.to_owned();
    for _ in 0..generator.random_range(1..=4) {
        let boundary = |input: &str, mut at: usize| {
            while !input.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let at = boundary(&input, generator.random_range(0..=input.len()));
        match generator.random_range(0..6) {
            0 | 1 => {
                let numbers: Vec<(usize, usize)> = runs_of_digits(&input);
                if !numbers.is_empty() {
                    let (from, to) = numbers[generator.random_range(0..numbers.len())];
                    input.replace_range(from..to, &number(generator).to_string());
                }
            }
            2 => input.insert_str(at, WORDS[generator.random_range(0..WORDS.len())]),
            3 => {
                let end = boundary(&input, (at + generator.random_range(0..12)).min(input.len()));
                input.replace_range(at..end, "");
            }
            _ => {
                let mut lines: Vec<&str> = input.split_inclusive('\n').collect();
                if lines.len() > 1 {
                    let (from, to) = (generator.random_range(0..lines.len()), generator.random_range(0..lines.len()));
                    match generator.random_range(0..3) {
                        0 => drop(lines.remove(from)),
                        1 => lines.insert(to, lines[from]),
                        _ => lines.swap(from, to),
                    }
                    input = lines.concat();
                }
            }
        }
    }
    input
}

fn runs_of_digits(text: &str) -> Vec<(usize, usize)> {
    let mut runs = Vec::new();
    let mut start = None;
    for (at, byte) in text.bytes().chain([b' ']).enumerate() {
        match (byte.is_ascii_digit(), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                runs.push((from, at));
                start = None;
            }
            _ => {}
        }
    }
    runs
}

/// A header of text, changed, before bytes that may change too; `frame` puts the header's length where it belongs.
pub fn framed(generator: &mut dyn Rng, header: &[u8], rest: &[u8], frame: impl Fn(&str) -> Vec<u8>) -> Vec<u8> {
    let header = text(generator, &String::from_utf8_lossy(header));
    let rest = if generator.random_range(0..4) == 0 { bytes(generator, rest) } else { rest.to_vec() };
    [frame(&header), rest].concat()
}
