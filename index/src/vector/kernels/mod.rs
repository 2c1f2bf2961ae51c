//! The inner loops of a scan over codes, chosen once by what the processor can do.
//!
//! All of them compute with integers, so every one of them gives the bits that [`scalar`] gives. The only `unsafe` code is
//! the call into a function that was compiled for more than the baseline, after the processor was asked, and in such a
//! function loads, stores and one instruction that has no stable name in Rust.

#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

/// Rows that one block of sign codes holds.
pub(super) const BLOCK_ROWS: usize = 8;
/// Dimensions that one word of a sign code holds; the bytes of an int8 code are padded to as many.
pub(super) const WORD_DIMENSIONS: usize = 64;

/// The bits of a quantized query for one word: bit `i` of `planes[j]` is bit `j` of the level of dimension `i`.
pub(super) type Planes = [u64; 4];

/// A row that a scan found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its place among the rows that were scanned.
    pub(super) at: u32,
    /// How far its signs are from the query: lower is closer.
    pub(super) distance: u32,
}

/// Appends the rows of `blocks` whose distance is at most `limit`, in order.
///
/// A block holds [`BLOCK_ROWS`] rows, word by word: the first words of all rows, then their second words, and so on, each
/// little-endian. There are as many words as `planes`. The distance of a row is `sum_j 2^j * popcount(row ^ plane_j)`.
type Scan = fn(planes: &[Planes], blocks: &[u8], limit: u32, found: &mut Vec<Found>);

/// The inner product of a row of bytes, each a value plus 128, with a query: `sum (row[i] - 128) * query[i]`. Both are as
/// long, a multiple of [`WORD_DIMENSIONS`]; `sum` is the sum of the query's values.
type Dot = fn(row: &[u8], query: &[i8], sum: i32) -> i32;

/// The loops of this processor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernels {
    /// Scans sign codes.
    pub(super) scan: Scan,
    /// Multiplies an int8 code.
    pub(super) dot: Dot,
    /// What they are called in the log.
    pub(super) name: &'static str,
}

/// The fastest loops that this processor has.
pub(super) fn kernels() -> &'static Kernels {
    static CHOSEN: OnceLock<Kernels> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let kernels = available().into_iter().next_back().unwrap_or(scalar::KERNELS);
        tracing::debug!(kernels = kernels.name, "vectors are compared");
        kernels
    })
}

/// Every set of loops that this processor can run, the slowest first.
fn available() -> Vec<Kernels> {
    #[cfg_attr(not(any(target_arch = "aarch64", target_arch = "x86_64")), expect(unused_mut))]
    let mut sets = vec![scalar::KERNELS];
    #[cfg(target_arch = "aarch64")]
    sets.extend(neon::available());
    #[cfg(target_arch = "x86_64")]
    sets.extend(x86::available());
    sets
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_scan_equals_the_scalar_one(
            words in 1usize..9, blocks in 0usize..20, nth in any::<prop::sample::Index>(), seed in any::<u64>(),
        ) {
            let mut state = seed | 1;
            let mut next = || { state ^= state << 13; state ^= state >> 7; state ^= state << 17; state };
            let planes: Vec<Planes> = (0..words).map(|_| [next(), next(), next(), next()]).collect();
            let bytes: Vec<u8> = (0..words * blocks * BLOCK_ROWS).flat_map(|_| next().to_le_bytes()).collect();
            let mut every = Vec::new();
            (scalar::KERNELS.scan)(&planes, &bytes, u32::MAX, &mut every);
            prop_assert_eq!(every.len(), blocks * BLOCK_ROWS);
            // A distance that occurs, so that a row is exactly as far as the limit, and the limit that leaves it out.
            let limit = if every.is_empty() { 0 } else { nth.get(&every).distance };
            for limit in [limit.saturating_sub(1), limit, u32::MAX] {
                let expected: Vec<Found> = every.iter().filter(|row| row.distance <= limit).copied().collect();
                for kernels in available() {
                    let mut found = Vec::new();
                    (kernels.scan)(&planes, &bytes, limit, &mut found);
                    prop_assert_eq!(&found, &expected, "{}", kernels.name);
                }
            }
        }

        #[test]
        fn every_product_equals_the_scalar_one(values in prop::collection::vec(any::<(u8, i8)>(), 1..1_100)) {
            let width = values.len().next_multiple_of(WORD_DIMENSIONS);
            let mut row: Vec<u8> = values.iter().map(|pair| pair.0).collect();
            let mut query: Vec<i8> = values.iter().map(|pair| pair.1).collect();
            row.resize(width, 128);
            query.resize(width, 0);
            let sum = query.iter().map(|value| i32::from(*value)).sum();
            let expected: i32 = row.iter().zip(&query).map(|(row, query)| (i32::from(*row) - 128) * i32::from(*query)).sum();
            for kernels in available() {
                prop_assert_eq!((kernels.dot)(&row, &query, sum), expected, "{}", kernels.name);
            }
        }
    }

    #[test]
    fn extreme_values_do_not_saturate() {
        for kernels in available() {
            println!("{} loops", kernels.name);
            for (row, value) in [(255u8, 127i8), (255, -128), (0, 127), (0, -128)] {
                let (row, query) = (vec![row; 4096], vec![value; 4096]);
                let expected = (i32::from(row[0]) - 128) * i32::from(value) * 4096;
                assert_eq!((kernels.dot)(&row, &query, i32::from(value) * 4096), expected, "{}", kernels.name);
            }
        }
    }
}
