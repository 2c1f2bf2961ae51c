//! Codes: what a vector is rounded to, so that most of a search touches an eighth or a thirtieth of its bytes.
//!
//! The int8 code of a row is its values in steps of their greatest magnitude / 127, with the length of what the rounding
//! took away. From it follows a bound on the inner product (Cauchy–Schwarz, twice):
//! `|q·x − q̂·x̂| ≤ ‖q − q̂‖·‖x‖ + ‖q̂‖·‖x − x̂‖`. The sign code is one bit a dimension, compared with a query of sixteen levels
//! (Gao & Long, "RaBitQ", 2024, without its rotation and centre: measured on embeddings of text, neither was needed).

use super::kernels::{BLOCK_ROWS, Planes, WORD_DIMENSIONS, kernels};

/// The length that no vector of the store exceeds: they are scaled to 1 and then rounded to f32.
const MAX_LENGTH: f64 = 1.000_01;
/// Bytes before the values of an int8 code: the step and the rounding error, each a little-endian f32.
const HEAD_BYTES: usize = 8;
/// Values of a query are cut at this many times their root mean square, where sixteen levels serve best.
const CUT: f64 = 2.8;

/// The words of a sign code.
pub(super) fn words(dimensions: usize) -> usize {
    dimensions.div_ceil(WORD_DIMENSIONS)
}

/// The bytes of an int8 code.
pub(super) fn code_bytes(dimensions: usize) -> usize {
    HEAD_BYTES + words(dimensions) * WORD_DIMENSIONS
}

/// Appends the int8 code of a vector.
pub(super) fn encode(vector: &[f32], code: &mut Vec<u8>) {
    let greatest = vector.iter().fold(0f32, |greatest, value| greatest.max(value.abs()));
    let step = greatest / 127.0;
    let per_step = if step > 0.0 { 1.0 / step } else { 0.0 };
    let rounded = |value: f32| (value * per_step).round().clamp(-127.0, 127.0);
    let lost: f64 = vector.iter().map(|value| (f64::from(*value) - f64::from(step) * f64::from(rounded(*value))).powi(2)).sum();
    code.extend(step.to_le_bytes());
    code.extend(((lost.sqrt() * 1.000_001) as f32).next_up().to_le_bytes());
    code.extend(vector.iter().map(|value| (rounded(*value) as i32 + 128) as u8));
    code.resize(code.len() + words(vector.len()) * WORD_DIMENSIONS - vector.len(), 128);
}

/// Appends the sign code of a vector of little-endian f32: one word for 64 dimensions, a bit is 1 where the sign is plus.
pub(super) fn encode_signs(vector: &[u8], code: &mut Vec<u64>) {
    for word in vector.as_chunks::<4>().0.chunks(WORD_DIMENSIONS) {
        let plus = |value: &[u8; 4]| u64::from(value[3] >> 7 ^ 1);
        code.push(word.iter().rev().fold(0, |bits, value| bits << 1 | plus(value)));
    }
}

/// Appends the sign code of a vector.
pub(super) fn encode_signs_of(vector: &[f32], code: &mut Vec<u64>) {
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    encode_signs(&bytes, code);
}

/// The values that an int8 code stands for.
pub(super) fn decode(code: &[u8], dimensions: usize) -> Vec<f32> {
    let step = step(code);
    let values = code.iter().skip(HEAD_BYTES).take(dimensions);
    values.map(|value| (f32::from(*value) - 128.0) * step).collect()
}

/// Appends a block of the sign codes of up to [`BLOCK_ROWS`] rows, as `kernels` wants it.
pub(super) fn push_block(codes: &[u64], dimensions: usize, blocks: &mut Vec<u8>) {
    let words = words(dimensions);
    let code = |row: usize, word: usize| codes.get(row * words + word).copied().unwrap_or(0);
    blocks.extend((0..words).flat_map(|word| (0..BLOCK_ROWS).flat_map(move |row| code(row, word).to_le_bytes())));
}

/// The bytes of the blocks of so many rows.
pub(super) fn blocks_bytes(rows: usize, dimensions: usize) -> usize {
    rows.div_ceil(BLOCK_ROWS) * BLOCK_ROWS * words(dimensions) * 8
}

/// A query in the forms that codes are compared with.
#[derive(Debug)]
pub(super) struct QueryCode {
    /// For sign codes.
    pub(super) planes: Vec<Planes>,
    values: Vec<i8>,
    sum: i32,
    step: f64,
    /// The part of the bound that every row shares.
    shared_error: f64,
    /// What a row's own error is multiplied by.
    length: f64,
}

