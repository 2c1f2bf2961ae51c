//! The loops for aarch64: NEON, and the products again with the dot product instructions of Armv8.2.
#![expect(unsafe_code, reason = "functions for more than the baseline are unsafe to call, and loads take pointers; see SAFETY")]

use std::arch::{aarch64::*, asm, is_aarch64_feature_detected};

use super::{BLOCK_ROWS, Found, Kernels, Planes, WORD_DIMENSIONS};

/// The sets of loops that this processor can run, the slowest first.
pub(super) fn available() -> impl Iterator<Item = Kernels> {
    let neon = is_aarch64_feature_detected!("neon").then_some(NEON);
    let dotprod = neon.is_some() && is_aarch64_feature_detected!("dotprod");
    neon.into_iter().chain(dotprod.then_some(DOTPROD))
}

const NEON: Kernels = Kernels {
    // SAFETY: `available` lists this set only where the processor has NEON.
    scan: |planes, blocks, limit, found| unsafe { scan_neon(planes, blocks, limit, found) },
    // SAFETY: as above.
    dot: |row, query, _sum| unsafe { dot_neon(row, query) },
    name: "neon",
};

const DOTPROD: Kernels = Kernels {
    scan: NEON.scan,
    // SAFETY: `available` lists this set only where the processor has NEON and the dot product instructions.
    dot: |row, query, _sum| unsafe { dot_dotprod(row, query) },
    name: "dotprod",
};

#[target_feature(enable = "neon")]
fn scan_neon(planes: &[Planes], blocks: &[u8], limit: u32, found: &mut Vec<Found>) {
    let width = planes.len() * BLOCK_ROWS * 8;
    for (at, block) in (0u32..).zip(blocks.chunks_exact(width)) {
        // Two rows each, and two lanes for each of them.
        let mut sums = [vdupq_n_u32(0); 4];
        for (words, planes) in block.as_chunks::<{ BLOCK_ROWS * 8 }>().0.iter().zip(planes) {
            for (sum, words) in sums.iter_mut().zip(words.as_chunks::<16>().0) {
                // SAFETY: `words` is 16 bytes long, and the load needs no alignment.
                let words = unsafe { vld1q_u8(words.as_ptr()) };
                // From the heaviest plane to the lightest. A byte holds at most 8 * 15.
                let mut bytes = vdupq_n_u8(0);
                for plane in planes.iter().rev() {
                    let differ = veorq_u8(words, vreinterpretq_u8_u64(vdupq_n_u64(*plane)));
                    bytes = vaddq_u8(vaddq_u8(bytes, bytes), vcntq_u8(differ));
                }
                *sum = vpadalq_u16(*sum, vpaddlq_u8(bytes));
            }
        }
        let [first, second, third, fourth] = sums;
        let (low, high) = (vpaddq_u32(first, second), vpaddq_u32(third, fourth));
        if vminvq_u32(vminq_u32(low, high)) <= limit {
            let mut distances = [0u32; BLOCK_ROWS];
            for (half, distances) in [low, high].into_iter().zip(distances.as_chunks_mut::<4>().0) {
                // SAFETY: `distances` is 16 bytes long, and the store needs no alignment.
                unsafe { vst1q_u32(distances.as_mut_ptr(), half) };
            }
            let rows = (at * BLOCK_ROWS as u32..).zip(distances).filter(|(_, distance)| *distance <= limit);
            found.extend(rows.map(|(at, distance)| Found { at, distance }));
        }
    }
}

#[target_feature(enable = "neon")]
fn dot_neon(row: &[u8], query: &[i8]) -> i32 {
    let mut total = vdupq_n_s32(0);
    for (row, query) in row.as_chunks::<16>().0.iter().zip(query.as_chunks::<16>().0) {
        // SAFETY: `query` is 16 bytes long, and the load needs no alignment.
        total = multiply(total, values(row), unsafe { vld1q_s8(query.as_ptr()) });
    }
    vaddvq_s32(total)
}

/// The values of bytes that are each a value plus 128: flipping the highest bit takes 128 away.
#[inline]
#[target_feature(enable = "neon")]
fn values(bytes: &[u8; 16]) -> int8x16_t {
    // SAFETY: `bytes` is 16 bytes long, and the load needs no alignment.
    let bytes = unsafe { vld1q_u8(bytes.as_ptr()) };
    vreinterpretq_s8_u8(veorq_u8(bytes, vdupq_n_u8(128)))
}

/// Adds the products of `a` and `b` to the lanes of `total`.
#[inline]
#[target_feature(enable = "neon")]
fn multiply(total: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // Each product is widened before it is added: two of -128 * -128 do not fit 16 bits.
    let total = vpadalq_s16(total, vmull_s8(vget_low_s8(a), vget_low_s8(b)));
    vpadalq_s16(total, vmull_high_s8(a, b))
}

#[target_feature(enable = "neon,dotprod")]
fn dot_dotprod(row: &[u8], query: &[i8]) -> i32 {
    // Four sums, so that no product waits for the one before.
    let mut totals = [vdupq_n_s32(0); 4];
    let (row, query) = (row.as_chunks::<WORD_DIMENSIONS>().0, query.as_chunks::<WORD_DIMENSIONS>().0);
    for (row, query) in row.iter().zip(query) {
        for ((total, row), query) in totals.iter_mut().zip(row.as_chunks::<16>().0).zip(query.as_chunks::<16>().0) {
            // SAFETY: `query` is 16 bytes long, and the load needs no alignment.
            *total = multiply_dotprod(*total, values(row), unsafe { vld1q_s8(query.as_ptr()) });
        }
    }
    add(totals)
}

/// The sum of all lanes.
#[inline]
#[target_feature(enable = "neon")]
fn add([first, second, third, fourth]: [int32x4_t; 4]) -> i32 {
    vaddvq_s32(vaddq_s32(vaddq_s32(first, second), vaddq_s32(third, fourth)))
}

/// Adds the products of `a` and `b` to the lanes of `total`, as `vdotq_s32` would, which Rust 1.95 does not have.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn multiply_dotprod(mut total: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: one instruction, which this function is compiled for, on three registers; it touches neither memory nor flags.
    unsafe {
        asm!(
            "sdot {total:v}.4s, {a:v}.16b, {b:v}.16b",
            total = inout(vreg) total, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    total
}
