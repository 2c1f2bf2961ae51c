//! The loops in plain Rust: the definition of the others, and what runs where there are none.

use super::{BLOCK_ROWS, Found, Kernels, Planes, WORD_DIMENSIONS};

pub(super) const KERNELS: Kernels = Kernels { scan, dot, name: "scalar" };

fn scan(planes: &[Planes], blocks: &[u8], limit: u32, found: &mut Vec<Found>) {
    let width = planes.len() * BLOCK_ROWS * 8;
    for (at, block) in (0u32..).zip(blocks.chunks_exact(width)) {
        let mut sums = [0u32; BLOCK_ROWS];
        for (words, planes) in block.as_chunks::<{ BLOCK_ROWS * 8 }>().0.iter().zip(planes) {
            for (sum, word) in sums.iter_mut().zip(words.as_chunks::<8>().0) {
                *sum += distance(u64::from_le_bytes(*word), planes);
            }
        }
        let rows = (at * BLOCK_ROWS as u32..).zip(sums).filter(|(_, distance)| *distance <= limit);
        found.extend(rows.map(|(at, distance)| Found { at, distance }));
    }
}

fn distance(word: u64, planes: &Planes) -> u32 {
    planes.iter().rev().fold(0, |sum, plane| sum * 2 + (word ^ plane).count_ones())
}

fn dot(row: &[u8], query: &[i8], _sum: i32) -> i32 {
    let (row, query) = (row.as_chunks::<WORD_DIMENSIONS>().0, query.as_chunks::<WORD_DIMENSIONS>().0);
    let product = |row: &u8, query: &i8| (i32::from(*row) - 128) * i32::from(*query);
    row.iter().zip(query).map(|(row, query)| row.iter().zip(query).map(|(row, query)| product(row, query)).sum::<i32>()).sum()
}
