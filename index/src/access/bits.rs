//! A plain bitmap over small dense numbers.

/// A set of numbers; reading beyond its end is `false`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// An empty set with room for numbers below `len`.
    pub(crate) fn with_len(len: usize) -> Bits {
        Bits { words: vec![0; len.div_ceil(64)] }
    }

    /// True when `number` is in the set.
    #[inline]
    pub(crate) fn contains(&self, number: u32) -> bool {
        self.words.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Adds `number`; true when it was not there before.
    pub(crate) fn insert(&mut self, number: u32) -> bool {
        let at = number as usize / 64;
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        let Some(word) = self.words.get_mut(at) else { return false };
        let bit = 1u64 << (number % 64);
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    /// Adds all numbers of a range.
    pub(crate) fn insert_range(&mut self, range: std::ops::Range<u32>) {
        let end = range.end as usize;
        if self.words.len() < end.div_ceil(64) {
            self.words.resize(end.div_ceil(64), 0);
        }
        let mut at = range.start as usize;
        while at < end {
            let upto = end.min((at / 64 + 1) * 64);
            if let Some(word) = self.words.get_mut(at / 64) {
                *word |= u64::MAX >> (64 - (upto - at)) << (at % 64);
            }
            at = upto;
        }
    }

    /// A digest of the set.
    pub(crate) fn fingerprint(&self) -> u64 {
        // FNV-1a over words, without those of zeros at the end.
        let used = self.words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        self.words.iter().take(used).fold(0xCBF2_9CE4_8422_2325, |hash, word| (hash ^ word).wrapping_mul(0x0000_0100_0000_01B3))
    }

    /// The numbers in the set, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(at, &word)| {
            std::iter::successors((word != 0).then_some(word), |rest| Some(rest & (rest - 1)).filter(|rest| *rest != 0))
                .map(move |rest| at as u32 * 64 + rest.trailing_zeros())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_inserted() {
        let mut bits = Bits::with_len(10);
        for number in [3, 64, 65, 1000] {
            assert!(bits.insert(number));
            assert!(!bits.insert(number));
        }
        assert_eq!(bits.iter().collect::<Vec<_>>(), [3, 64, 65, 1000]);
        let mut bits = bits.clone();
        bits.insert_range(60..130);
        bits.insert_range(5..5);
        assert_eq!(bits.iter().collect::<Vec<_>>(), [3].into_iter().chain(60..130).chain([1000]).collect::<Vec<_>>());
        assert!(bits.contains(1000) && !bits.contains(999) && !bits.contains(100_000));
    }
}
