//! The loops for x86-64: AVX2, and AVX-512 with VPOPCNTDQ and VNNI.
#![expect(unsafe_code, reason = "functions for more than the baseline are unsafe to call, and loads take pointers; see SAFETY")]

use std::arch::x86_64::*;

use super::{BLOCK_ROWS, Found, Kernels, Planes, WORD_DIMENSIONS};
use crate::prefetch::prefetch;

/// How far ahead of a scan memory is asked for. The processor itself does not look beyond a page (measured: a quarter faster).
const AHEAD_BYTES: usize = 4_096;

/// The sets of loops that this processor can run, the slowest first.
pub(super) fn available() -> impl Iterator<Item = Kernels> {
    let avx2 = is_x86_feature_detected!("avx2").then_some(AVX2);
    let wide = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vpopcntdq")
        && is_x86_feature_detected!("avx512vnni");
    avx2.into_iter().chain(wide.then_some(AVX512))
}

const AVX2: Kernels = Kernels {
    // SAFETY: `available` lists this set only where the processor has AVX2.
    scan: |planes, blocks, limit, found| unsafe { scan_avx2(planes, blocks, limit, found) },
    // SAFETY: as above.
    dot: |row, query, sum| unsafe { dot_avx2(row, query, sum) },
    name: "avx2",
};

const AVX512: Kernels = Kernels {
    // SAFETY: `available` lists this set only where the processor has AVX-512 F, BW, VPOPCNTDQ and VNNI.
    scan: |planes, blocks, limit, found| unsafe { scan_avx512(planes, blocks, limit, found) },
    // SAFETY: as above.
    dot: |row, query, sum| unsafe { dot_avx512(row, query, sum) },
    name: "avx512",
};

#[target_feature(enable = "avx512f,avx512bw,avx512vpopcntdq")]
fn scan_avx512(planes: &[Planes], blocks: &[u8], limit: u32, found: &mut Vec<Found>) {
    let width = planes.len() * BLOCK_ROWS * 8;
    let most = _mm512_set1_epi64(i64::from(limit));
    let ahead = blocks.get(AHEAD_BYTES..).unwrap_or_default().chunks_exact(width).chain(std::iter::repeat(&[][..]));
    for ((at, block), ahead) in (0u32..).zip(blocks.chunks_exact(width)).zip(ahead) {
        prefetch(ahead);
        let mut sums = [_mm512_setzero_si512(); 4];
        for (words, planes) in block.as_chunks::<{ BLOCK_ROWS * 8 }>().0.iter().zip(planes) {
            // SAFETY: `words` is 64 bytes long, and the load needs no alignment.
            let words = unsafe { _mm512_loadu_si512(words.as_ptr().cast()) };
            for (sum, plane) in sums.iter_mut().zip(planes) {
                let differ = _mm512_xor_si512(words, _mm512_set1_epi64(plane.cast_signed()));
                *sum = _mm512_add_epi64(*sum, _mm512_popcnt_epi64(differ));
            }
        }
        let [one, two, four, eight] = sums;
        let high = _mm512_add_epi64(four, _mm512_slli_epi64::<1>(eight));
        let low = _mm512_add_epi64(one, _mm512_slli_epi64::<1>(two));
        let sum = _mm512_add_epi64(low, _mm512_slli_epi64::<2>(high));
        let mut near = _mm512_cmple_epu64_mask(sum, most);
        if near != 0 {
            let mut distances = [0u64; BLOCK_ROWS];
            // SAFETY: `distances` is 64 bytes long, and the store needs no alignment.
            unsafe { _mm512_storeu_si512(distances.as_mut_ptr().cast(), sum) };
            while near != 0 {
                let row = near.trailing_zeros();
                near &= near - 1;
                let distance = distances.get(row as usize).map_or(u32::MAX, |distance| *distance as u32);
                found.push(Found { at: at * BLOCK_ROWS as u32 + row, distance });
            }
        }
    }
}

