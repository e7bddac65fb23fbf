//! What the cases of all failures have, and none of those that hold.

use crate::gate::features::Features;

/// Fewer failures, or fewer cases that hold, explain nothing: some feature tells any two cases apart.
const FEWEST: usize = 2;
/// Explanations that are given; of more none is the reason.
const MOST: usize = 3;

/// The pattern in one sentence; `None` where no feature of the cases explains all failures and none of the passes.
pub(super) fn pattern(failed: &[&Features], held: &[&Features]) -> Option<String> {
    if failed.len() < FEWEST || held.len() < FEWEST {
        return None;
    }
    let mut found: Vec<String> = Vec::new();
    let mut names: Vec<&str> = failed.iter().chain(held).flat_map(|features| features.traits.iter().copied()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let has = |features: &&Features| features.traits.contains(&name);
        if failed.iter().all(has) && !held.iter().any(has) {
            found.push(format!("with {name}"));
        } else if !failed.iter().any(has) && held.iter().all(has) {
            found.push(format!("without {name}"));
        }
    }
    for (place, (name, _)) in failed[0].counts.iter().enumerate() {
        let of = |features: &&Features| features.counts.get(place).map(|(_, count)| *count);
        let range = |all: &[&Features]| {
            let counts: Option<Vec<usize>> = all.iter().map(of).collect();
            counts.and_then(|counts| Some((*counts.iter().min()?, *counts.iter().max()?)))
        };
        let (Some((least, most)), Some((least_held, most_held))) = (range(failed), range(held)) else { continue };
        if least > most_held {
            found.push(format!("with {least} {name} or more"));
        } else if most < least_held {
            found.push(format!("with {most} {name} or fewer"));
        }
    }
    if found.is_empty() || found.len() > MOST {
        return None;
    }
    Some(format!(
        "it fails on the {} cases {}, and on none of the {} others",
        failed.len(),
        found.join(", which are those "),
        held.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(traits: &[&'static str], samples: usize) -> Features {
        Features { size: samples, traits: traits.to_vec(), counts: vec![("samples", samples)] }
    }

    #[test]
    fn the_feature_of_all_failures_and_of_no_pass_is_named() {
        let all = [case(&["relu", "batch norm"], 4), case(&["batch norm"], 9), case(&["relu"], 9), case(&[], 4)];
        let [a, b, c, d] = &all;
        let said = |failed: &[&Features], held: &[&Features]| pattern(failed, held).unwrap_or_default();
        assert_eq!(said(&[a, b], &[c, d]), "it fails on the 2 cases with batch norm, and on none of the 2 others");
        assert_eq!(said(&[c, d], &[a, b]), "it fails on the 2 cases without batch norm, and on none of the 2 others");
        assert_eq!(
            said(&[b, c], &[a, d]),
            "it fails on the 2 cases with 9 samples or more, and on none of the 2 others"
        );
        let (small, large) = (case(&["relu"], 2), case(&[], 8));
        let two =
            "it fails on the 2 cases with relu, which are those with 2 samples or fewer, and on none of the 2 others";
        assert_eq!(said(&[&small, &small], &[&large, &large]), two);
        // One pass with the feature, or one failure without, and it explains nothing.
        assert_eq!(pattern(&[a, d, b], &[c, b]), None);
        // Of two cases each something always differs.
        assert_eq!(pattern(&[a], &[c, d]), None);
        assert_eq!(pattern(&[a, b], &[c]), None);
    }
}
