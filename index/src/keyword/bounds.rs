//! The bounds of a range's documents: the inner loops of a keyword search, each compiled for the baseline and for eight lanes.
//!
//! Blocks of 8 documents are bounded first, by what the words can give any of them ([`add_most`]). Those that reach what has to be
//! beaten also by which words each of their documents has ([`reach`]) are refined, word by word, by how often it has them
//! ([`refine`]).

use super::dense::{BLOCK, Dense, SLACK};
use super::readable::ones;

/// The share of the greatest bound by which a bound may be wrong after a few operations for each of 512 words, each of relative
/// error 2⁻²⁴, and [`SLACK`].
pub(super) const DRIFT: f32 = 3e-4;
/// Blocks whose frequencies are asked for ahead.
const AHEAD: usize = 16;

/// The low seven bits of each byte.
const LOW: u64 = 0x7F7F_7F7F_7F7F_7F7F;
/// By the bits of a block's documents: what makes the bounds of those that are not permitted −∞, and leaves the others alone.
static HIDDEN: [[f32; BLOCK]; 256] = by_bits(f32::NEG_INFINITY);
/// By the bits of a block's documents: 1 for those that do not have a word.
static ABSENT: [[f32; BLOCK]; 256] = by_bits(1.0);

/// By the bits of a block's documents: 0 where they are set, and this where they are not.
#[expect(clippy::indexing_slicing, reason = "it is computed by the compiler, which would notice")]
const fn by_bits(unset: f32) -> [[f32; BLOCK]; 256] {
    let mut by_bits = [[unset; BLOCK]; 256];
    let mut at = 0;
    while at < 256 * BLOCK {
        if (at / BLOCK) >> (at % BLOCK) & 1 == 1 {
            by_bits[at / BLOCK][at % BLOCK] = 0.0;
        }
        at += 1;
    }
    by_bits
}

/// A dense word of the question.
#[derive(Clone, Copy)]
pub(super) struct DenseWord<'a> {
    pub(super) dense: &'a Dense,
    /// Its weight in the question times k1 + 1.
    pub(super) weight: f32,
    /// What a 255th of its blocks' bounds is worth.
    pub(super) unit: f32,
    /// Whether documents are asked if they have it, before they are asked how often.
    pub(super) telling: bool,
}

/// What is known of the documents of a range.
#[derive(Clone, Copy)]
pub(super) struct Range<'a> {
    /// The number of its first block in the segment.
    pub(super) block: u32,
    /// A bit for each document that is permitted.
    pub(super) bits: &'a [u64],
    /// By block: the most that the dense words give a document.
    pub(super) most: &'a [f32],
    /// By block: what the sparse words give its documents together.
    pub(super) given: &'a [f32],
    /// By document: what the sparse words give it.
    pub(super) sums: &'a [f32],
    /// The codes of the documents' lengths; there may be fewer or more of them.
    pub(super) lengths: &'a [u8],
    /// By code: K(l).
    pub(super) norms: &'a [f32; 256],
}

/// A block that may have hits.
#[derive(Clone, Copy)]
pub(super) struct Reaching {
    /// Its number in the segment.
    pub(super) block: u32,
    /// What a bound must not be below.
    pub(super) enough: f32,
    /// How high each document can score, where it has as much of each dense word as the block may have, of a telling one only if it
    /// has it; −∞ for one that is not permitted.
    pub(super) bounds: [f32; BLOCK],
    /// K(l) of each document.
    pub(super) norms: [f32; BLOCK],
}

/// Defines functions that are compiled twice: for the baseline and for processors that have AVX2.
macro_rules! in_lanes {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $kind:ty),*) is $body:ident, or $wide:ident;)*) => {$(
        $(#[$doc])*
        pub(super) fn $name($($argument: $kind),*) {
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("popcnt") {
                #[target_feature(enable = "avx2,popcnt")]
                fn $wide($($argument: $kind),*) {
                    $body($($argument),*);
                }
                #[expect(unsafe_code, reason = "functions for more than the baseline are unsafe to call")]
                // SAFETY: the processor has AVX2 and POPCNT.
                unsafe {
                    $wide($($argument),*);
                }
                return;
            }
            $body($($argument),*);
        }
    )*};
}

