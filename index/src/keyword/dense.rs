//! What a segment keeps of a word that many of its documents have: who has it, and how often, without decoding postings.

use super::readable::contains;

/// A word in at least one of so many documents is kept so.
const SHARE: usize = 16;
/// A frequency of so many or more is read from the postings.
const MANY: u8 = u8::MAX;

/// The documents of a frequent word.
pub(super) struct Dense {
    /// A bit for each that has the word.
    pub(super) members: Vec<u64>,
    /// By document of the segment, at most [`MANY`].
    frequencies: Vec<u8>,
}

impl Dense {
    /// Room for a word in `having` of `len` documents; `None` where they are not enough.
    pub(super) fn room(having: u32, len: usize) -> Option<Dense> {
        (having as usize * SHARE >= len).then(|| Dense { members: vec![0; len.div_ceil(64)], frequencies: vec![0; len] })
    }

    /// Notes that a document has the word.
    #[inline]
    pub(super) fn insert(&mut self, doc: u32, frequency: u32) {
        if let (Some(word), Some(slot)) = (self.members.get_mut(doc as usize / 64), self.frequencies.get_mut(doc as usize)) {
            *word |= 1 << (doc % 64);
            *slot = u8::try_from(frequency).unwrap_or(MANY);
        }
    }

    /// How often a document has the word; `None` when only its postings say.
    #[inline]
    pub(super) fn frequency(&self, doc: u32) -> Option<u32> {
        // The bits are far fewer than the frequencies, and mostly in the processor's cache.
        if !contains(&self.members, doc) {
            return Some(0);
        }
        self.frequencies.get(doc as usize).filter(|frequency| **frequency != MANY).map(|frequency| u32::from(*frequency))
    }

    pub(super) fn bytes(&self) -> usize {
        self.members.len() * 8 + self.frequencies.len()
    }
}