#[target_feature(enable = "avx2")]
fn scan_avx2(planes: &[Planes], blocks: &[u8], limit: u32, found: &mut Vec<Found>) {
    let width = planes.len() * BLOCK_ROWS * 8;
    let low_bits = _mm256_set1_epi8(0x0f);
    // How many bits are set in a nibble, times the weight of a plane. A byte of the sums below holds at most 8 * 15.
    let ones = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    let twos = _mm256_add_epi8(ones, ones);
    let fours = _mm256_add_epi8(twos, twos);
    let tables = [ones, twos, fours, _mm256_add_epi8(fours, fours)];
    for (at, block) in (0u32..).zip(blocks.chunks_exact(width)) {
        let mut halves = [_mm256_setzero_si256(); 2];
        for (words, planes) in block.as_chunks::<{ BLOCK_ROWS * 8 }>().0.iter().zip(planes) {
            for (half, words) in halves.iter_mut().zip(words.as_chunks::<32>().0) {
                // SAFETY: `words` is 32 bytes long, and the load needs no alignment.
                let words = unsafe { _mm256_loadu_si256(words.as_ptr().cast()) };
                let mut bytes = _mm256_setzero_si256();
                for (table, plane) in tables.iter().zip(planes) {
                    let differ = _mm256_xor_si256(words, _mm256_set1_epi64x(plane.cast_signed()));
                    let low = _mm256_and_si256(differ, low_bits);
                    let high = _mm256_and_si256(_mm256_srli_epi16::<4>(differ), low_bits);
                    let counts = _mm256_add_epi8(_mm256_shuffle_epi8(*table, low), _mm256_shuffle_epi8(*table, high));
                    bytes = _mm256_add_epi8(bytes, counts);
                }
                *half = _mm256_add_epi64(*half, _mm256_sad_epu8(bytes, _mm256_setzero_si256()));
            }
        }
        let mut distances = [0u64; BLOCK_ROWS];
        for (half, distances) in halves.iter().zip(distances.as_chunks_mut::<4>().0) {
            // SAFETY: `distances` is 32 bytes long, and the store needs no alignment.
            unsafe { _mm256_storeu_si256(distances.as_mut_ptr().cast(), *half) };
        }
        push(found, at, &distances, limit);
    }
}

/// Appends the rows of block `at` that are near enough.
#[inline]
fn push(found: &mut Vec<Found>, at: u32, distances: &[u64; BLOCK_ROWS], limit: u32) {
    for (row, distance) in (at * BLOCK_ROWS as u32..).zip(distances) {
        let distance = *distance as u32;
        if distance <= limit {
            found.push(Found { at: row, distance });
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn dot_avx512(row: &[u8], query: &[i8], sum: i32) -> i32 {
    let mut total = _mm512_setzero_si512();
    let (row, query) = (row.as_chunks::<WORD_DIMENSIONS>().0, query.as_chunks::<WORD_DIMENSIONS>().0);
    for (row, query) in row.iter().zip(query) {
        // SAFETY: both are 64 bytes long, and the loads need no alignment.
        let (row, query) = unsafe { (_mm512_loadu_si512(row.as_ptr().cast()), _mm512_loadu_si512(query.as_ptr().cast())) };
        total = _mm512_dpbusd_epi32(total, row, query);
    }
    _mm512_reduce_add_epi32(total) - 128 * sum
}

#[target_feature(enable = "avx2")]
fn dot_avx2(row: &[u8], query: &[i8], sum: i32) -> i32 {
    let mut total = _mm256_setzero_si256();
    for (row, query) in row.as_chunks::<16>().0.iter().zip(query.as_chunks::<16>().0) {
        // SAFETY: both are 16 bytes long, and the loads need no alignment.
        let (row, query) = unsafe { (_mm_loadu_si128(row.as_ptr().cast()), _mm_loadu_si128(query.as_ptr().cast())) };
        // Widened to 16 bits before they are multiplied: 255 * 128 * 2 fits the 32 bits of a sum.
        total = _mm256_add_epi32(total, _mm256_madd_epi16(_mm256_cvtepu8_epi16(row), _mm256_cvtepi8_epi16(query)));
    }
    let mut lanes = [0i32; 8];
    // SAFETY: `lanes` is 32 bytes long, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), total) };
    lanes.iter().sum::<i32>() - 128 * sum
}
