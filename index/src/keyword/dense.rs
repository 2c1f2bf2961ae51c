//! What a segment keeps of a word that many of its documents have: who has it, and how often, without decoding postings.

use super::readable::contains;

/// A word in at least one of so many documents keeps a bitmap of them.
const SHARE: usize = 16;
/// A word in at least one of so many keeps their frequencies too.
const FREQUENT_SHARE: usize = 8;
/// A frequency of so many or more is read from the postings.
const MANY: u8 = 15;

/// The documents of a frequent word.
pub(super) struct Dense {
    /// A bit for each that has the word.
    pub(super) members: Vec<u64>,
    /// Four bits a document, the lower four first, at most [`MANY`].
    frequencies: Option<Vec<u8>>,
}

impl Dense {
    /// Room for a word in `having` of `len` documents; `None` where they are not enough.
    pub(super) fn room(having: u32, len: usize) -> Option<Dense> {
        let among = |share: usize| having as usize * share >= len;
        let frequencies = among(FREQUENT_SHARE).then(|| vec![0; len.div_ceil(2)]);
        among(SHARE).then(|| Dense { members: vec![0; len.div_ceil(64)], frequencies })
    }

    /// Notes that a document has the word.
    #[inline]
    pub(super) fn insert(&mut self, doc: u32, frequency: u32) {
        if let Some(word) = self.members.get_mut(doc as usize / 64) {
            *word |= 1 << (doc % 64);
        }
        if let Some(pair) = self.frequencies.as_mut().and_then(|pairs| pairs.get_mut(doc as usize / 2)) {
            *pair |= u8::try_from(frequency).unwrap_or(MANY).min(MANY) << (doc % 2 * 4);
        }
    }

    /// How often a document has the word; `None` when only its postings say.
    #[inline]
    pub(super) fn frequency(&self, doc: u32) -> Option<u32> {
        // The bits are far fewer than the frequencies, and mostly in the processor's cache.
        if contains(&self.members, doc) { self.frequency_of_member(doc) } else { Some(0) }
    }

    /// The same for a document that is known to have the word.
    #[inline]
    pub(super) fn frequency_of_member(&self, doc: u32) -> Option<u32> {
        let pair = self.frequencies.as_ref()?.get(doc as usize / 2)?;
        Some(u32::from(pair >> (doc % 2 * 4) & MANY)).filter(|frequency| *frequency != u32::from(MANY))
    }

    pub(super) fn bytes(&self) -> usize {
        self.members.len() * 8 + self.frequencies.as_ref().map_or(0, Vec::len)
    }
}
