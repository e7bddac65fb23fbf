//! Claims and the tests that decide them: an effect with its 95% interval, and what the interval says.
//!
//! Each test is decided by its own interval, at 95%: a claim that is false on the border holds in one of 40 studies. A claim
//! made of several tests holds if all of them do.

mod networks;
#[cfg(test)]
pub(super) mod planted;

pub(super) use networks::{
    accounted_for, correlated_in_sign, correlated_strongly, halved_by_twins, stronger_than, weakens_or_breaks,
};

use crate::numeric::Streams;
use crate::numeric::bootstrap::bootstrap;
use serde::Serialize;
use std::fmt;

/// What was found of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is true here: the interval lies on its side.
    Holds,
    /// It is false here: the interval lies on the other side.
    Fails,
    /// The data cannot tell: the interval covers both, or there is none.
    Undecided,
}

impl Verdict {
    /// What is found of two claims together: they fail as soon as one does.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Fails, _) | (_, Self::Fails) => Self::Fails,
            (Self::Holds, Self::Holds) => Self::Holds,
            _ => Self::Undecided,
        }
    }

    /// What is found of "one or the other".
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Holds, _) | (_, Self::Holds) => Self::Holds,
            (Self::Fails, Self::Fails) => Self::Fails,
            _ => Self::Undecided,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Holds => "holds",
            Self::Fails => "fails",
            Self::Undecided => "undecided",
        })
    }
}

/// A number with its 95% interval over `n` rows (networks, functions, runs).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effect {
    /// The number; `None` where it is not defined.
    pub value: Option<f64>,
    /// Ends of its interval; `None` for too few rows.
    pub interval: Option<[f64; 2]>,
    /// Rows behind it.
    pub n: usize,
}

impl Effect {
    /// A statistic of `n` rows with its [`bootstrap`] interval; the statistic gets the indices of the rows to use.
    pub fn over(n: usize, streams: Streams, statistic: impl Fn(&[usize]) -> Option<f64>) -> Self {
        let all: Vec<usize> = (0..n).collect();
        let [interval] = bootstrap(n, streams, |rows| [statistic(rows)]);
        Self { value: statistic(&all), interval, n }
    }

    /// The mean of values, one per row.
    pub fn mean(values: &[f64], streams: Streams) -> Self {
        let mean = |rows: &[usize]| rows.iter().map(|&row| values[row]).sum::<f64>() / rows.len() as f64;
        Self::over(values.len(), streams, |rows| (!rows.is_empty()).then(|| mean(rows)))
    }
}

/// One test behind a claim.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Test {
    /// What the effect is of.
    pub of: String,
    /// The effect.
    #[serde(serialize_with = "crate::numeric::serialize_optional_real")]
    pub effect: Option<f64>,
    /// Ends of its 95% interval; `None` for too few rows.
    pub interval: Option<[f64; 2]>,
    /// Rows (networks, functions, runs) behind it.
    pub n: usize,
    /// What the interval says.
    pub verdict: Verdict,
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: f64| match value.abs() {
            0.0 => "0".to_owned(),
            size if (1e-3..1e4).contains(&size) => format!("{value:.3}"),
            _ => format!("{value:.1e}"),
        };
        write!(f, "{}: {}", self.of, self.effect.map_or("not defined".to_owned(), number))?;
        if let Some([low, high]) = self.interval {
            write!(f, " [{}, {}]", number(low), number(high))?;
        }
        write!(f, ", n = {}: {}", self.n, self.verdict)
    }
}

fn test(of: &str, effect: Effect, decide: impl Fn([f64; 2]) -> Verdict) -> Test {
    let Effect { value, interval, n } = effect;
    let verdict = interval.map_or(Verdict::Undecided, decide);
    Test { of: of.to_owned(), effect: value, interval, n, verdict }
}

/// The effect is above `bound`.
pub(super) fn above(of: &str, effect: Effect, bound: f64) -> Test {
    test(of, effect, |[low, high]| match () {
        () if low > bound => Verdict::Holds,
        () if high < bound => Verdict::Fails,
        () => Verdict::Undecided,
    })
}

/// The effect is below `bound`.
pub(super) fn below(of: &str, effect: Effect, bound: f64) -> Test {
    test(of, effect, |[low, high]| match () {
        () if high < bound => Verdict::Holds,
        () if low > bound => Verdict::Fails,
        () => Verdict::Undecided,
    })
}

