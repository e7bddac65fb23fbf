//! Unevaluated sums of two f64: some 31 decimal digits, for the few numbers that cancellation would leave without any.
//!
//! Dekker 1971; error-free transformations after Knuth and, with fused multiply-add, Ogita, Rump and Oishi 2005. Each
//! operation has a relative error below `2^-102`. Numbers are taken to be far from overflow and underflow.

use std::cmp::Ordering;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// `high + low`, where `high` is the sum rounded to f64.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DoubleDouble {
    high: f64,
    low: f64,
}

/// `a + b` and what rounding took from it, for any `a` and `b`.
fn two_sum(a: f64, b: f64) -> DoubleDouble {
    let high = a + b;
    let part = high - a;
    DoubleDouble { high, low: (a - (high - part)) + (b - part) }
}

/// `a + b` and what rounding took from it, for `|a| >= |b|`.
fn quick_two_sum(a: f64, b: f64) -> DoubleDouble {
    let high = a + b;
    DoubleDouble { high, low: b - (high - a) }
}

impl DoubleDouble {
    /// Zero.
    pub const ZERO: Self = Self { high: 0.0, low: 0.0 };

    /// `a b` without any rounding.
    pub fn product(a: f64, b: f64) -> Self {
        let high = a * b;
        Self { high, low: a.mul_add(b, -high) }
    }

    /// `a + b` without any rounding.
    pub fn sum(a: f64, b: f64) -> Self {
        two_sum(a, b)
    }

    /// The nearest f64.
    pub fn to_f64(self) -> f64 {
        self.high
    }

    /// Square root of a number that is not negative.
    pub fn sqrt(self) -> Self {
        if !(self.high > 0.0) {
            return Self::ZERO;
        }
        // One step of Newton's method doubles the digits of the f64 root.
        let root = self.high.sqrt();
        let left = self - Self::product(root, root);
        quick_two_sum(root, left.high / (2.0 * root))
    }

    /// Its size.
    pub fn abs(self) -> Self {
        if self.high < 0.0 { -self } else { self }
    }
}

impl From<f64> for DoubleDouble {
    fn from(high: f64) -> Self {
        Self { high, low: 0.0 }
    }
}

impl Neg for DoubleDouble {
    type Output = Self;

    fn neg(self) -> Self {
        Self { high: -self.high, low: -self.low }
    }
}

impl Add for DoubleDouble {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (high, low) = (two_sum(self.high, other.high), two_sum(self.low, other.low));
        let sum = quick_two_sum(high.high, high.low + low.high);
        quick_two_sum(sum.high, sum.low + low.low)
    }
}

impl Sub for DoubleDouble {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for DoubleDouble {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let product = Self::product(self.high, other.high);
        quick_two_sum(product.high, product.low + (self.high * other.low + self.low * other.high))
    }
}

impl Mul<f64> for DoubleDouble {
    type Output = Self;

    fn mul(self, other: f64) -> Self {
        self * Self::from(other)
    }
}

impl Div for DoubleDouble {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        let first = self.high / other.high;
        let left = self - other * first;
        let second = left.high / other.high;
        let left = left - other * second;
        quick_two_sum(first, second) + Self::from(left.high / other.high)
    }
}

impl PartialOrd for DoubleDouble {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.high.partial_cmp(&other.high).map(|order| order.then(self.low.total_cmp(&other.low)))
    }
}

impl PartialEq<f64> for DoubleDouble {
    fn eq(&self, other: &f64) -> bool {
        self.high == *other && self.low == 0.0
    }
}

impl PartialOrd<f64> for DoubleDouble {
    fn partial_cmp(&self, other: &f64) -> Option<Ordering> {
        self.partial_cmp(&Self::from(*other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::Streams;
    use rand::RngExt;

    /// Integers below `2^50` over powers of two: sums, products and quotients have answers in `i128`.
    fn integer(generator: &mut impl RngExt) -> i64 {
        generator.random_range(-(1_i64 << 50)..1_i64 << 50)
    }

    fn exact(value: i128) -> DoubleDouble {
        let high = value as f64;
        DoubleDouble { high, low: (value - high as i128) as f64 }
    }

    #[test]
    fn sums_and_products_are_those_of_integers() {
        let mut generator = Streams::new(1).stream("double double", 0);
        for _ in 0..10_000 {
            let [a, b, c, d] = std::array::from_fn(|_| integer(&mut generator));
            let number = |value: i64| DoubleDouble::from(value as f64);
            // a b - c d is exact: below 2^102 in size.
            let difference = number(a) * number(b) - number(c) * number(d);
            let expected = exact(i128::from(a) * i128::from(b) - i128::from(c) * i128::from(d));
            assert_eq!(difference, expected, "{a} {b} {c} {d}");
        }
    }

    #[test]
    fn quotients_and_roots_undo_products() {
        let mut generator = Streams::new(1).stream("double double", 1);
        for _ in 0..10_000 {
            let x = DoubleDouble::sum(generator.random::<f64>() + 0.1, 1e-17 * generator.random::<f64>());
            let y = DoubleDouble::sum(generator.random::<f64>() + 0.1, -1e-17 * generator.random::<f64>());
            for back in [x * y / y, (x * x).sqrt(), x + y - y] {
                assert!((back - x).abs().to_f64() < 1e-30 * x.to_f64(), "{back:?} for {x:?}");
            }
        }
        assert_eq!(DoubleDouble::ZERO.sqrt(), 0.0);
        // (1 + 2^-52)^2 - 1 - 2^-51 = 2^-104: gone in f64.
        let near = DoubleDouble::from(1.0 + f64::EPSILON);
        let left = near * near - DoubleDouble::from(1.0 + 2.0 * f64::EPSILON);
        assert_eq!(left, f64::EPSILON * f64::EPSILON);
    }
}
