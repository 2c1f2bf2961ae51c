//! What a search of vectors reads, fixed at one moment, and how writes and sealing change it.
//!
//! A row is in its segment as long as its class is the one that it was sealed with, and in the tail otherwise; what the
//! segment or the tail holds beside that is skipped. So every live row is found in exactly one place.

use std::sync::Arc;

use super::files::RowMap;
use super::graph::Graph;
use super::held::Held;
use super::quantize;
use super::segment::Segment;
use super::shelf::{NewGraph, NewSegment, Sealing, Segments, Sizes};
use super::store::{Stored, VectorStore, dot_le};
use super::tail::Tail;
use crate::access::{ClassNo, DEAD};
use crate::error::{Error, Result};
use crate::prefetch::prefetch;
use crate::rows::Rows;

/// Full rows that are asked for ahead.
const ROWS_AHEAD: usize = 4;

/// Rows, codes, segments and tail.
#[derive(Clone, Debug, Default)]
pub(crate) struct VectorSnapshot {
    sizes: Sizes,
    dimensions: usize,
    rows: RowMap,
    codes: RowMap,
    segments: Vec<Held>,
    graph: Option<Arc<Graph>>,
    tail: Tail,
    /// By chunk.
    places: Rows<Place>,
}

/// Where a row is kept: in a segment (0 for none), at this row of it, and perhaps in the tail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    segment_and_tail: u32,
    at: u32,
}

impl Place {
    const IN_TAIL: u32 = 1 << 31;

    fn segment(self) -> u32 {
        self.segment_and_tail & !Place::IN_TAIL
    }

    fn in_tail(self) -> bool {
        self.segment_and_tail & Place::IN_TAIL != 0
    }

    fn seal(&mut self, segment: u32, at: u32) {
        *self = Place { segment_and_tail: self.segment_and_tail & Place::IN_TAIL | segment, at };
    }

    fn set_in_tail(&mut self, in_tail: bool) {
        self.segment_and_tail = self.segment() | if in_tail { Place::IN_TAIL } else { 0 };
    }
}

impl VectorSnapshot {
    /// The rows of a store in these segments; rows that none of them holds come with [`VectorSnapshot::place`].
    pub(crate) fn new(store: &VectorStore, segments: Segments, classes: &Rows<ClassNo>, sizes: Sizes) -> VectorSnapshot {
        let mut snapshot = VectorSnapshot { sizes, ..VectorSnapshot::default() };
        snapshot.read_from(store.stored());
        snapshot.graph = segments.graph;
        segments.all.into_iter().for_each(|segment| snapshot.hold(segment, classes));
        snapshot
    }

    /// Brings into memory what searches read all over, as long as `go_on` says so: the codes. Full vectors stay on disk.
    pub(crate) fn warm(&self, go_on: impl Fn() -> bool) {
        self.segments.iter().take_while(|_| go_on()).for_each(|held| held.segment.warm());
        self.graph.iter().take_while(|_| go_on()).for_each(|graph| graph.warm());
        self.codes.warm(go_on);
    }

    /// Sees the rows that were put into the store since.
    pub(crate) fn read_from(&mut self, stored: Stored) {
        (self.dimensions, self.rows, self.codes) = (stored.dimensions, stored.rows, stored.codes);
    }

    /// The number of values in a vector; 0 without a model.
    pub(crate) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The inner product of a chunk's vector with `query`; `None` when the chunk has no row.
    #[inline]
    pub(crate) fn similarity(&self, chunk: u32, query: &[f32]) -> Option<f32> {
        Some(dot_le(self.rows.get(chunk)?, query))
    }

    /// The inner products of some chunks' vectors with `query`, in their order. Each row is asked for before it is needed.
    pub(crate) fn similarities(&self, chunks: &[u32], query: &[f32]) -> impl Iterator<Item = Option<f32>> {
        let ahead = chunks.iter().skip(ROWS_AHEAD).map(|chunk| self.rows.get(*chunk)).chain(std::iter::repeat(None));
        chunks.iter().zip(ahead).map(|(chunk, ahead)| {
            prefetch(ahead.unwrap_or_default());
            self.similarity(*chunk, query)
        })
    }

