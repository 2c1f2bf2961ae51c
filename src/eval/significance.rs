//! The paired randomization test (Fisher 1935; for retrieval Smucker, Allan & Carterette 2007): if two systems were the
//! same, the sign of each query's difference would be a coin's fall. Two-sided, over the mean, with a fixed seed.

/// How often the signs are drawn.
const ROUNDS: u32 = 10_000;
const SEED: u64 = 0x5167_6874_6c69_6e65;
/// Sums in another order differ by this much and are the same.
const ROUNDING: f64 = 1e-9;

/// The probability of a mean difference at least as large, either way, if signs were random: (hits + 1) / (rounds + 1).
pub(super) fn p_value(differences: &[f64]) -> f64 {
    let differing: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    let observed = differing.iter().sum::<f64>().abs();
    let mut signs = Signs(SEED);
    let mut as_large = 0u32;
    for _ in 0..ROUNDS {
        let mut sum = 0.0;
        for word in differing.chunks(64) {
            let mut bits = signs.next();
            for difference in word {
                sum += if bits & 1 == 0 { *difference } else { -difference };
                bits >>= 1;
            }
        }
        as_large += u32::from(sum.abs() >= observed - ROUNDING);
    }
    f64::from(as_large + 1) / f64::from(ROUNDS + 1)
}

/// SplitMix64 (Steele, Lea & Flood 2014).
struct Signs(u64);

impl Signs {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every combination of signs.
    fn exact(differences: &[f64]) -> f64 {
        let observed = differences.iter().sum::<f64>().abs();
        let combinations = 1u32 << differences.len();
        let sum = |signs: u32| -> f64 {
            let signed = (0..).zip(differences).map(|(at, value)| if signs >> at & 1 == 0 { *value } else { -value });
            signed.sum()
        };
        let as_large = (0..combinations).filter(|signs| sum(*signs).abs() >= observed - ROUNDING).count();
        as_large as f64 / f64::from(combinations)
    }

    #[test]
    fn agrees_with_every_combination_of_signs() {
        let mut draw = Signs(3);
        let mut seen = Vec::new();
        for queries in 1..=14 {
            for shift in [0.0, 0.2, 0.6] {
                let one = |_| (draw.next() >> 11) as f64 / (1u64 << 53) as f64 - 0.5 + shift;
                let differences: Vec<f64> = (0..queries).map(one).collect();
                let (sampled, exact) = (p_value(&differences), exact(&differences));
                // Five standard errors of 10,000 draws.
                let bound = 5.0 * (exact * (1.0 - exact) / f64::from(ROUNDS)).sqrt() + 2.0 / f64::from(ROUNDS);
                assert!((sampled - exact).abs() <= bound, "{queries} queries: {sampled}, exactly {exact}");
                seen.push(exact);
            }
        }
        assert!(seen.iter().any(|p| *p < 0.01) && seen.iter().any(|p| *p > 0.9), "{seen:?}: the range is narrow");
    }

    #[test]
    fn nothing_differing_is_no_evidence() {
        assert_eq!(p_value(&[]), 1.0);
        assert_eq!(p_value(&[0.0; 20]), 1.0);
        assert_eq!(p_value(&[0.5, -0.5]), 1.0);
    }

    #[test]
    fn the_same_differences_give_the_same_answer() {
        let differences: Vec<f64> = (0..100).map(|n| f64::from(n % 7) - 2.5).collect();
        assert_eq!(p_value(&differences).to_bits(), p_value(&differences).to_bits());
        let more: Vec<f64> = differences.iter().copied().chain([0.0; 50]).collect();
        assert_eq!(p_value(&differences), p_value(&more));
    }
}