in_lanes! {
    /// Adds the most that a dense word gives a document of each block; `codes` are its blocks' bounds.
    add_most(most: &mut [f32], codes: &[u8], unit: f32) is add_most_in_lanes, or add_most_wide;
    /// Finds the blocks of a range whose bound is not below `cut` and that have a permitted document that may score `threshold` with
    /// the telling words that it has.
    reach(range: Range<'_>, words: &[DenseWord<'_>], cut: f32, threshold: f32, reaching: &mut Vec<Reaching>)
        is reach_in_lanes, or reach_wide;
    /// Replaces in the bounds, word by word, what the block may have by how often each document has it, and drops the blocks that
    /// reach nothing any more. Word by word and not block by block, so that the memory of each word is read in order.
    refine(words: &[DenseWord<'_>], reaching: &mut Vec<Reaching>) is refine_in_lanes, or refine_wide;
}

// These are inlined, so that they are compiled for what their callers are.

#[inline(always)]
fn add_most_in_lanes(most: &mut [f32], codes: &[u8], unit: f32) {
    for (most, code) in most.iter_mut().zip(codes) {
        *most += f32::from(*code) * unit;
    }
}

#[inline(always)]
fn reach_in_lanes(range: Range<'_>, words: &[DenseWord<'_>], cut: f32, threshold: f32, reaching: &mut Vec<Reaching>) {
    let bounds = range.most.as_chunks::<BLOCK>().0.iter().zip(range.given.as_chunks::<BLOCK>().0);
    for ((first, word), (most, given)) in (0usize..).step_by(8).zip(range.bits).zip(bounds) {
        // Eight blocks are the documents of a word of bits, a byte each.
        let mut bounds = [0.0; 8];
        let mut enough = [0u8; 8];
        for (((bound, enough), most), given) in bounds.iter_mut().zip(&mut enough).zip(most).zip(given) {
            *bound = (most + given) * SLACK;
            *enough = if *bound >= cut { 0x80 } else { 0 };
        }
        for bit in ones(u64::from_le_bytes(enough) & (((word & LOW) + LOW) | word)) {
            let at = bit as usize / BLOCK;
            let sums = range.sums.get((first + at) * BLOCK..).and_then(|sums| sums.first_chunk::<BLOCK>());
            let (Some(sums), Some(bound), Some(most)) = (sums, bounds.get(at), most.get(at)) else { continue };
            let enough = threshold - bound * DRIFT;
            let Some(hidden) = HIDDEN.get((word >> (at * BLOCK)) as usize & 0xFF) else { continue };
            let mut bounds = sums.map(|sum| sum + most);
            bounds.iter_mut().zip(hidden).for_each(|(bound, hidden)| *bound += hidden);
            let block = range.block as usize + first + at;
            if may_reach(&mut bounds, words, block, enough) {
                let mut norms = [1.0; BLOCK];
                let lengths = range.lengths.get((first + at) * BLOCK..).unwrap_or_default();
                for (norm, length) in norms.iter_mut().zip(lengths) {
                    *norm = range.norms.get(usize::from(*length)).copied().unwrap_or_default();
                }
                reaching.push(Reaching { block: block as u32, enough, bounds, norms });
            }
        }
    }
}

/// Takes from the bounds of a block's documents what the block may have of telling words that they do not have; false when none
/// is enough.
#[inline(always)]
fn may_reach(bounds: &mut [f32; BLOCK], words: &[DenseWord<'_>], block: usize, enough: f32) -> bool {
    for word in words.iter().filter(|word| word.telling) {
        if !bounds.iter().any(|bound| *bound >= enough) {
            return false;
        }
        let most = word.dense.most.get(block).copied().unwrap_or_default();
        let members = word.dense.members.get(block / 8).map_or(0, |word| word >> (block % 8 * BLOCK) & 0xFF);
        if let Some(absent) = ABSENT.get(members as usize) {
            let assumed = f32::from(most) * word.unit;
            bounds.iter_mut().zip(absent).for_each(|(bound, absent)| *bound -= absent * assumed);
        }
    }
    bounds.iter().any(|bound| *bound >= enough)
}

#[inline(always)]
fn refine_in_lanes(words: &[DenseWord<'_>], reaching: &mut Vec<Reaching>) {
    for word in words {
        let mut kept = 0;
        for at in 0..reaching.len() {
            if let Some(ahead) = reaching.get(at + AHEAD) {
                word.dense.prefetch(ahead.block as usize);
            }
            let Some(mut block) = reaching.get(at).copied() else { break };
            let most = word.dense.most.get(block.block as usize).copied().unwrap_or_default();
            if most > 0 {
                let assumed = f32::from(most) * word.unit;
                let frequencies = word.dense.frequencies(block.block as usize);
                for ((bound, norm), frequency) in block.bounds.iter_mut().zip(&block.norms).zip(frequencies) {
                    let assumed = if word.telling && frequency == 0.0 { 0.0 } else { assumed };
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
