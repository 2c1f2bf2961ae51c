//! Ascending numbers, each with a frequency, packed 128 at a time as tantivy packs postings: a byte or two for each.

use std::ops::Range;
use std::sync::Arc;

use bitpacking::{BitPacker as _, BitPacker4x};

use super::kept::Bytes;
use super::lists::POSTINGS;
use crate::prefetch::prefetch;

/// What a block takes, mostly.
const PREFETCHED_BYTES: usize = 192;

/// The numbers and their frequencies.
#[derive(Default)]
pub(super) struct Packed {
    blocks: Vec<Block>,
    /// By block: the gaps between its numbers, then its frequencies less one.
    bytes: Vec<u8>,
    /// How many numbers there are.
    pub(super) len: u32,
}

/// Where a block is, and its last number. The last block is filled up with numbers that follow.
struct Block {
    last: u32,
    start: u32,
    gap_bits: u8,
    frequency_bits: u8,
    /// How many frequencies are told apart, after the others, since they take more bits: places and what is to be added.
    apart: u8,
}

impl Packed {
    /// Packs numbers that ascend strictly, with frequencies of 1 or more.
    pub(super) fn new(postings: impl IntoIterator<Item = (u32, u32)>) -> Packed {
        let mut packed = Packed::default();
        let (mut numbers, mut frequencies) = ([0; POSTINGS], [1; POSTINGS]);
        let mut postings = postings.into_iter();
        loop {
            let mut filled = 0u32;
            // The posting comes last: none is taken that has no room.
            for ((number, frequency), posting) in numbers.iter_mut().zip(&mut frequencies).zip(postings.by_ref()) {
                (*number, *frequency) = posting;
                filled += 1;
            }
            if filled == 0 {
                break;
            }
            packed.push(&mut numbers, &mut frequencies, filled as usize);
            packed.len += filled;
            if (filled as usize) < POSTINGS {
                break;
            }
        }
        packed.blocks.shrink_to_fit();
        packed.bytes.shrink_to_fit();
        packed
    }

    fn push(&mut self, numbers: &mut [u32; POSTINGS], frequencies: &mut [u32; POSTINGS], filled: usize) {
        let last = numbers.get(filled - 1).copied().unwrap_or_default();
        for ((number, frequency), further) in numbers.iter_mut().zip(frequencies.iter_mut()).skip(filled).zip(1..) {
            (*number, *frequency) = (last + further, 1);
        }
        frequencies.iter_mut().for_each(|frequency| *frequency -= 1);
        let packer = BitPacker4x::new();
        let before = self.blocks.last().map(|block| block.last);
        let gap_bits = packer.num_bits_strictly_sorted(before, numbers);
        let (frequency_bits, apart) = frequency_bits(frequencies);
        let start = self.bytes.len();
        let (gaps, counts) = (BitPacker4x::compressed_block_size(gap_bits), BitPacker4x::compressed_block_size(frequency_bits));
        self.bytes.resize(start + gaps + counts, 0);
        let (gaps, counts) = self.bytes.split_at_mut(start).1.split_at_mut(gaps);
        packer.compress_strictly_sorted(before, numbers, gaps, gap_bits);
        let mut exceptions = Vec::with_capacity(apart * 2);
        for (place, frequency) in (0u8..).zip(frequencies.iter_mut()).filter(|_| apart > 0) {
            let high = *frequency >> frequency_bits;
            if high > 0 {
                exceptions.extend([place, high as u8]);
                *frequency -= high << frequency_bits;
            }
        }
        packer.compress(frequencies, counts, frequency_bits);
        self.bytes.extend(exceptions);
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        self.blocks.push(Block { last, start, gap_bits, frequency_bits, apart: apart as u8 });
    }

