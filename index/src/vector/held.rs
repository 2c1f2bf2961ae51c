//! A segment as a snapshot holds it: with what has changed since it was sealed.

use std::sync::Arc;

use super::graph::Graph;
use super::segment::Segment;
use crate::access::ClassNo;
use crate::rows::Rows;

/// A segment, and which of its rows are no longer as they were sealed.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) segment: Arc<Segment>,
    /// By 64 rows: a bit for each row that died or took another class.
    stale: Rows<u64>,
    stale_rows: u32,
    linked: bool,
}

impl Held {
    /// A segment beside the classes that its rows have now.
    pub(super) fn new(segment: Arc<Segment>, classes: &Rows<ClassNo>) -> Held {
        let mut held = Held { segment: segment.clone(), stale: Rows::default(), stale_rows: 0, linked: false };
        for (class, rows) in segment.runs() {
            for (at, chunk) in rows.clone().zip(segment.chunks().get(rows.start as usize..rows.end as usize).unwrap_or_default()) {
                if classes.get(u32::from_le_bytes(*chunk)) != class {
                    held.set_stale(at, true);
                }
            }
        }
        held
    }

    /// True when a row is no longer as it was sealed.
    #[inline]
    pub(super) fn is_stale(&self, at: u32) -> bool {
        self.stale_rows > 0 && self.stale.get(at / 64) >> (at % 64) & 1 == 1
    }

    /// Notes whether a row is as it was sealed.
    pub(super) fn set_stale(&mut self, at: u32, stale: bool) {
        if self.is_stale(at) == stale {
            return;
        }
        *self.stale.get_mut(at / 64) ^= 1 << (at % 64);
        self.stale_rows = if stale { self.stale_rows + 1 } else { self.stale_rows - 1 };
    }

    /// Notes whether the graph holds all its rows.
    pub(super) fn link(&mut self, graph: &Graph) {
        self.linked = self.segment.chunks().iter().all(|chunk| graph.holds(u32::from_le_bytes(*chunk)));
    }

    /// True when the graph holds all its rows.
    pub(super) fn is_linked(&self) -> bool {
        self.linked
    }

    /// How many rows are no longer as they were sealed.
    pub(super) fn stale_rows(&self) -> u32 {
        self.stale_rows
    }
}