/// An equality that holds exactly or not at all: the `worst` of `n` deviations is at most `tolerance`, which covers
/// rounding. NaN fails; nothing to compare decides nothing.
pub(super) fn equal(of: &str, worst: f64, tolerance: f64, n: usize) -> Test {
    let verdict = match () {
        () if n == 0 => Verdict::Undecided,
        () if worst <= tolerance => Verdict::Holds,
        () => Verdict::Fails,
    };
    let effect = (n > 0).then_some(worst);
    Test {
        of: of.to_owned(),
        effect,
        interval: effect.filter(|worst| worst.is_finite()).map(|worst| [worst; 2]),
        n,
        verdict,
    }
}

/// A claim of the paper and what was found of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Claim {
    /// What the paper says.
    pub claim: String,
    /// Whether it held here: whether all tests did.
    pub verdict: Verdict,
    /// The numbers, in a sentence.
    pub found: String,
    /// Effect of the test that decides: the first with the claim's verdict.
    #[serde(serialize_with = "crate::numeric::serialize_optional_real")]
    pub effect: Option<f64>,
    /// Ends of that effect's 95% interval.
    pub interval: Option<[f64; 2]>,
    /// Rows behind that test.
    pub n: usize,
    /// All tests.
    pub tests: Vec<Test>,
}

impl Claim {
    /// A claim that holds if all of its tests do; undecided if there are none.
    pub fn new(claim: &str, tests: Vec<Test>, found: String) -> Self {
        let verdict = tests.iter().map(|test| test.verdict).reduce(Verdict::and).unwrap_or(Verdict::Undecided);
        let deciding = tests.iter().find(|test| test.verdict == verdict);
        Self {
            claim: claim.to_owned(),
            verdict,
            found,
            effect: deciding.and_then(|test| test.effect),
            interval: deciding.and_then(|test| test.interval),
            n: deciding.map_or(0, |test| test.n),
            tests,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(low: f64, high: f64) -> Effect {
        Effect { value: Some((low + high) / 2.0), interval: Some([low, high]), n: 9 }
    }

    #[test]
    fn an_interval_decides_by_the_side_it_is_on() {
        use Verdict::{Fails, Holds, Undecided};
        for (low, high, up, down) in
            [(0.1, 0.9, Holds, Fails), (-0.9, -0.1, Fails, Holds), (-0.1, 0.9, Undecided, Undecided)]
        {
            assert_eq!(above("x", effect(low, high), 0.0).verdict, up);
            assert_eq!(below("x", effect(low, high), 0.0).verdict, down);
        }
        let none = Effect { value: Some(0.9), interval: None, n: 3 };
        assert_eq!((above("x", none, 0.0).verdict, below("x", none, 0.0).verdict), (Undecided, Undecided));
        assert_eq!(equal("x", 1e-13, 1e-12, 4).verdict, Holds);
        assert_eq!(equal("x", 1e-11, 1e-12, 4).verdict, Fails);
        assert_eq!(equal("x", f64::NAN, 1e-12, 4).verdict, Fails);
        assert_eq!(equal("x", 0.0, 1e-12, 0).verdict, Undecided);
    }

    #[test]
    fn a_claim_fails_with_one_of_its_tests_and_shows_that_one() {
        let holds = above("a", effect(0.1, 0.2), 0.0);
        let fails = above("b", effect(-0.2, -0.1), 0.0);
        let open = above("c", effect(-0.2, 0.1), 0.0);
        let claim = |tests: &[&Test]| Claim::new("c", tests.iter().map(|&test| test.clone()).collect(), String::new());
        assert_eq!(claim(&[&holds, &holds]).verdict, Verdict::Holds);
        assert_eq!(claim(&[&holds, &open]).verdict, Verdict::Undecided);
        let failed = claim(&[&holds, &open, &fails]);
        assert_eq!((failed.verdict, failed.interval, failed.n), (Verdict::Fails, Some([-0.2, -0.1]), 9));
        assert_eq!(claim(&[]).verdict, Verdict::Undecided);
        let document = serde_json::to_value(&failed).unwrap();
        assert_eq!((&document["verdict"], &document["tests"][1]["verdict"]), (&"fails".into(), &"undecided".into()));
        assert_eq!(holds.to_string(), "a: 0.150 [0.100, 0.200], n = 9: holds");
    }

    #[test]
    fn or_needs_one_and_both_to_fail() {
        use Verdict::{Fails, Holds, Undecided};
        assert_eq!([Holds.or(Fails), Fails.or(Fails), Fails.or(Undecided)], [Holds, Fails, Undecided]);
        assert_eq!([Holds.and(Fails), Holds.and(Holds), Holds.and(Undecided)], [Fails, Holds, Undecided]);
    }
}