impl QueryCode {
    /// Prepares a query of length 1.
    pub(super) fn new(query: &[f32]) -> QueryCode {
        let greatest = query.iter().fold(0f32, |greatest, value| greatest.max(value.abs()));
        let step = f64::from(greatest) / 127.0;
        let per_step = if step > 0.0 { 1.0 / step } else { 0.0 };
        let rounded = |value: f64| (value + 0.5_f64.copysign(value)) as i8;
        let mut values: Vec<i8> = query.iter().map(|value| rounded(f64::from(*value) * per_step)).collect();
        let (mut lost, mut square) = (0f64, 0f64);
        for (value, rounded) in query.iter().zip(&values) {
            let kept = step * f64::from(*rounded);
            lost += (f64::from(*value) - kept).powi(2);
            square += kept.powi(2);
        }
        values.resize(words(query.len()) * WORD_DIMENSIONS, 0);
        // The f32 sums that final scores are made of round too: by at most half a unit at each of `n` additions and
        // multiplications. Twice that is allowed for, and a little for the arithmetic here.
        let rounding = (query.len() + 16) as f64 * f64::from(f32::EPSILON) + 1e-9;
        QueryCode {
            planes: planes(query),
            sum: values.iter().map(|value| i32::from(*value)).sum(),
            values,
            step,
            shared_error: lost.sqrt() * MAX_LENGTH + rounding * MAX_LENGTH,
            length: square.sqrt(),
        }
    }

    /// The estimate of a row's score from its int8 code, and how far from it the score can be.
    #[inline]
    pub(super) fn estimate(&self, code: &[u8]) -> (f64, f64) {
        let Some((head, values)) = code.split_at_checked(HEAD_BYTES) else { return (0.0, f64::INFINITY) };
        let ([step, error], _) = head.as_chunks::<4>() else { return (0.0, f64::INFINITY) };
        let product = (kernels().dot)(values, &self.values, self.sum);
        let estimate = f64::from(product) * self.step * f64::from(f32::from_le_bytes(*step));
        (estimate, self.shared_error + self.length * f64::from(f32::from_le_bytes(*error)))
    }
}

/// The values of an int8 code, as other codes are compared with it.
#[derive(Debug)]
pub(super) struct Values {
    values: Vec<i8>,
    sum: i32,
    step: f32,
}

impl Values {
    /// Takes a code apart.
    pub(super) fn new(code: &[u8]) -> Values {
        let values: Vec<i8> = code.get(HEAD_BYTES..).unwrap_or_default().iter().map(|value| (value ^ 0x80).cast_signed()).collect();
        Values { sum: values.iter().map(|value| i32::from(*value)).sum(), values, step: step(code) }
    }

    /// The inner product of what the two codes stand for.
    #[inline]
    pub(super) fn product(&self, code: &[u8]) -> f32 {
        let product = (kernels().dot)(code.get(HEAD_BYTES..).unwrap_or_default(), &self.values, self.sum);
        product as f32 * self.step * step(code)
    }
}

/// The step of an int8 code.
#[inline]
fn step(code: &[u8]) -> f32 {
    code.first_chunk::<4>().map_or(0.0, |step| f32::from_le_bytes(*step))
}

/// The sixteen levels of a query, as bits: level `u` stands for `(2u − 15)/15` of where values are cut.
fn planes(query: &[f32]) -> Vec<Planes> {
    let mean_square = query.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / query.len().max(1) as f64;
    let per_level = if mean_square > 0.0 { 7.5 / (CUT * mean_square.sqrt()) } else { 0.0 };
    // The cast cuts off what follows the point and takes what is below zero for zero.
    let level = |value: f32| ((f64::from(value) * per_level + 8.0) as u64).min(15);
    let word = |values: &[f32]| {
        values.iter().rev().fold([0u64; 4], |planes, value| {
            let level = level(*value);
            let mut bit = 0;
            planes.map(|plane| {
                bit += 1;
                plane << 1 | (level >> (bit - 1) & 1)
            })
        })
    };
    query.chunks(WORD_DIMENSIONS).map(word).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vector::{dot, normalized};

    proptest! {
        #[test]
        fn a_score_is_within_the_bound(
            pairs in prop::collection::vec((-1f32..1.0, prop_oneof![-1f32..1.0, Just(0.0), -1e-6f32..1e-6]), 1..500),
        ) {
            let (query, row): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let (Ok(query), Ok(row)) = (normalized(&query, query.len()), normalized(&row, row.len())) else { return Ok(()) };
            let mut code = Vec::new();
            encode(&row, &mut code);
            prop_assert_eq!(code.len(), code_bytes(row.len()));
            let (estimate, error) = QueryCode::new(&query).estimate(&code);
            let score = f64::from(dot(&query, &row));
            prop_assert!((score - estimate).abs() <= error, "{score} {estimate} {error}");
            prop_assert!(error < 0.1);
        }
    }

    #[test]
    fn signs_and_levels_are_bits() {
        let row: Vec<u8> = [1f32, -1.0, 0.5, -0.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut signs = Vec::new();
        encode_signs(&row, &mut signs);
        assert_eq!(signs, [0b0101]);
        // The root mean square is 7.37, and 2.8 times that is level 15.
        let planes = planes(&[9.0, -9.0, 1.0]);
        let level = |at: u32| (0..4).map(|plane| (planes[0][plane] >> at & 1) << plane).sum::<u64>();
        assert_eq!((planes.len(), level(0), level(1), level(2), level(3)), (1, 11, 4, 8, 0));
    }
}