    /// Calls `each` with the numbers inside each of some ascending ranges and their frequencies, a block or less at once, and
    /// which range it is.
    pub(super) fn read(&self, ranges: &[Range<u32>], mut each: impl FnMut(usize, &[u32], &[u32])) {
        // What is needed of a list that was not read lately is asked for all at once.
        for range in ranges {
            let guess = self.guess(range.start);
            prefetch(self.blocks.get(guess..=guess).unwrap_or_default());
        }
        let first_blocks: Vec<usize> = ranges.iter().map(|range| self.block_of(range.start)).collect();
        for block in first_blocks.iter().filter_map(|first| self.blocks.get(*first)) {
            let start = block.start as usize;
            prefetch(self.bytes.get(start..self.bytes.len().min(start + PREFETCHED_BYTES)).unwrap_or_default());
        }
        let mut block = Unpacked::default();
        let mut loaded = usize::MAX;
        for ((which, range), mut at) in ranges.iter().enumerate().zip(first_blocks) {
            while at < self.blocks.len() {
                if loaded != at {
                    block.load(self, at, true);
                    loaded = at;
                }
                let numbers = block.numbers();
                let from =
                    if numbers.first() < Some(&range.start) { numbers.partition_point(|number| *number < range.start) } else { 0 };
                let more = numbers.last() < Some(&range.end);
                let to = if more { numbers.len() } else { numbers.partition_point(|number| *number < range.end) };
                each(which, numbers.get(from..to).unwrap_or_default(), block.frequencies().get(from..to).unwrap_or_default());
                if !more {
                    break;
                }
                at += 1;
            }
        }
    }

    /// Where the block of a number would be if numbers were spread evenly.
    fn guess(&self, number: u32) -> usize {
        let end = self.blocks.last().map_or(1, |block| u64::from(block.last) + 1);
        (u64::from(number) * self.blocks.len() as u64 / end) as usize
    }

    /// The block that has the first number not below `number`.
    fn block_of(&self, number: u32) -> usize {
        let guess = self.guess(number).min(self.blocks.len());
        let (before, after) = self.blocks.split_at(guess);
        let below = |block: &Block| block.last < number;
        if after.first().is_some_and(below) {
            return guess + gallop(after, below);
        }
        let mut start = guess;
        let mut step = 1;
        while start > 0 && !before.get(start - 1).is_some_and(below) {
            start = start.saturating_sub(step);
            step *= 2;
        }
        start + before.get(start..).unwrap_or_default().partition_point(below)
    }
}

impl Bytes for Packed {
    fn bytes(&self) -> usize {
        size_of::<Packed>() + self.blocks.capacity() * size_of::<Block>() + self.bytes.capacity()
    }
}

/// In how many bits the frequencies of a block take the least room, and how many take more bits then.
fn frequency_bits(frequencies: &[u32; POSTINGS]) -> (u8, usize) {
    let most = BitPacker4x::new().num_bits(frequencies);
    let choice = |bits: u8| (bits, frequencies.iter().filter(|frequency| **frequency >> bits > 0).count());
    let possible = (most.saturating_sub(8)..most).map(choice).chain([(most, 0)]);
    possible.min_by_key(|(bits, apart)| BitPacker4x::compressed_block_size(*bits) + 2 * apart).unwrap_or((most, 0))
}

/// How many of the first blocks are `below`: in steps that double, since they are few.
fn gallop(blocks: &[Block], below: impl Fn(&Block) -> bool) -> usize {
    let mut end = 1;
    while blocks.get(end).is_some_and(&below) {
        end *= 2;
    }
    let start = end / 2;
    start + blocks.get(start..blocks.len().min(end)).unwrap_or_default().partition_point(below)
}

/// A block as it is read.
struct Unpacked {
    filled: usize,
    numbers: [u32; POSTINGS],
    frequencies: [u32; POSTINGS],
}

impl Default for Unpacked {
    fn default() -> Self {
        Unpacked { filled: 0, numbers: [0; POSTINGS], frequencies: [0; POSTINGS] }
    }
}

impl Unpacked {
    /// Reads a block, and its frequencies where they are wanted; beyond the last one there is nothing.
    fn load(&mut self, list: &Packed, at: usize, frequencies: bool) {
        let Some(block) = list.blocks.get(at) else {
            self.filled = 0;
            return;
        };
        self.filled = (list.len as usize - at * POSTINGS).min(POSTINGS);
        let before = at.checked_sub(1).and_then(|before| list.blocks.get(before)).map(|block| block.last);
        let bytes = list.bytes.get(block.start as usize..).unwrap_or_default();
        let packer = BitPacker4x::new();
        let read = packer.decompress_strictly_sorted(before, bytes, &mut self.numbers, block.gap_bits);
        if frequencies {
            let bytes = bytes.get(read..).unwrap_or_default();
            let read = packer.decompress(bytes, &mut self.frequencies, block.frequency_bits);
            let (apart, _) = bytes.get(read..).unwrap_or_default().as_chunks::<2>();
            for [place, high] in apart.iter().take(block.apart.into()) {
                if let Some(frequency) = self.frequencies.get_mut(usize::from(*place)) {
                    *frequency |= u32::from(*high) << block.frequency_bits;
                }
            }
            self.frequencies.iter_mut().for_each(|frequency| *frequency = frequency.wrapping_add(1));
        }
    }