    /// A chunk's vector.
    pub(crate) fn vector(&self, chunk: u32) -> Option<Vec<f32>> {
        let (values, _) = self.rows.get(chunk)?.as_chunks::<4>();
        Some(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    /// A chunk that has a row takes this class.
    pub(crate) fn place(&mut self, chunk: u32, class: ClassNo) {
        if self.dimensions == 0 {
            return;
        }
        let place = self.places.get(chunk);
        let mut settled = false;
        if place.segment() != 0
            && let Some(held) = self.segments.iter_mut().find(|held| held.segment.id() == place.segment())
        {
            settled = held.segment.class_of(place.at) == class;
            held.set_stale(place.at, !settled);
        }
        if class == DEAD || settled || place.in_tail() {
            return;
        }
        let mut code = Vec::new();
        if self.signs(chunk, &mut code).is_ok() {
            self.tail.push(chunk, &code);
            self.places.get_mut(chunk).set_in_tail(true);
        }
    }

    /// How many rows wait to be sealed, also those that died while they waited.
    pub(crate) fn waiting_rows(&self) -> u32 {
        self.tail.len()
    }

    /// True when rows of a segment are no longer as they were sealed.
    pub(crate) fn is_worn(&self) -> bool {
        self.segments.iter().any(|held| held.stale_rows() > 0)
    }

    /// Takes in what was sealed since: `made` holds rows of `sealing` as they were when it began.
    pub(crate) fn adopt(&mut self, classes: &Rows<ClassNo>, sealing: &Sealing, made: Option<NewSegment>) {
        let all = std::mem::take(&mut self.segments);
        let (replaced, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(|held| sealing.replaced.contains(&held.segment.id()));
        self.segments = kept;
        for held in &replaced {
            for chunk in held.segment.chunks() {
                let chunk = u32::from_le_bytes(*chunk);
                // A row that moved on from here may be in a later segment.
                if self.places.get(chunk).segment() == held.segment.id() {
                    self.places.get_mut(chunk).seal(0, 0);
                }
            }
        }
        if let Some(made) = made {
            self.hold(made.0, classes);
        }
        let old = std::mem::take(&mut self.tail);
        for chunk in old.chunks() {
            self.places.get_mut(chunk).set_in_tail(false);
            self.place(chunk, classes.get(chunk));
        }
        for (_, chunk) in &sealing.rows {
            self.place(*chunk, classes.get(*chunk));
        }
    }

    /// Adds a segment, and notes where its rows are. A row that moved between classes can be in several segments, and in
    /// more than one as it is now; one of them counts. Segments of earlier releases can hold a row twice.
    fn hold(&mut self, segment: Arc<Segment>, classes: &Rows<ClassNo>) {
        let mut held = Held::new(segment.clone(), classes);
        for (at, chunk) in (0..).zip(segment.chunks()) {
            let chunk = u32::from_le_bytes(*chunk);
            let place = self.places.get(chunk);
            let again = match place.segment() {
                0 => false,
                id if id == segment.id() => !held.is_stale(place.at),
                _ => self.settled(place),
            };
            if again {
                held.set_stale(at, true);
            } else if place.segment() == 0 || !held.is_stale(at) {
                self.places.get_mut(chunk).seal(segment.id(), at);
            }
        }
        self.graph.iter().for_each(|graph| held.link(graph));
        self.segments.push(held);
    }

    /// Takes a graph that was built in place of the one it has.
    pub(crate) fn link(&mut self, graph: NewGraph) {
        self.segments.iter_mut().for_each(|held| held.link(&graph.0));
        self.graph = Some(graph.0);
    }

    /// Checks every byte of the graph and of every segment, and that no row is found twice; a line for each segment that is damaged or holds
    /// such a row.
    pub(crate) fn verify(&self) -> Vec<String> {
        let mut found: Rows<bool> = Rows::default();
        let mut wrong: Vec<String> =
            self.graph.iter().filter_map(|graph| graph.verify().err()).map(|error| error.to_string()).collect();
        for held in &self.segments {
            wrong.extend(held.segment.verify().err().map(|error| error.to_string()));
            let rows = (0..).zip(held.segment.chunks()).filter(|(at, _)| !held.is_stale(*at));
            let again = rows.filter(|(_, chunk)| std::mem::replace(found.get_mut(u32::from_le_bytes(**chunk)), true)).count();
            if again > 0 {
                wrong.push(format!("vectors: {again} rows of segment {} are found twice", held.segment.id()));
            }
        }
        wrong
    }

    /// What is wrong with a live row, which must be this vector.
    pub(crate) fn check(&self, chunk: u32, class: ClassNo, values: &[f32]) -> Option<&'static str> {
        let row: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut code = Vec::new();
        quantize::encode(values, &mut code);
        let place = self.places.get(chunk);
        if self.rows.get(chunk) != Some(row.as_slice()) {
            Some("its row is not its vector")
        } else if self.codes.get(chunk) != Some(code.as_slice()) {
            Some("its code is not that of its vector")
        } else if class == DEAD || !self.settled(place) && !place.in_tail() {
            Some("no segment holds it as it is, nor the tail")
        } else {
            None
        }
    }

    /// From which sizes on what is worth while.
    pub(super) fn sizes(&self) -> Sizes {
        self.sizes
    }

    pub(super) fn segments(&self) -> &[Held] {
        &self.segments
    }

    pub(super) fn graph(&self) -> Option<&Graph> {
        self.graph.as_deref()
    }

    pub(super) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The class of a row that is found in the tail and not in a segment.
    #[inline]
    pub(super) fn waiting(&self, chunk: u32, classes: &Rows<ClassNo>) -> Option<ClassNo> {
        let class = classes.get(chunk);
        let place = self.places.get(chunk);
        (class != DEAD && (place.segment() == 0 || !self.settled(place))).then_some(class)
    }

    /// True when the segment holds the row as it is now.
    fn settled(&self, place: Place) -> bool {
        let held = self.segments.iter().find(|held| held.segment.id() == place.segment());
        held.is_some_and(|held| !held.is_stale(place.at))
    }

    /// The int8 code of a chunk; `None` where it was not made.
    #[inline]
    pub(super) fn code(&self, chunk: u32) -> Option<&[u8]> {
        self.codes.get(chunk)
    }

    /// Appends the sign code of a chunk.
    pub(super) fn signs(&self, chunk: u32, code: &mut Vec<u64>) -> Result<()> {
        let row = self.rows.get(chunk).ok_or_else(|| Error::corrupt("vectors", format!("chunk {chunk} has no row")))?;
        quantize::encode_signs(row, code);
        Ok(())
    }
}
