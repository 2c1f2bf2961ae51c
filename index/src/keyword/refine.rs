//! The bounds of blocks' documents, word by word made smaller: the inner loop of a keyword search.

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

/// A block that may have hits.
#[derive(Clone, Copy)]
pub(super) struct Reaching {
    /// Its number in the segment.
    pub(super) block: u32,
    /// What a bound must not be below.
    pub(super) enough: f32,
    /// How high each document can score, where it has as much of each dense word as the block may have.
    pub(super) bounds: [f32; BLOCK],
    /// K(l) of each document.
    pub(super) norms: [f32; BLOCK],
}

/// Replaces in the bounds, word by word, what the block may have by what each document has itself, and drops the blocks that
/// reach nothing any more. Word by word and not block by block, so that the memory of each word is read in order.
pub(super) fn refine(words: &[DenseWord<'_>], reaching: &mut Vec<Reaching>) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "functions for more than the baseline are unsafe to call")]
        // SAFETY: the processor has AVX2.
        unsafe {
            refine_avx2(words, reaching);
        }
        return;
    }
    refine_in_lanes(words, reaching);
}

/// The same, compiled for eight lanes.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn refine_avx2(words: &[DenseWord<'_>], reaching: &mut Vec<Reaching>) {
    refine_in_lanes(words, reaching);
}

/// Inlined, so that it is compiled for what its callers are.
#[inline(always)]
fn refine_in_lanes(words: &[DenseWord<'_>], reaching: &mut Vec<Reaching>) {
    for word in words {
        let mut kept = 0;
        for at in 0..reaching.len() {
            let Some(mut block) = reaching.get(at).copied() else { break };
            let most = word.dense.most.get(block.block as usize).copied().unwrap_or_default();
            if most > 0 {
                let assumed = f32::from(most) * word.unit;
                let frequencies = word.dense.frequencies(block.block as usize);
                for ((bound, norm), frequency) in block.bounds.iter_mut().zip(&block.norms).zip(frequencies) {
                    *bound += word.weight * (frequency / (frequency + norm)) - assumed;
                }
            }
            if let Some(place) = reaching.get_mut(kept) {
                *place = block;
            }
            kept += usize::from(block.bounds.iter().any(|bound| *bound >= block.enough));
        }
        reaching.truncate(kept);
    }
}
