//! Walks the graph towards a query.
//!
//! The nearest rows so far are kept, as many as the walk is wide, and the links of the nearest one that was not left yet are followed
//! until all have been left (best-first search; Malkov & Yashunin, "HNSW", 2016, its lowest layer).

use super::file::Graph;
use super::{LINKS, NONE};
use crate::prefetch::prefetch;
use crate::vector::quantize::QueryCode;
use crate::vector::snapshot::VectorSnapshot;

/// The nearest rows, by their int8 codes, that a walk of this width finds from where it begins, nearest first. It asks nobody whether
/// the caller may read them.
pub(in crate::vector) fn walk(
    graph: &Graph,
    vectors: &VectorSnapshot,
    code: &QueryCode,
    from: impl Iterator<Item = u32>,
    width: usize,
) -> Vec<u32> {
    let mut beam = Beam { width, rows: Vec::with_capacity(width + 1), next: 0 };
    let mut seen = Seen::new();
    let mut coming = Vec::with_capacity(width.max(LINKS));
    coming.extend(from);
    loop {
        coming.retain(|chunk| seen.insert(*chunk));
        for chunk in &coming {
            prefetch(vectors.code(*chunk).unwrap_or_default());
        }
        for chunk in coming.drain(..) {
            // The file is not checked at open, so it may name any chunk.
            let Some(row) = vectors.code(chunk) else { continue };
            beam.offer(code.estimate(row).0 as f32, chunk);
        }
        let Some(nearest) = beam.leave(|next| prefetch(graph.links(next))) else { break };
        coming.extend(graph.links(nearest).iter().map(|chunk| u32::from_le_bytes(*chunk)).take_while(|chunk| *chunk != NONE));
    }
    beam.rows.into_iter().map(|row| row.chunk).collect()
}

/// The nearest rows so far, nearest first.
struct Beam {
    width: usize,
    rows: Vec<Step>,
    /// All rows before this one were left.
    next: usize,
}

#[derive(Clone, Copy)]
struct Step {
    score: f32,
    chunk: u32,
    /// Its links were followed.
    left: bool,
}

impl Beam {
    #[inline]
    fn offer(&mut self, score: f32, chunk: u32) {
        if self.rows.len() == self.width {
            if self.rows.last().is_none_or(|last| score <= last.score) {
                return;
            }
            self.rows.pop();
        }
        let at = self.rows.partition_point(|row| row.score >= score);
        self.rows.insert(at, Step { score, chunk, left: false });
        self.next = self.next.min(at);
    }

    /// The nearest row that was not left yet, which is left now; `then` is told which one will be next, as it looks now.
    fn leave(&mut self, then: impl FnOnce(u32)) -> Option<u32> {
        let mut waiting = self.rows.iter_mut().enumerate().skip(self.next).filter(|(_, row)| !row.left);
        let (at, nearest) = waiting.next()?;
        nearest.left = true;
        let chunk = nearest.chunk;
        if let Some((_, next)) = waiting.next() {
            then(next.chunk);
        }
        self.next = at + 1;
        Some(chunk)
    }
}

/// The chunks that a walk has met: an open hash table, since an array would cost what all chunks do.
struct Seen {
    places: Vec<u32>,
    len: usize,
}

impl Seen {
    fn new() -> Seen {
        Seen { places: vec![NONE; 1 << 14], len: 0 }
    }

    /// True when the chunk is new.
    #[inline]
    fn insert(&mut self, chunk: u32) -> bool {
        if chunk == NONE {
            return false;
        }
        let mask = self.places.len() - 1;
        // Fibonacci hashing: the upper bits of the product are the well mixed ones.
        let mut at = (chunk.wrapping_mul(0x9e37_79b9) >> 7) as usize & mask;
        loop {
            match self.places.get_mut(at) {
                Some(place) if *place == NONE => {
                    *place = chunk;
                    break;
                }
                Some(place) if *place == chunk => return false,
                _ => at = (at + 1) & mask,
            }
        }
        self.len += 1;
        if self.len * 2 > self.places.len() {
            let old = std::mem::take(&mut self.places);
            *self = Seen { places: vec![NONE; old.len() * 2], len: 0 };
            for chunk in old {
                self.insert(chunk);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_not_new() {
        let mut seen = Seen::new();
        let chunk = |at: u32| (u64::from(at) * 77_773 % 60_000) as u32;
        for at in 0..60_000 {
            assert!(seen.insert(chunk(at)));
            assert!(!seen.insert(chunk(at / 2)));
        }
        assert!(!seen.insert(NONE));
    }

    #[test]
    fn a_beam_keeps_the_nearest_and_leaves_each_once() {
        let mut beam = Beam { width: 3, rows: Vec::new(), next: 0 };
        for (score, chunk) in [(0.1, 1), (0.5, 5), (0.3, 3), (0.2, 2)] {
            beam.offer(score, chunk);
        }
        let mut next = 0;
        assert_eq!((beam.leave(|chunk| next = chunk), next), (Some(5), 3));
        beam.offer(0.9, 9);
        assert_eq!((beam.leave(|_| ()), beam.leave(|_| ()), beam.leave(|_| ())), (Some(9), Some(3), None));
        assert_eq!(beam.rows.iter().map(|row| row.chunk).collect::<Vec<_>>(), [9, 5, 3]);
    }
}
