//! What a search of vectors reads, fixed at one moment, and how writes and sealing change it.
//!
//! A row is in its segment as long as its class is the one that it was sealed with, and in the tail otherwise; what the
//! segment or the tail holds beside that is skipped. So every live row is found in exactly one place.

use std::sync::Arc;

use super::files::RowMap;
use super::quantize;
use super::segment::Segment;
use super::shelf::{NewSegment, Sealing, Segments};
use super::store::{VectorStore, dot_le};
use super::tail::Tail;
use crate::access::{ClassNo, DEAD};
use crate::error::{Error, Result};
use crate::rows::Rows;

/// Rows, codes, segments and tail.
#[derive(Clone, Debug, Default)]
pub(crate) struct VectorSnapshot {
    dimensions: usize,
    rows: RowMap,
    codes: RowMap,
    segments: Arc<[Arc<Segment>]>,
    tail: Tail,
    /// By chunk.
    places: Rows<Place>,
    /// Counts rows that left their place in a segment.
    moved: u64,
}

/// Where a row is to be found: the class that it has in its segment ([`DEAD`] where it is in none), and whether the tail
/// holds it too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place(u32);

impl Place {
    const IN_TAIL: u32 = 1 << 31;

    fn sealed(self) -> ClassNo {
        self.0 & !Place::IN_TAIL
    }

    fn in_tail(self) -> bool {
        self.0 & Place::IN_TAIL != 0
    }

    fn seal(&mut self, class: ClassNo) {
        self.0 = self.0 & Place::IN_TAIL | class;
    }

    fn set_in_tail(&mut self, in_tail: bool) {
        self.0 = self.sealed() | if in_tail { Place::IN_TAIL } else { 0 };
    }
}

impl VectorSnapshot {
    /// The rows of a store in these segments; rows that none of them holds come with [`VectorSnapshot::place`].
    pub(crate) fn new(store: &VectorStore, segments: Segments) -> VectorSnapshot {
        let mut snapshot = VectorSnapshot { segments: segments.0.into(), ..VectorSnapshot::default() };
        snapshot.read_from(store);
        for segment in snapshot.segments.iter() {
            set_sealed(&mut snapshot.places, segment, |class| class);
        }
        snapshot
    }

    /// Sees the rows that were put into the store since.
    pub(crate) fn read_from(&mut self, store: &VectorStore) {
        self.dimensions = store.dimensions();
        (self.rows, self.codes) = store.maps();
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

    /// A chunk that has a row takes this class.
    pub(crate) fn place(&mut self, chunk: u32, class: ClassNo) {
        if self.dimensions == 0 {
            return;
        }
        let sealed = self.places.get(chunk).sealed();
        if sealed != DEAD && sealed != class {
            self.moved += 1;
        }
        self.keep(chunk, class);
    }

    /// Puts a row into the tail when it is found nowhere else.
    fn keep(&mut self, chunk: u32, class: ClassNo) {
        let place = self.places.get(chunk);
        if class == DEAD || place.sealed() == class || place.in_tail() {
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

    /// Counts rows that left their place in a segment.
    pub(crate) fn moved(&self) -> u64 {
        self.moved
    }

    /// Takes in what was sealed since: `made` holds rows of `sealing` as they were when it began.
    pub(crate) fn adopt(&mut self, classes: &Rows<ClassNo>, sealing: &Sealing, made: Option<NewSegment>) {
        let made = made.map(|made| made.0);
        let (replaced, kept): (Vec<_>, Vec<_>) =
            self.segments.iter().cloned().partition(|segment| sealing.replaced.contains(&segment.id()));
        for segment in &replaced {
            set_sealed(&mut self.places, segment, |_| DEAD);
        }
        if let Some(made) = &made {
            set_sealed(&mut self.places, made, |class| class);
        }
        self.segments = kept.into_iter().chain(made).collect();
        let old = std::mem::take(&mut self.tail);
        for chunk in old.chunks() {
            self.places.get_mut(chunk).set_in_tail(false);
            self.keep(chunk, classes.get(chunk));
        }
        for (_, chunk) in &sealing.rows {
            self.keep(*chunk, classes.get(*chunk));
        }
    }

    /// Checks every byte of every segment; a line for each that is damaged.
    pub(crate) fn verify(&self) -> Vec<String> {
        self.segments.iter().filter_map(|segment| segment.verify().err()).map(|error| error.to_string()).collect()
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
        } else if place.sealed() != class && !place.in_tail() {
            Some("no segment holds it as it is, nor the tail")
        } else {
            None
        }
    }

    pub(super) fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    pub(super) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The class of a row that is found in the tail and not in a segment.
    #[inline]
    pub(super) fn waiting(&self, chunk: u32, classes: &Rows<ClassNo>) -> Option<ClassNo> {
        let class = classes.get(chunk);
        (class != DEAD && self.places.get(chunk).sealed() != class).then_some(class)
    }

    /// The class of a row that is found in its segment.
    #[inline]
    pub(super) fn settled(&self, chunk: u32, classes: &Rows<ClassNo>) -> Option<ClassNo> {
        let class = classes.get(chunk);
        (class != DEAD && self.places.get(chunk).sealed() == class).then_some(class)
    }

    /// The int8 code of a chunk; `None` where it was not made.
    #[inline]
    pub(super) fn code(&self, chunk: u32) -> Option<&[u8]> {
        self.codes.get(chunk)
    }

    /// The full vector of a chunk.
    pub(super) fn values(&self, chunk: u32) -> Option<Vec<f32>> {
        Some(self.rows.get(chunk)?.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect())
    }

    /// Appends the sign code of a chunk.
    pub(super) fn signs(&self, chunk: u32, code: &mut Vec<u64>) -> Result<()> {
        let row = self.rows.get(chunk).ok_or_else(|| Error::corrupt("vectors", format!("chunk {chunk} has no row")))?;
        quantize::encode_signs(row, code);
        Ok(())
    }
}

/// Notes for each row of a segment the class that it has there.
fn set_sealed(places: &mut Rows<Place>, segment: &Segment, of: impl Fn(ClassNo) -> ClassNo) {
    for (class, rows) in segment.runs() {
        for chunk in segment.chunks().get(rows.start as usize..rows.end as usize).unwrap_or_default() {
            places.get_mut(u32::from_le_bytes(*chunk)).seal(of(class));
        }
    }
}
