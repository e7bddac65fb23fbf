//! The instruction set for which the loops of this crate are compiled again, chosen when the program runs.
//!
//! `FLATGAUGE_INSTRUCTIONS=avx512|avx2|baseline` (`neon|baseline` on ARM) asks for one below the widest that the machine has,
//! so that one machine can show what another will compute. Products of matrices and factorisations are faer's, which chooses
//! by itself.

use pulp::Arch;
use std::sync::OnceLock;

/// Name of the environment variable.
const VARIABLE: &str = "FLATGAUGE_INSTRUCTIONS";

/// The instruction set in use.
#[derive(Clone, Copy)]
pub(crate) struct Instructions {
    /// `avx512`, `avx2`, `neon` or `baseline`.
    pub name: &'static str,
    arch: Arch,
}

impl Instructions {
    /// What was asked for, or else the widest.
    ///
    /// # Panics
    /// Where [`check`](Self::check) refuses: nothing narrower or wider is taken in its place.
    #[inline]
    pub fn get() -> Self {
        static CHOSEN: OnceLock<Instructions> = OnceLock::new();
        *CHOSEN.get_or_init(|| Self::chosen().unwrap_or_else(|reason| panic!("{reason}")))
    }

    /// What is wrong with the environment variable.
    #[cfg(feature = "cli")]
    pub fn check() -> Result<(), String> {
        Self::chosen().map(|_| ())
    }

    fn chosen() -> Result<Self, String> {
        let mut available = Self::available();
        let Some(asked) = std::env::var_os(VARIABLE) else { return Ok(available.remove(0)) };
        match available.iter().find(|set| asked == set.name) {
            Some(set) => Ok(*set),
            None => {
                let names: Vec<&str> = available.iter().map(|set| set.name).collect();
                Err(format!("{VARIABLE} is '{}', expected one of {}", asked.to_string_lossy(), names.join(", ")))
            }
        }
    }

    /// What the machine has, the widest first.
    fn available() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        let widest = [
            pulp::x86::V4::try_new().map(|simd| Self { name: "avx512", arch: Arch::V4(simd) }),
            pulp::x86::V3::try_new().map(|simd| Self { name: "avx2", arch: Arch::V3(simd) }),
        ];
        #[cfg(target_arch = "aarch64")]
        let widest = [Some(Self { name: "neon", arch: Arch::new() })];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let widest = [None];
        widest.into_iter().flatten().chain([Self { name: "baseline", arch: Arch::Scalar }]).collect()
    }

    /// Runs work that is written for vectors of any width.
    #[inline]
    pub fn dispatch<Work: pulp::WithSimd>(self, work: Work) -> Work::Output {
        self.arch.dispatch(work)
    }
}

/// Runs a loop compiled for the instruction set in use. The operations and so the bits are the same in all of them.
///
/// A closure of more than a few lines is to be inlined always (`#[inline(always)] move ||`), or it may be left to the baseline. The
/// compiler does not know that captured slices do not overlap: a loop that reads again what it might have written copies it to a
/// local first.
#[inline]
pub(crate) fn vectorised<T>(work: impl FnOnce() -> T) -> T {
    Instructions::get().dispatch(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_of_the_machine_has_a_name_of_its_own_and_runs() {
        let sets = Instructions::available();
        let names: std::collections::HashSet<&str> = sets.iter().map(|set| set.name).collect();
        assert_eq!(names.len(), sets.len());
        assert_eq!(sets.last().map(|set| set.name), Some("baseline"));
        for set in sets {
            assert_eq!(set.dispatch(|| (1..=10).map(f64::from).sum::<f64>()), 55.0, "{}", set.name);
        }
    }
}
