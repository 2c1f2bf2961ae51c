//! How much of an embedding model's window a character takes.

use super::ChunkLimits;

/// Weights are counted in halves of a character, so that they stay integers.
const UNITS_PER_CHAR: usize = 2;
/// Limits above a billion characters mean the same.
const MAX_CHARS: usize = 1 << 30;

/// The limits of chunks in units of weight, made consistent.
pub(super) struct Bounds {
    pub target: usize,
    pub max: usize,
    pub min: usize,
}

impl Bounds {
    pub(super) fn new(limits: &ChunkLimits) -> Self {
        let max = limits.max_chars.clamp(1, MAX_CHARS) * UNITS_PER_CHAR;
        let target = limits.target_chars.clamp(1, MAX_CHARS) * UNITS_PER_CHAR;
        let target = target.min(max);
        // Two pieces below the minimum must fit into one chunk, with room for balance.
        let min = limits.min_chars.min(MAX_CHARS).saturating_mul(UNITS_PER_CHAR).min(target / 2);
        Self { target, max, min }
    }
}

/// The weight of a text, in units.
pub(super) fn weight_of(text: &str) -> usize {
    text.chars().map(weight).sum()
}

/// The weight of a character, in units.
pub(super) fn weight(character: char) -> usize {
    if character.is_ascii() {
        if character.is_ascii_punctuation() { 4 } else { 2 }
    } else if is_cjk(character) {
        5
    } else {
        2
    }
}

/// Whether a character is of a script that is written without spaces, mostly one word piece per character.
pub(super) fn is_cjk(character: char) -> bool {
    matches!(u32::from(character),
        // Hangul letters; radicals to ideographs, with kana between; Yi; Hangul; compatibility ideographs;
        0x1100..=0x11FF | 0x2E80..=0x9FFF | 0xA000..=0xA4CF | 0xAC00..=0xD7FF | 0xF900..=0xFAFF
        // full and half width forms; the supplementary ideographic planes.
        | 0xFF00..=0xFFEF | 0x20000..=0x3FFFF)
}