    #[inline]
    fn numbers(&self) -> &[u32] {
        self.numbers.get(..self.filled).unwrap_or_default()
    }

    #[inline]
    fn frequencies(&self) -> &[u32] {
        self.frequencies.get(..self.filled).unwrap_or_default()
    }
}

/// Moves forward over the blocks of a list.
pub(super) struct PackedCursor {
    list: Arc<Packed>,
    at: usize,
    block: Unpacked,
    /// Whether frequencies are wanted.
    counts: bool,
}

impl PackedCursor {
    /// Stands at the first block; reads frequencies where it `counts`.
    pub(super) fn new(list: Arc<Packed>, counts: bool) -> PackedCursor {
        let mut cursor = PackedCursor { list, at: 0, block: Unpacked::default(), counts };
        cursor.load();
        cursor
    }

    fn load(&mut self) {
        self.block.load(&self.list, self.at, self.counts);
    }

    /// The numbers of the block, ascending; empty at the end.
    #[inline]
    pub(super) fn numbers(&self) -> &[u32] {
        self.block.numbers()
    }

    /// Their frequencies.
    #[inline]
    pub(super) fn frequencies(&self) -> &[u32] {
        self.block.frequencies()
    }

    /// Moves to the next block.
    pub(super) fn advance(&mut self) {
        self.at += 1;
        self.load();
    }

    /// Moves to the block that has the first number not below `target`, and says where in it that one is. Never moves back.
    pub(super) fn seek(&mut self, target: u32) -> usize {
        let left = self.list.blocks.get(self.at..).unwrap_or_default();
        if left.first().is_some_and(|block| block.last < target) {
            self.at += gallop(left, |block| block.last < target);
            self.load();
        }
        self.numbers().partition_point(|number| *number < target)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_is_read_again(
            gaps in prop::collection::vec((prop_oneof![Just(1u32), 1u32..300, 1u32..1_000_000], prop_oneof![Just(1u32), 1u32..4, 1u32..=u32::MAX]), 0..600),
            first in 0u32..5, mut targets in prop::collection::vec(0u32..1_000_000, 0..20),
        ) {
            let mut next = first;
            let postings: BTreeMap<u32, u32> = gaps.into_iter().map(|(gap, frequency)| { next += gap; (next - 1, frequency) }).collect();
            let packed = Arc::new(Packed::new(postings.iter().map(|(number, frequency)| (*number, *frequency))));
            prop_assert_eq!(packed.len as usize, postings.len());
            let mut cursor = PackedCursor::new(packed.clone(), true);
            let mut read = BTreeMap::new();
            while !cursor.numbers().is_empty() {
                read.extend(cursor.numbers().iter().copied().zip(cursor.frequencies().iter().copied()));
                cursor.advance();
            }
            prop_assert_eq!(&read, &postings);
            targets.sort_unstable();
            let ranges: Vec<Range<u32>> = targets.windows(2).map(|ends| ends[0]..ends[1]).collect();
            let mut inside = vec![BTreeMap::new(); ranges.len()];
            packed.read(&ranges, |which, numbers, frequencies| {
                inside[which].extend(numbers.iter().copied().zip(frequencies.iter().copied()));
            });
            for (range, inside) in ranges.iter().zip(inside) {
                prop_assert_eq!(inside, postings.range(range.clone()).map(|(number, frequency)| (*number, *frequency)).collect());
            }
            let mut cursor = PackedCursor::new(packed, false);
            for target in targets {
                let at = cursor.seek(target);
                prop_assert_eq!(cursor.numbers().get(at), postings.range(target..).next().map(|(number, _)| number));
            }
        }
    }
}
