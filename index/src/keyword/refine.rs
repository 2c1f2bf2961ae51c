//! The bounds of a block's documents, word by word made smaller: the inner loop of a keyword search.

use super::dense::{BLOCK, Dense};

/// A dense word of the question.
#[derive(Clone, Copy)]
pub(super) struct DenseWord<'a> {
    pub(super) dense: &'a Dense,
    /// Its weight in the question times k1 + 1.
    pub(super) weight: f32,
    /// What a 255th of its blocks' bounds is worth.
    pub(super) unit: f32,
}

/// A bit for each document of a block that may reach a score of `enough`. `bounds` say how high they can score where each has
/// as much of every dense word as the block may have; word by word that is replaced by what it has itself. `norms` are K(l) of
/// the documents.
pub(super) fn refine(words: &[DenseWord<'_>], block: usize, norms: &[f32; BLOCK], bounds: [f32; BLOCK], enough: f32) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "functions for more than the baseline are unsafe to call")]
        // SAFETY: the processor has AVX2.
        return unsafe { refine_avx2(words, block, norms, bounds, enough) };
    }
    refine_in_lanes(words, block, norms, bounds, enough)
}

/// The same, compiled for eight lanes.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn refine_avx2(words: &[DenseWord<'_>], block: usize, norms: &[f32; BLOCK], bounds: [f32; BLOCK], enough: f32) -> u64 {
    refine_in_lanes(words, block, norms, bounds, enough)
}

/// Inlined, so that it is compiled for what its callers are.
#[inline(always)]
fn refine_in_lanes(words: &[DenseWord<'_>], block: usize, norms: &[f32; BLOCK], mut bounds: [f32; BLOCK], enough: f32) -> u64 {
    for word in words {
        let most = word.dense.most.get(block).copied().unwrap_or_default();
        if most == 0 {
            continue;
        }
        let assumed = f32::from(most) * word.unit;
        let frequencies = word.dense.frequencies(block);
        for ((bound, norm), frequency) in bounds.iter_mut().zip(norms).zip(frequencies) {
            *bound += word.weight * (frequency / (frequency + norm)) - assumed;
        }
        if bounds.iter().all(|bound| *bound < enough) {
            return 0;
        }
    }
    (0u32..).zip(bounds).map(|(bit, bound)| u64::from(bound >= enough) << bit).sum()
}
